"""What the page is told of a session: its history as a tree, candidates, how far points came."""

import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from featurekit.core.errors import ConfigError
from featurekit.core.json_files import read_json
from featurekit.images.coordinates import Window
from featurekit.images.io import image_to_pil
from featurekit.web.asked import Asked
from featurekit.web.pictures import encode
from featurekit.web.tab import Json
from featurekit_drag.session.history import Moment, Step
from featurekit_drag.studio.drags import Drags
from featurekit_drag.studio.place import Opened, Place

THUMB_PX, THUMBS = 208, 600
WORDS = (  # what is said of settings, in words of the page
    (re.compile(r"plugin\.mode=(\w+)"), lambda found: f"“{found[1].capitalize()}”"),
    (re.compile(r"plugin\.mask(=FILE)?"), lambda found: "a mask"),
    (re.compile(r" with plugin\.regions"), lambda found: " as a region"),
    (re.compile(r"plugin\.regions"), lambda found: "a region"),
)


class Telling:
    """Actions ``told``, ``picture``, ``go``, ``choose``, ``accept`` and ``discard``."""

    def __init__(self, place: Place) -> None:
        """Tell nothing yet."""
        self._place = place
        self._thumbs: OrderedDict[tuple[str, int, int], str] = OrderedDict()

    def told(self, asked: Asked) -> Json:
        """All that the page shows of the session; waits for the model.

        Raises:
            FeatureKitError: no picture is on the desk, or the model cannot be used.
        """
        opened = self._place.open()
        steps, now = opened.session.history()
        known = {one.number: one for one in steps}
        going = self._place.going(opened)
        return {
            "picture": opened.picture.id,
            "now": now,
            "steps": [self._step(opened, one, known) for one in steps],
            "edit": self._edit(opened, known, now),
            "going": None if going is None else going.told,
        }

    def picture(self, asked: Asked) -> Json:
        """Give a picture of the history at full size.

        Raises:
            ConfigError: there is no such step or candidate.
        """
        opened = self._place.open()
        moment = _found(opened, asked.whole("step")).moment
        found = moment.result
        if asked.has("candidate"):
            number = asked.whole("candidate", low=0, high=max(0, len(moment.candidates) - 1))
            found = moment.candidates[number] if moment.candidates else found
        elif asked.choice("of", ("result", "before"), "result") == "before":
            found = moment.image
        return {"picture": self._place.desk.show(*encode(image_to_pil(found)))}

    def go(self, asked: Asked) -> Json:
        """Go to a step of the history.

        Raises:
            ConfigError: there is no such step.
        """
        return self._after(lambda session: session.go_to(asked.whole("step")), asked)

    def choose(self, asked: Asked) -> Json:
        """Take another candidate.

        Raises:
            ConfigError: there is no such candidate.
        """
        return self._after(lambda session: session.choose(asked.whole("candidate")), asked)

    def accept(self, asked: Asked) -> Json:
        """Go on from the result as the next picture, as a file of 8 bits has it.

        Raises:
            ConfigError: there is no edit.
        """
        opened = self._place.open()
        _, now = opened.session.history()
        moment = _found(opened, now).moment
        if not moment.candidates:
            raise ConfigError("there must be an edit to go on from, got none; apply one")
        file = self._place.file_of(opened, moment.result)
        return self._after(lambda session: session.take(file), asked)

    def discard(self, asked: Asked) -> Json:
        """Drop an edit that was stopped."""
        opened = self._place.open()
        _, now = opened.session.history()
        return self._after(lambda session: session.go_to(now), asked)

    def _after(self, do: Any, asked: Asked) -> Json:  # noqa: ANN401 - a call on a session
        do(self._place.open().session)
        self._place.keeper.ask()
        return self.told(asked)

    def _step(self, opened: Opened, step: Step, known: dict[int, Step]) -> Json:
        before = None if step.before is None else known[step.before].moment
        kind = kind_of(step.moment, before)
        return {
            "number": step.number,
            "before": step.before,
            "kind": kind,
            "thumb": "" if kind == "mask" else self._thumb(opened, step, -1),
        }

    def _edit(self, opened: Opened, known: dict[int, Step], now: int) -> Json | None:
        """The edit that the present step shows; None where it shows none."""
        moment = known[now].moment
        if not moment.candidates:
            return None
        made = edit_of(known, now)
        record = self.record(opened, made)
        metrics = record.get("metrics", {})
        config = record.get("config")
        return {
            "step": made,
            "candidates": [
                self._thumb(opened, known[now], number) for number in range(len(moment.candidates))
            ],
            "chosen": moment.chosen,
            "measured": known[made].moment.chosen if made in known else moment.chosen,
            "points": metrics.get("points", []),
            "stop": record.get("stop"),
            "remarks": [in_words(one) for one in moment.remarks],
            "seconds": sum(one["seconds"] for one in record.get("stages", [])),
            "drags": Drags.of_run(config, self._place.masks).told if config else None,
        }

    def record(self, opened: Opened, number: int) -> dict[str, Any]:
        """The record of the run that made an edit; empty where it is gone or goes on."""
        try:
            found = read_json(self._place.folder_of(opened, number) / "run.json")
        except ConfigError:
            return {}
        return found if found.get("status") == "done" else {}

    def _thumb(self, opened: Opened, step: Step, candidate: int) -> str:
        key = (opened.picture.id, step.number, candidate)
        if key not in self._thumbs:
            moment = step.moment
            image = moment.result if candidate < 0 else moment.candidates[candidate]
            content = encode(image_to_pil(_thumb_of(image)))
            self._thumbs[key] = self._place.desk.keep(*content, "thumbnail.png")
        self._thumbs.move_to_end(key)
        while len(self._thumbs) > THUMBS:
            self._thumbs.popitem(last=False)
        return self._thumbs[key]


def kind_of(moment: Moment, before: Moment | None) -> str:
    """What was done in a step, in a word."""
    if before is None:
        return "picture"
    if moment.image is not before.image:
        return "accepted"
    if moment.candidates and _same(moment.candidates, before.candidates):
        return "choice" if moment.chosen != before.chosen else "mask"
    return "edit" if moment.candidates else "mask"


def edit_of(known: dict[int, Step], number: int) -> int:
    """The step that made the candidates which a step shows."""
    candidates = known[number].moment.candidates
    before = known[number].before
    while before is not None and _same(known[before].moment.candidates, candidates):
        number, before = before, known[before].before
    return number


def _same(some: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    """Whether candidates are the very same ones."""
    pairs = zip(some, others, strict=False)
    return len(some) == len(others) and all(one is other for one, other in pairs)


def in_words(remark: str) -> str:
    """A remark without the names of settings."""
    for pattern, words in WORDS:
        remark = pattern.sub(words, remark)
    return remark


def _found(opened: Opened, number: int) -> Step:
    steps, _ = opened.session.history()
    for one in steps:
        if one.number == number:
            return one
    raise ConfigError(f"a step must be one of the history, got number {number}")


def _thumb_of(image: Tensor) -> Tensor:
    height, width = image.shape[-2:]
    return Window(0, 0, width, height, max(1.0, max(height, width) / THUMB_PX)).take(image)
