"""Writing a session in the background: the latest state wins, and nobody waits for a disk."""

import logging
import threading
from collections.abc import Callable

from featurekit.core.errors import FeatureKitError

LOG = logging.getLogger("featurekit.studio")


class Keeper:
    """Writes whenever something has changed since the last writing began."""

    def __init__(self, write: Callable[[], object]) -> None:
        """Write nothing yet.

        Args:
            write: called in a thread of its own, never twice at once.
        """
        self._write = write
        self._changed = threading.Condition()
        self._asked, self._busy, self._thread = False, False, False

    def ask(self) -> None:
        """Have the state written soon."""
        with self._changed:
            self._asked = True
            if not self._thread:
                self._thread = True
                threading.Thread(target=self._run, name="drag session", daemon=True).start()

    def flush(self) -> None:
        """Wait until what was asked is written."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._asked or self._busy))

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._asked:
                    self._thread = False
                    return
                self._asked, self._busy = False, True
            try:
                self._write()
            except FeatureKitError as error:  # a full disk must not end the studio
                LOG.warning("the session could not be kept: %s", error)
            except Exception:
                LOG.exception("the session could not be kept")
            finally:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()
