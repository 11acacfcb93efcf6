"""What a session remembers: its history, what came of the last edit, and the lock of all that."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from torch import Tensor

from featurekit.core.errors import ConfigError
from featurekit.diffusion.backbone import Backbone
from featurekit.images.photo import Source
from featurekit_drag.session.desk import Desk
from featurekit_drag.session.history import Moment, Step
from featurekit_drag.session.reading import image_of, mask_of
from featurekit_drag.session.session_file import Saved


class Remembered:
    """The part of a session that looks back and goes elsewhere; see ``Session``."""

    def __init__(self, backbone: Backbone, saved: Saved) -> None:
        """Made by ``Session.open`` and ``Session.load``."""
        self._desk = Desk(backbone, saved)
        self._lock = threading.RLock()  # of all that changes the desk

    def undo(self) -> bool:
        """Go back by one: an edit that goes on, an edit, a choice, a mask, an acceptance.

        Returns:
            Whether there was something to undo.
        """
        with self._working() as desk:
            return desk.drop_edit() or desk.go(-1)

    def redo(self) -> bool:
        """Do again what was undone.

        Returns:
            Whether there was something.
        """
        with self._working() as desk:
            desk.drop_edit()
            return desk.go(1)

    def history(self) -> tuple[tuple[Step, ...], int]:
        """All steps, in the order in which they were made, and the number of the present one.

        Who goes back and does something else begins a branch: each step names the one before it.
        """
        return self._desk.history.all

    def go_to(self, number: int) -> None:
        """Go to any step of the history; an edit that goes on is dropped.

        Args:
            number: of the step.

        Raises:
            ConfigError: there is no such step.
        """
        with self._working() as desk:
            desk.go_to(number)

    def trim(self, most_bytes: int) -> None:
        """Forget the oldest steps, never the present one, until pictures take no more.

        Args:
            most_bytes: of all pictures and masks of the history.
        """
        with self._working() as desk:
            desk.history.trim(most_bytes)

    def describe(self, prompt: str, seed: int) -> None:
        """Say anew what the picture shows and which noises are drawn; for the next edits.

        Args:
            prompt: features are read again where it is another one.
            seed: of all noises.
        """
        with self._working() as desk:
            desk.describe(prompt, seed)

    def set_mask(self, mask: Source | Tensor | None) -> None:
        """Say anew where the picture may change; see ``open``."""
        with self._working() as desk:
            now = desk.history.now
            desk.push(replace(now, mask=mask_of(mask, now.image)))

    def candidates(self) -> tuple[Tensor, ...]:
        """The redraws of the last edit, (1 3 h w) each; none before there is an edit."""
        self._desk.surface()
        return self._desk.history.now.candidates

    def choose(self, number: int) -> None:
        """Take another candidate as the result.

        Args:
            number: of it, counted from 0.

        Raises:
            ConfigError: there is no such candidate.
        """
        with self._working() as desk:
            now = desk.history.now
            if not 0 <= number < len(now.candidates):
                raise ConfigError(
                    f"a choice must be one of the {len(now.candidates)} candidates, counted from "
                    f"0, got {number}"
                )
            desk.push(replace(now, chosen=number))

    def accept(self) -> None:
        """Go on from the result as the next picture; its features are read in the background.

        Raises:
            ConfigError: there is no edit.
        """
        with self._working() as desk:
            now = desk.history.now
            if not now.candidates:
                raise ConfigError("there must be an edit to be accepted, got none; start one")
            desk.push(Moment(now.result, now.mask))

    def take(self, image: Source | Tensor) -> None:
        """Go on from another picture, such as the result as it was written to a file.

        Args:
            image: see ``open``; of the size of the present picture the mask stays, else it goes.

        Raises:
            ImageError, ShapeError: the picture cannot be used.
        """
        picture = image_of(image)
        with self._working() as desk:
            mask = desk.history.now.mask
            fits = mask is not None and mask.shape[-2:] == picture.shape[-2:]
            desk.push(Moment(picture, mask if fits else None))

    def result(self) -> Tensor:
        """The chosen candidate, (1 3 h w) in [-1, 1]; the picture itself before there is one."""
        self._desk.surface()
        return self._desk.history.now.result

    def remarks(self) -> tuple[str, ...]:
        """What a person should be told of the last edit."""
        self._desk.surface()
        return self._desk.history.now.remarks

    @contextmanager
    def _working(self) -> Iterator[Desk]:
        """Let one thread at a time change the desk, and raise what failed in the background."""
        with self._lock:
            self._desk.surface()
            yield self._desk
