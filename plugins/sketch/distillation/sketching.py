"""A picture to its ink by a student, in torch."""

import torch
from torch import Tensor, nn

from featurekit_sketch.distillation.rendering import Rendering
from featurekit_sketch.distillation.student import Student


class StudentSketcher(nn.Module):
    """Student and rendering in one: what is exported, and what draws."""

    def __init__(self, student: Student) -> None:
        """Draw as a student does.

        Args:
            student: in evaluation.
        """
        super().__init__()
        self.student, self.rendering = student, Rendering()

    def forward(self, picture: Tensor) -> Tensor:
        """Sketch pictures (b 3 h w) in [-1, 1] of any size: ink (b 1 h w) in [0, 1]."""
        ink: Tensor = self.rendering(self.student(picture))
        return ink


@torch.no_grad()
def sketched(sketcher: nn.Module, picture: Tensor) -> Tensor:
    """Sketch without remembering how."""
    ink: Tensor = sketcher(picture)
    return ink
