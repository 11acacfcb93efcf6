"""The job ``apply``: an edit by the session, step by step, that leaves the record of a run."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

import torch.nn.functional as F  # noqa: N812  the field's name for it
from torch import Tensor

from featurekit.core.errors import ConfigError
from featurekit.core.types import Job, Result
from featurekit.pipeline.config import compose
from featurekit.pipeline.run import run
from featurekit.web.asked import Asked
from featurekit.web.jobs import both
from featurekit.web.tab import Json, Work
from featurekit_drag.engine.edit import Edit, Editor
from featurekit_drag.engine.request import Stage
from featurekit_drag.session.network import turn_at
from featurekit_drag.session.session import Session
from featurekit_drag.studio.drags import Drags
from featurekit_drag.studio.place import LIVE_PX, Opened, Place
from featurekit_drag.tasks.edit import run as run_drag
from featurekit_drag.working_size import Work as Part


class Dropped(KeyboardInterrupt):
    """The edit was dropped by something else that the person did."""


class Applying:
    """Jobs ``apply`` and ``resume``, and the action ``discard``."""

    def __init__(self, place: Place, changed: Callable[[], object]) -> None:
        """Apply nothing yet.

        Args:
            place: of the session.
            changed: called as soon as the history has changed.
        """
        self._place, self._changed = place, changed

    def apply(self, asked: Asked, work: Work) -> Json:
        """Make an edit; a stop leaves it paused.

        Raises:
            FeatureKitError: what is asked for cannot be.
            KeyboardInterrupt: it was stopped, or something else was done meanwhile.
        """
        opened, drags = self._place.open(), Drags.read(asked)
        given = drags.given(self._place.masks, opened.picture)
        session = opened.session
        self._set_mask(opened, drags)
        session.describe(drags.prompt, drags.seed)
        self._place.begins(opened, drags)
        return self._made(opened, drags, work, partial(session.start, **given))

    def resume(self, asked: Asked, work: Work) -> Json:
        """Go on with an edit that was stopped, or that came with the session's file.

        Raises:
            ConfigError: nothing was stopped.
            KeyboardInterrupt: as for ``apply``.
        """
        opened = self._place.open()
        drags = self._place.going(opened)
        if drags is None:
            raise ConfigError("an edit must have been stopped to be resumed, got none; apply one")
        return self._made(opened, drags, work, lambda: None)

    def _set_mask(self, opened: Opened, drags: Drags) -> None:
        """Give the session the mask, unless it has the same."""
        steps, number = opened.session.history()
        now = next(one.moment for one in steps if one.number == number)
        size = (opened.picture.height, opened.picture.width)
        mask = None if drags.mask is None else self._place.masks.tensor(drags.mask, size)
        if mask is None and now.mask is None:
            return
        if mask is None or now.mask is None or not bool((mask == now.mask).all()):
            opened.session.set_mask(mask)

    def _made(self, opened: Opened, drags: Drags, work: Work, begin: Callable[[], None]) -> Json:
        session = opened.session
        steps, now = session.history()
        number = steps[-1].number + 1
        image = next(one.moment.image for one in steps if one.number == now)
        cfg = compose(["plugin=drag", f"backbone={self._place.desk.model_name}"])
        cfg.image = str(self._place.file_of(opened, image))
        cfg.prompt, cfg.seed = drags.prompt, drags.seed
        cfg.out = str(self._place.folder_of(opened, number))
        for name, value in drags.settings(self._place.masks).items():
            cfg.plugin[name] = value
        turn, who = turn_at(self._place.desk.backbone()), object()

        def make(editor: Editor, part: Part, *, stage: Stage) -> Edit:
            turn.leave(who)
            begin()
            with self._watched(work):
                done = _stepped(session, stage, work)
            if not self._place.is_open(opened) or session.history()[1] != number:
                raise Dropped
            self._place.keeper.ask()
            self._changed()
            turn.take(who)
            return done

        def target(job: Job) -> Result:
            turn.take(who)  # of the network, which the session takes by itself
            return run_drag(replace(job, stage=both(job.stage, work)), make)

        try:
            record = run(cfg, backbone=self._place.desk.backbone(), target=target)
        finally:
            turn.leave(who)
            self._place.keeper.ask()
            self._place.keeper.flush()
            self._changed()
        work.say(record["stop"])
        return {"step": number}

    @contextmanager
    def _watched(self, work: Work) -> Iterator[None]:
        def show(name: str, image: Tensor) -> None:
            work.picture(name, _small(image))

        self._place.show = show
        try:
            yield
        finally:
            self._place.show = None


def _stepped(session: Session, stage: Stage, work: Work) -> Edit:
    """Let an edit go on to its end, one call of the network after the other.

    Raises:
        KeyboardInterrupt: the job is to stop, which pauses the edit; or the edit was dropped.
    """
    with ExitStack() as stages:
        name, progress = "", None
        while True:
            work.check()
            if not session.is_going and session.edit() is None:
                raise Dropped
            more = session.step()
            event = session.last_event()
            if event is not None and event.stage != name:
                stages.close()
                name, progress = event.stage, stages.enter_context(stage(event.stage))
            if event is not None and progress is not None and event.total:
                progress(min(event.done, event.total), event.total)
            if not more:
                break
    done = session.edit()
    if done is None:
        raise Dropped
    return done


def _small(image: Tensor) -> Tensor:
    """A picture (1 3 h w) as the page shows it while an edit goes on."""
    shrink = max(image.shape[-2:]) / LIVE_PX
    if shrink <= 1:
        return image
    size = [max(1, round(side / shrink)) for side in image.shape[-2:]]
    return F.interpolate(image, size=size, mode="area")
