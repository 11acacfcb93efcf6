"""A picture that is dragged by a person: preview, start, step, pause, undo, accept, save."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import inf
from pathlib import Path
from types import TracebackType
from typing import Self

from torch import Tensor

from featurekit.core.errors import ConfigError
from featurekit.diffusion.backbone import Backbone
from featurekit.images.photo import Source
from featurekit_drag.engine.settings import DragSettings, WarpSettings
from featurekit_drag.session.asking import Asking
from featurekit_drag.session.desk import Desk
from featurekit_drag.session.events import Event
from featurekit_drag.session.history import Moment
from featurekit_drag.session.reading import Rows, image_of, mask_of
from featurekit_drag.session.session_file import Saved, read_session, write_session


class Session:
    """One picture and what a person does to it; every method may be called from any thread.

    The network works in one thread at a time, over all sessions of a backbone; other uses of the
    backbone have to wait by themselves. What fails in the background is raised by the next call
    of any method, once, and leaves the session usable.
    """

    def __init__(self, backbone: Backbone, saved: Saved) -> None:
        """Made by ``open`` and ``load``."""
        self._desk = Desk(backbone, saved)
        self._lock = threading.RLock()  # of all that changes the desk

    @classmethod
    def open(
        cls,
        backbone: Backbone,
        image: Source | Tensor,
        prompt: str = "",
        *,
        mask: Source | Tensor | None = None,
        settings: WarpSettings | DragSettings | None = None,
        seed: int = 0,
    ) -> Self:
        """Open a picture; its features are read in the background at once.

        Args:
            backbone: the model; its taps must be maps over the picture.
            image: (1 3 h w) in [-1, 1], or what ``load_image`` reads.
            prompt: what the picture shows.
            mask: (1 1 h w) of 0 and 1, 1 where it may change, or what ``load_mask`` reads; None:
                everywhere.
            settings: of a warp and a redraw, or of a method that optimises; None: what
                ``featurekit run plugin=drag`` takes on this backbone. A LoRA and an inversion are
                kept in the user's cache folder for the next edit.
            seed: of all noises.

        Raises:
            ImageError, ShapeError, MaskError: the picture or the mask cannot be used.
            ConfigError, NoiseLevelError, UnknownNameError: the settings, on this backbone.
        """
        picture = image_of(image)
        moment = Moment(picture, mask_of(mask, picture))
        own = Asking.settings_of(backbone) if settings is None else settings
        return cls(backbone, Saved(prompt, seed, own, (moment,), 0, None))

    @classmethod
    def load(cls, path: Path | str, backbone: Backbone) -> Self:
        """Open what ``save`` wrote; an edit that had not ended begins anew, paused.

        Raises:
            ConfigError: the file is missing, damaged, of another kind or version, or was made with
                other weights than the backbone's.
        """
        return cls(backbone, read_session(path, backbone))

    def save(self, path: Path | str) -> Path:
        """Write all of the session but what it computes anew as one safetensors file.

        Raises:
            OutputError: the file cannot be written; what was there is as it was.
        """
        with self._working() as desk:
            return write_session(desk.record(), path, desk.backbone)

    def watch(self, hear: Callable[[Event], None]) -> None:
        """Tell somebody how far the work is.

        Args:
            hear: called in the thread that works, before every call of the network; what it raises
                ends that work.
        """
        self._desk.hears.append(hear)

    def preview(
        self,
        points: Rows = (),
        *,
        pins: Rows = (),
        regions: Rows = (),
        mode: str | None = None,
        full: bool = False,
    ) -> Tensor:
        """Show where a drag moves things, without the redraw. Waits until features are read.

        The first preview of some handles cuts out their layer; the next ones, with other targets,
        take milliseconds. A layer that stays in part, and one without a mask, is shown roughly
        until ``full`` is asked for.

        Args:
            points: rows [x0, y0, x1, y1], handle then target, px of the picture; one without
                length is a pin.
            pins: rows [x, y], px, that stay.
            regions: rows [mask, dx, dy], brushed, in place of points.
            mode: auto, move, reshape or copy; None: that of the settings.
            full: the whole picture, exactly as ``start`` plans it.

        Returns:
            (1 3 h w) in [-1, 1], on the CPU; of the picture's size, or shrunk until the longer
            side has 512 px.

        Raises:
            PointsError, MaskError, UnknownNameError: what is asked for cannot be.
        """
        with self._working() as desk:
            asked = desk.asking.asked(desk.history.now, (points, pins, regions), mode)
            return desk.preview(asked, full=full)

    def start(
        self,
        points: Rows = (),
        *,
        pins: Rows = (),
        regions: Rows = (),
        mode: str | None = None,
    ) -> None:
        """Begin an edit, paused: ``step`` or ``resume`` go on. One that was going is dropped.

        Args:
            points: as for ``preview``.
            pins: likewise.
            regions: likewise.
            mode: likewise.

        Raises:
            PointsError, MaskError, ConfigError, UnknownNameError: what is asked for cannot be;
                an edit that was going goes on.
        """
        with self._working() as desk:
            asked = desk.asking.asked(desk.history.now, (points, pins, regions), mode)
            desk.drop_edit()
            desk.begin(asked)

    def step(self) -> bool:
        """Go on by one call of the network and wait for it; after Ctrl-C the session is usable.

        Returns:
            Whether there is more to do; False as soon as the result is there.

        Raises:
            ConfigError: nothing was started.
        """
        more = self._desk.going_edit("step").step()
        self._desk.surface()
        return more

    def resume(self) -> None:
        """Go on in the background, without waiting.

        Raises:
            ConfigError: nothing was started.
        """
        self._desk.going_edit("resume").resume()

    def pause(self) -> None:
        """Stop what goes on within one call of the network, and wait until then."""
        self._desk.surface()
        for worker in self._desk.workers:
            worker.pause()

    def wait(self, timeout_s: float = inf) -> bool:
        """Wait until the edit is paused or over.

        Returns:
            Whether it has more to do.
        """
        self._desk.surface()
        more = False if self._desk.edit is None else self._desk.edit.wait(timeout_s)
        self._desk.surface()
        return more

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

    def result(self) -> Tensor:
        """The chosen candidate, (1 3 h w) in [-1, 1]; the picture itself before there is one."""
        self._desk.surface()
        return self._desk.history.now.result

    def remarks(self) -> tuple[str, ...]:
        """What a person should be told of the last edit."""
        self._desk.surface()
        return self._desk.history.now.remarks

    def close(self) -> None:
        """End what goes on in the background; the session is not to be used any more."""
        with self._lock:
            self._desk.close()

    @contextmanager
    def _working(self) -> Iterator[Desk]:
        """Let one thread at a time change the desk, and raise what failed in the background."""
        with self._lock:
            self._desk.surface()
            yield self._desk

    def __enter__(self) -> Self:
        """Open it for the length of a block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()
