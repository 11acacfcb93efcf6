"""The work of a session: features read ahead, the edit that goes on, what came of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from featurekit.core.errors import ConfigError
from featurekit.diffusion.backbone import Backbone
from featurekit_drag.engine.edit import Edit
from featurekit_drag.engine.request import Request
from featurekit_drag.inputs import Subject
from featurekit_drag.plan.preview import Preview
from featurekit_drag.plan.warp_plan import Planner
from featurekit_drag.redraw.warp_drag import WarpDrag
from featurekit_drag.session.asking import Asking
from featurekit_drag.session.events import Event, gated
from featurekit_drag.session.history import Asked, History, Moment
from featurekit_drag.session.network import turn_at
from featurekit_drag.session.reading import MaskSource, Present, mask_of
from featurekit_drag.session.session_file import Saved
from featurekit_drag.session.watched import Look, Watched
from featurekit_drag.session.worker import Worker
from featurekit_drag.tasks.working_edit import edited
from featurekit_drag.working_size import Work, work_on

PREVIEW_PX = 512  # of the longer side of what is shown while a pointer moves


@dataclass(frozen=True)
class Cut:
    """What a preview is laid from, and where to."""

    shown: Preview
    request: Request  # of which it is laid

    @property
    def picture(self) -> Tensor:
        """The preview, (1 3 h w) of its size."""
        return self.shown.laid(self.request)


class Desk:
    """What is worked on. One thread at a time may call what changes it; ``Session`` sees to that.

    The threads that work touch the history alone, which has a lock of its own.
    """

    def __init__(self, backbone: Backbone, saved: Saved) -> None:
        """Begin to read the features of the present picture."""
        self.backbone, self.saved = backbone, saved
        self.asking = Asking(backbone, saved.settings)
        self.history = History(saved.steps, saved.now)
        self.hears: list[Callable[[Event], None]] = []
        self.told: Event | None = None  # the last of them
        self.looks: list[Look] = []
        self.done: Edit | None = None  # what the engine says of the edit that ended last
        self.edit: Worker[Moment] | None = None
        self.going: Asked | None = None  # what the edit was asked to do
        self.preparing: tuple[Tensor, Worker[Planner]] | None = None
        self.shown: tuple[Request, str, Preview] | None = None
        self.turn = turn_at(backbone)
        self.prepare()
        if saved.going is not None:
            self.begin(saved.going)

    def under(self, mask: MaskSource) -> Moment:
        """The present moment, with another mask where one is given."""
        now = self.history.now
        if mask is Present.MASK or mask is now.mask:
            return now
        return replace(now, mask=mask_of(mask, now.image))

    def preview(self, now: Moment, asked: Asked) -> Tensor:
        """Lay what a drag moves, at full size and exactly; see ``Session.preview``."""
        request, plan = self._request(now, asked), self.asking.plan_of(asked)
        planner = self.planner()
        if now.mask is None:  # another layer may be found around these targets
            self.shown = None
        return planner.plan(request, plan).laid(now.image).picture

    def cut(self, now: Moment, asked: Asked) -> Cut:
        """Cut out what a drag moves, unless the last preview had the same layers."""
        request, plan = self._request(now, asked), self.asking.plan_of(asked)
        planner = self.planner()
        if self.shown is None or not _same_layers(self.shown[:2], (request, plan.mode)):
            shown = Preview.of(planner, request, plan.mode, PREVIEW_PX)
            self.shown = (request, plan.mode, shown)
        return Cut(self.shown[2], request)

    @property
    def workers(self) -> list[Worker[Any]]:
        """What may go on in the background, the edit first."""
        preparing = [] if self.preparing is None else [self.preparing[1]]
        return preparing if self.edit is None else [self.edit, *preparing]

    def record(self) -> Saved:
        """What is worth keeping of all this."""
        steps, now = self.history.all
        going = self.going if self.edit is not None and not self.edit.has_ended else None
        return replace(self.saved, steps=steps, now=now, going=going)

    def close(self) -> None:
        """End all work."""
        self.drop_edit()
        if self.preparing is not None:
            self.preparing[1].stop()

    def surface(self) -> None:
        """Raise what failed in the background, once."""
        for worker in self.workers:
            if worker.failure is not None and not worker.is_told:
                worker.is_told = True
                raise worker.failure

    def _tell(self, event: Event) -> None:
        self.told = event
        for hear in self.hears:
            hear(event)

    def _look_at(self, work: Work) -> Look:
        """Show pictures of the part that is worked on as pictures of the whole."""
        whole, image, box = work.is_whole, work.full.request.image, work.own_size.box

        def look(name: str, make: Callable[[], Tensor]) -> None:
            for one in self.looks:
                one(name, make if whole else lambda: box.laid(make(), image))

        return look

    def _request(self, now: Moment, asked: Asked) -> Request:
        return self.asking.request(now, asked, prompt=self.saved.prompt, seed=self.saved.seed)

    def push(self, moment: Moment) -> None:
        """Go on to a new moment; an edit that goes on is dropped."""
        self.drop_edit()
        self.history.push(moment)
        self.prepare()

    def go(self, by: int) -> bool:
        """Go back (-1) or forth (1) in the history; whether that could be."""
        gone = self.history.go(by)
        self.prepare()
        return gone

    def go_to(self, number: int) -> None:
        """Go to any step of the history; an edit that goes on is dropped.

        Raises:
            ConfigError: there is no such step.
        """
        self.history.go_to(number)
        self.drop_edit()
        self.prepare()

    def describe(self, prompt: str, seed: int) -> None:
        """Say anew what the picture shows and which noises are drawn."""
        other = prompt != self.saved.prompt
        self.saved = replace(self.saved, prompt=prompt, seed=seed)
        if other and self.preparing is not None:
            self.drop_edit()
            self.preparing[1].stop()
            self.preparing = None
            self.prepare()

    def drop_edit(self) -> bool:
        """End an edit that goes on; whether there was one."""
        edit, self.edit, self.going = self.edit, None, None
        if edit is None or edit.has_ended:
            return False
        edit.stop()
        return edit.result is None  # else it ended just before

    def prepare(self) -> Worker[Planner]:
        """Read the features of the present picture in the background, unless they are there."""
        image = self.history.now.image
        if self.preparing is not None:
            prepared, worker = self.preparing
            if prepared is image and worker.failure is None:
                return worker
            worker.stop()

        def work(worker: Worker[Planner]) -> Planner:
            request = self._request(self.history.now, Asked(((0.0, 0.0, 1.0, 1.0),)))
            stage = gated(worker, self._tell)
            with stage("features of the picture") as progress:
                drag = WarpDrag(self.backbone, self.asking.warp)
                return drag.planner(replace(request, image=image), progress)

        worker = Worker(work, self.turn)
        self.preparing, self.shown = (image, worker), None
        worker.resume()
        return worker

    def planner(self) -> Planner:
        """Wait for the features of the present picture."""
        worker = self.prepare()
        while not worker.has_ended:
            worker.resume()
            worker.wait()
        self.surface()
        if worker.result is None:
            raise ConfigError("a session must be open, this one was closed; load what was saved")
        return worker.result

    def begin(self, asked: Asked) -> None:
        """Begin an edit, paused."""
        now, preparing = self.history.now, self.prepare()

        def work(worker: Worker[Moment]) -> Moment:
            editor = self.asking.editor(asked, worker.result_of(preparing))
            subject = Subject(self._request(now, asked), "session")
            part = work_on(subject, self.asking.warp.side_px)
            if self.looks and isinstance(editor, WarpDrag):
                editor = Watched.by(editor, self._look_at(part))
            done = edited(editor, part, stage=gated(worker, self._tell))
            moment, self.done = _came_of(now, asked, done), done
            self.history.push(moment)
            return moment

        self.done, changes = None, self.asking.changes_network
        self.edit = Worker(work, self.turn, changes_network=changes)
        self.going = asked

    def going_edit(self, what: str) -> Worker[Moment]:
        """The edit that was started, whose preparation goes on.

        Raises:
            ConfigError: nothing was started.
        """
        self.surface()
        if self.edit is None:
            raise ConfigError(f"an edit must be started before {what} is called, got none")
        if self.preparing is not None:
            self.preparing[1].resume()
        return self.edit


def _came_of(now: Moment, asked: Asked, done: Edit) -> Moment:
    candidates = tuple(done.candidates) or (done.image,)
    chosen = int(done.facts.get("chosen", 0))
    return replace(now, asked=asked, candidates=candidates, chosen=chosen, remarks=done.remarks)


def _same_layers(one: tuple[Request, str], other: tuple[Request, str]) -> bool:
    """Whether two previews differ in targets and moves at most."""
    (a, mode), (b, other_mode) = one, other
    return (
        mode == other_mode
        and a.image is b.image
        and _same_mask(a.mask, b.mask)
        and (bool(a.regions) or torch.equal(a.points.handles, b.points.handles))
        and torch.equal(a.pins, b.pins)
        and len(a.regions) == len(b.regions)
        and all(torch.equal(p.mask, q.mask) for p, q in zip(a.regions, b.regions, strict=True))
    )


def _same_mask(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    return one is other or torch.equal(one, other)
