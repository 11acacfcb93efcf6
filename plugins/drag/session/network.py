"""Whose turn it is to use a network: one thread's at a time, whichever session it belongs to."""

import threading
from weakref import WeakKeyDictionary

from torch import nn

from featurekit.core.errors import BackboneError
from featurekit.diffusion.backbone import Backbone

_TURNS: "WeakKeyDictionary[nn.Module, Turn]" = WeakKeyDictionary()
_NAMING = threading.Lock()


class Turn:
    """The right to use one network."""

    def __init__(self) -> None:
        """Make it, with nobody using the network."""
        self._changed = threading.Condition()
        self._owner: object | None = None
        self._rests = False

    def take(self, who: object) -> None:
        """Wait until the network is free, and take it; whoever has it already keeps it.

        Raises:
            BackboneError: it is kept by somebody who is paused and has changed it.
        """
        with self._changed:
            while self._owner not in (None, who):
                if self._rests:
                    raise BackboneError(
                        "the network must be free, but another session of this backbone is paused "
                        "in the middle of an edit that changes it; resume, undo or close that one"
                    )
                self._changed.wait()
            self._owner, self._rests = who, False

    def rest(self, who: object) -> None:
        """Keep the network, if it is had, without using it."""
        with self._changed:
            if self._owner is who:
                self._rests = True
                self._changed.notify_all()

    def leave(self, who: object) -> None:
        """Give the network back, if it is had."""
        with self._changed:
            if self._owner is who:
                self._owner, self._rests = None, False
                self._changed.notify_all()


def turn_at(backbone: Backbone) -> Turn:
    """Find the turn of a backbone's network, the same for all who have that backbone."""
    with _NAMING:
        return _TURNS.setdefault(backbone.denoiser, Turn())
