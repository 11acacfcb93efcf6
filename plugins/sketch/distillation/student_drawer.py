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
from featurekit_sketch.distillation.export import EXTRA, INPUT, OUTPUT, read_onnx
from featurekit_sketch.distillation.sketching import StudentSketcher
from featurekit_sketch.distillation.student_file import load_student
from featurekit_sketch.extras import from_extra

PART_PX = 1024  # side of what is drawn at once; some 200 MB
SEEN_PX = 208  # farther away nothing changes a pixel; a multiple of the student's stride

Draw: TypeAlias = Callable[[Tensor], Tensor]
"""A picture (1 3 h w) in [-1, 1] of any size to its ink (1 1 h w) in [0, 1]."""


@dataclass(frozen=True, eq=False)
class StudentDrawer:
    """Draws pictures of any size by a student, as ``drawer.Drawer`` asks."""

    draw: Draw
    told: str  # how it draws, in words
    part_px: int = PART_PX

    def parts(self, height: int, width: int) -> int:
        """Count the parts that a picture is drawn in."""
        return -(-height // self.part_px) * -(-width // self.part_px)

    def __call__(self, image: Tensor, *, progress: Progress = silent) -> Tensor:
        """Draw a picture at its own size; each part sees all that changes it.

        Args:
            image: (1 3 h w) in [-1, 1].
            progress: told after each part.

        Returns:
            Ink (1 1 h w) in [0, 1] on the CPU, white paper is 1.
        """
        height, width = image.shape[-2:]
        ink = torch.empty(1, 1, height, width)
        corners = list(product(range(0, height, self.part_px), range(0, width, self.part_px)))
        for done, (top, left) in enumerate(corners, 1):
            rows, columns = _seen(top, height, self.part_px), _seen(left, width, self.part_px)
            drawn = self.draw(image[..., rows, columns].contiguous())
            part = drawn[..., top - rows.start :, left - columns.start :]
            target = ink[..., top : top + self.part_px, left : left + self.part_px]
            target.copy_(part[..., : target.shape[-2], : target.shape[-1]])
            progress(done, len(corners))
        return ink


def student_drawer(path: Path | str, *, style: str | None = None) -> StudentDrawer:
    """Load a student that draws.

    Args:
        path: student.safetensors, or student.onnx for onnxruntime.
        style: digest of the style that it must draw in; None takes any.

    Raises:
        ConfigError: as ``load_student`` and ``read_onnx``; or onnxruntime is not installed.
    """
    if Path(path).suffix.lower() == ".onnx":
        told = "by a student in onnxruntime, in one look"
        return StudentDrawer(_by_onnxruntime(read_onnx(path, style=style)), told)
    sketcher = StudentSketcher(load_student(path, style=style).student).eval()
    return StudentDrawer(torch.inference_mode()(sketcher), "by a student in torch, in one look")


def _by_onnxruntime(content: bytes) -> Draw:
    """Draw by a graph, with as many threads as torch would use."""
    options = from_extra("onnxruntime:SessionOptions", extra=EXTRA, what="a student in ONNX")()
    options.intra_op_num_threads = torch.get_num_threads()
    session = from_extra("onnxruntime:InferenceSession", extra=EXTRA, what="a student in ONNX")(
        content, options, providers=["CPUExecutionProvider"]
    )

    def draw(image: Tensor) -> Tensor:
        picture = np.ascontiguousarray(image.detach().cpu().float().numpy())
        (ink,) = session.run([OUTPUT], {INPUT: picture})
        return torch.from_numpy(ink)

    return draw


def _seen(first: int, whole: int, part_px: int) -> slice:
    """What is read for a part of a side: all that can change it, from a multiple of the stride."""
    return slice(max(0, first - SEEN_PX), min(whole, first + part_px + SEEN_PX))
