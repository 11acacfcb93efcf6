"""What a student draws beside its teacher on pairs kept aside, and with how much ink."""

import copy
from statistics import fmean

import torch
from torch import Tensor

from featurekit.core.metrics import line_f1, ssim
from featurekit.measures.model.lines import DARK
from featurekit_sketch.distillation.filtering import ink_share
from featurekit_sketch.distillation.pair_shards import Pairs
from featurekit_sketch.distillation.student import Student
from featurekit_sketch.two_scales.rendering import crisp
from featurekit_sketch.working_size import size_of

FIGURES = ("ssim", "f1", "ink")
FARTHEST = 4.0  # that a logit is shifted by
HALVINGS = 10  # of that range, to less than .01


def watch(student: Student, pairs: Pairs) -> tuple[float, float, float]:
    """Measure a student, balanced, beside its teacher.

    Args:
        student: in evaluation.
        pairs: that it has not learnt from.

    Returns:
        Mean SSIM, mean F1 of lines with 1 px of tolerance, and its ink in shares of the teacher's.
    """
    known = [(_logit(student, pair.picture), pair.ink) for pair in pairs]
    shift = _shift(known)
    inks = [(_drawn(logit + shift), wanted) for logit, wanted in known]
    both = [(2 * drawn - 1, 2 * wanted - 1) for drawn, wanted in inks]
    return (
        fmean(float(ssim(a, b)) for a, b in both),
        fmean(float(line_f1(a, b, threshold=DARK)) for a, b in both),
        fmean(ink_share(a) for a, _ in inks) / max(1e-6, fmean(ink_share(b) for _, b in inks)),
    )


def balanced(student: Student, pairs: Pairs) -> Student:
    """A student that draws as much ink as its teacher.

    F1 with a tolerance pays for lines that are too wide, and a doubtful student draws them wider
    than its teacher. One number, the last layer's bias, takes that back; no truth is needed.

    Args:
        student: in evaluation; it stays as it is.
        pairs: that it has not learnt from.

    Returns:
        A copy.
    """
    other = copy.deepcopy(student)
    shift = _shift([(_logit(student, pair.picture), pair.ink) for pair in pairs])
    other.ink.get_parameter("bias").data.add_(shift)
    return other.eval()


@torch.no_grad()
def _logit(student: Student, picture: Tensor) -> Tensor:
    logit: Tensor = student(picture)
    return logit


def _drawn(logit: Tensor) -> Tensor:
    return crisp(logit, *size_of(logit))


def _shift(known: list[tuple[Tensor, Tensor]]) -> float:
    """What is added to logits for their ink to be that of drawings, by halving the range."""
    wanted = sum(ink_share(ink) for _, ink in known)
    low, high = -FARTHEST, FARTHEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        drawn = sum(ink_share(_drawn(logit + middle)) for logit, _ in known)
        low, high = (middle, high) if drawn < wanted else (low, middle)
    return (low + high) / 2
