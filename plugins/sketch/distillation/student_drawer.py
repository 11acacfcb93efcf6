"""Drawing with a student, by torch or by onnxruntime; large pictures in parts, without a seam."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from featurekit.core.types import Progress, silent
from featurekit.pipeline.extras import from_extra
from featurekit_sketch.distillation.export import EXTRA, INPUT, LOGIT, read_onnx
from featurekit_sketch.distillation.student_file import load_student
from featurekit_sketch.two_scales.rendering import crisp
from featurekit_sketch.working_size import resized, size_of, working_size

PART_PX = 1024  # side of what is drawn at once; some 200 MB
SEEN_PX = 208  # farther away nothing changes a pixel; a multiple of the student's stride

ToLogit: TypeAlias = Callable[[Tensor], Tensor]
"""A picture (1 3 h w) in [-1, 1] to the logit of its ink (1 1 h w)."""


@dataclass(frozen=True, eq=False)
class StudentDrawer:
    """Draws pictures of any size by a student, as ``drawer.Drawer`` asks.

    As its teacher it draws at the size that the style works at, where there is one, and enlarges
    strokes, not pixels.
    """

    to_logit: ToLogit
    side_px: int  # of a square picture at that size; 0: at a picture's own, in parts
    told: str  # how it draws, in words

    @property
    def part_px(self) -> int:
        """Side of what is drawn at once."""
        return self.side_px or PART_PX

    def parts(self, height: int, width: int) -> int:
        """Count the parts that a picture is drawn in."""
        return 1 if self.side_px else -(-height // PART_PX) * -(-width // PART_PX)

    def __call__(self, image: Tensor, *, progress: Progress = silent) -> Tensor:
        """Draw a picture at its own size.

        Args:
            image: (1 3 h w) in [-1, 1].
            progress: told after each part.

        Returns:
            Ink (1 1 h w) in [0, 1] on the CPU, white paper is 1.
        """
        size = size_of(image)
        if not self.side_px:
            return crisp(in_parts(self.to_logit, image, PART_PX, progress), *size)
        logit = self.to_logit(resized(image, working_size(size, self.side_px)))
        ink = crisp(logit, *size)
        progress(1, 1)
        return ink


def in_parts(to_logit: ToLogit, image: Tensor, part_px: int, progress: Progress) -> Tensor:
    """The logit of a large picture, of which each part sees all that changes it.

    Args:
        to_logit: what draws.
        image: (1 3 h w) in [-1, 1].
        part_px: side of a part, a multiple of the student's stride.
        progress: told after each part.
    """
    height, width = size_of(image)
    logit = torch.empty(1, 1, height, width)
    corners = list(product(range(0, height, part_px), range(0, width, part_px)))
    for done, (top, left) in enumerate(corners, 1):
        rows, columns = _seen(top, height, part_px), _seen(left, width, part_px)
        drawn = to_logit(image[..., rows, columns].contiguous())
        target = logit[..., top : top + part_px, left : left + part_px]
        first, second = top - rows.start, left - columns.start
        target.copy_(
            drawn[..., first : first + target.shape[-2], second : second + target.shape[-1]]
        )
        progress(done, len(corners))
    return logit


def student_drawer(path: Path | str, *, style: str | None = None) -> StudentDrawer:
    """Load a student that draws.

    Args:
        path: student.safetensors, or student.onnx for onnxruntime.
        style: digest of the style that it must draw in; None takes any.

    Raises:
        ConfigError: as ``load_student`` and ``read_onnx``; or onnxruntime is not installed.
    """
    if Path(path).suffix.lower() == ".onnx":
        content, words = read_onnx(path, style=style)
        to_logit, side_px = _by_onnxruntime(content), int(words["side_px"])
        return StudentDrawer(to_logit, side_px, "by a student, in onnxruntime")
    stored = load_student(path, style=style)
    return StudentDrawer(
        torch.inference_mode()(stored.student.forward), stored.side_px, "by a student, in torch"
    )


def _by_onnxruntime(content: bytes) -> ToLogit:
    """Draw by a graph, with as many threads as torch would use."""
    what = "a student in ONNX"
    options = from_extra("onnxruntime:SessionOptions", extra=EXTRA, what=what)()
    options.intra_op_num_threads = torch.get_num_threads()
    new_session = from_extra("onnxruntime:InferenceSession", extra=EXTRA, what=what)
    session = new_session(content, options, providers=["CPUExecutionProvider"])

    def to_logit(image: Tensor) -> Tensor:
        picture = np.ascontiguousarray(image.detach().cpu().float().numpy())
        (logit,) = session.run([LOGIT], {INPUT: picture})
        return torch.from_numpy(logit)

    return to_logit


def _seen(first: int, whole: int, part_px: int) -> slice:
    """What is read for a part of a side: all that can change it, from a multiple of the stride."""
    return slice(max(0, first - SEEN_PX), min(whole, first + part_px + SEEN_PX))
