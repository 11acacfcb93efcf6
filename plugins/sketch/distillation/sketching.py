"""A picture to its ink and its logit by a student: the graph that is exported."""

from torch import Tensor, nn

from featurekit_sketch.distillation.rendering import Rendering
from featurekit_sketch.distillation.student import Student


class StudentSketcher(nn.Module):
    """Student and rendering in one."""

    def __init__(self, student: Student) -> None:
        """Draw as a student does.

        Args:
            student: in evaluation.
        """
        super().__init__()
        self.student, self.rendering = student, Rendering()

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Sketch pictures (b 3 h w) in [-1, 1] of any size.

        Returns:
            Ink (b 1 h w) in [0, 1], white paper is 1; and the logit that it is drawn from.
        """
        logit: Tensor = self.student(picture)
        return self.rendering(logit), logit
