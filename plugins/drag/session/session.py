"""A picture that is dragged by a person: preview, start, step, pause, undo, accept, save."""

from collections.abc import Callable
from math import inf
from pathlib import Path
from types import TracebackType
from typing import Self

from torch import Tensor

from featurekit.diffusion.backbone import Backbone
from featurekit.images.photo import Source
from featurekit_drag.engine.edit import Edit
from featurekit_drag.engine.settings import DragSettings, WarpSettings
from featurekit_drag.session.asking import Asking
from featurekit_drag.session.desk import Cut
from featurekit_drag.session.events import Event
from featurekit_drag.session.history import Moment, Step
from featurekit_drag.session.reading import MaskSource, Present, Rows, image_of, mask_of
from featurekit_drag.session.remembered import Remembered
from featurekit_drag.session.session_file import Saved, read_session, write_session
from featurekit_drag.session.watched import Look


class Session(Remembered):
    """One picture and what a person does to it; every method may be called from any thread.

    The network works in one thread at a time, over all sessions of a backbone; other uses of the
    backbone have to wait by themselves. What fails in the background is raised by the next call
    of any method, once, and leaves the session usable.
    """

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
        return cls(backbone, Saved(prompt, seed, own, (Step(0, moment, None),), 0, None))

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

    def look(self, look: Look) -> None:
        """Show somebody how an edit by a warp looks while it goes on.

        Args:
            look: told a word, ``warp`` or ``redraw``, and what makes the picture (1 3 h w) of that
                moment; called in the thread that works. Making it decodes a latent once more, and
                changes nothing of the edit.
        """
        self._desk.looks.append(look)

    def preview(
        self,
        points: Rows = (),
        *,
        pins: Rows = (),
        regions: Rows = (),
        mode: str | None = None,
        mask: MaskSource = Present.MASK,
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
            mask: where the picture may change if this is what is done; see ``open``.
            full: the whole picture, exactly as ``start`` plans it.

        Returns:
            (1 3 h w) in [-1, 1], on the CPU; of the picture's size, or shrunk until the longer
            side has 512 px.

        Raises:
            PointsError, MaskError, UnknownNameError: what is asked for cannot be.
        """
        with self._working() as desk:
            now = desk.under(mask)
            asked = desk.asking.asked(now, (points, pins, regions), mode)
            return desk.preview(now, asked) if full else desk.cut(now, asked).picture

    def cut(
        self,
        points: Rows = (),
        *,
        pins: Rows = (),
        regions: Rows = (),
        mode: str | None = None,
        mask: MaskSource = Present.MASK,
    ) -> Cut:
        """Give what a preview is laid from: layers, what lies behind them, and their fields.

        Args:
            points: as for ``preview``.
            pins: likewise.
            regions: likewise.
            mode: likewise.
            mask: likewise.

        Raises:
            PointsError, MaskError, UnknownNameError: what is asked for cannot be.
        """
        with self._working() as desk:
            now = desk.under(mask)
            return desk.cut(now, desk.asking.asked(now, (points, pins, regions), mode))

    def edit(self) -> Edit | None:
        """All that the engine says of the last edit that ended here; None before there is one."""
        self._desk.surface()
        return self._desk.done

    def last_event(self) -> Event | None:
        """How far the work is that was told last; None before there is any."""
        return self._desk.told

    @property
    def is_going(self) -> bool:
        """Whether an edit was started, or came with the file, and has not ended."""
        edit = self._desk.edit
        return edit is not None and not edit.has_ended

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

    def close(self) -> None:
        """End what goes on in the background; the session is not to be used any more."""
        with self._lock:
            self._desk.close()

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
