"""A canvas that draws nothing and keeps what it was told: the marks that all pictures are of."""

from dataclasses import dataclass
from typing import Any

from featurekit.scenes import KINDS


@dataclass(frozen=True)
class Mark:
    """One call that leaves something: what sort of mark it is, and where."""

    sort: str  # part, shade, stroke or edge
    points: tuple[tuple[float, float], ...]


class Recorder:
    """Takes every call of a canvas; parts, shades, strokes and edges become marks."""

    def __init__(self):
        self.marks = []

    def background(self, top, bottom, **_: Any):
        """A ground is no mark: it has no place."""

    def glow(self, centre, **_: Any):
        """Light is no mark: it has no rim."""

    def part(self, outline, *_: Any):
        self._add("part", outline)

    def shade(self, outline, *_: Any, **__: Any):
        self._add("shade", outline)

    def stroke(self, points, *_: Any, **__: Any):
        self._add("stroke", points)

    def edge(self, points, *_: Any, **__: Any):
        self._add("edge", points)

    def _add(self, sort, points):
        self.marks.append(Mark(sort, tuple((float(x), float(y)) for x, y in points)))


def marks_of(scene, *, backdrop):
    """All marks of a scene's figure in order, after those of its backdrop if these count."""
    kind, recorder = KINDS[scene.kind], Recorder()
    if backdrop:
        kind.backdrop(recorder, scene.params)
    kind.figure(recorder, scene.params)
    return recorder.marks
