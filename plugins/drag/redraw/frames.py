"""The frames of an animation of a planned drag."""

from torch import Tensor

from featurekit_drag.engine.edit import Frame
from featurekit_drag.engine.request import Request
from featurekit_drag.engine.settings import WarpSettings
from featurekit_drag.plan.warp_plan import Planner
from featurekit_drag.working_size import screen_of, taken


def frames_of(
    request: Request, planner: Planner, settings: WarpSettings, image: Tensor
) -> tuple[Frame, ...]:
    """The warp of the first parts of a drag, then its edit (1 3 h w), as a screen shows them."""
    count, frames = settings.animation_frames, []
    if not count:
        return ()
    screen = screen_of(request.image)
    small, seen = taken(request, screen), planner.at(screen)
    for share in (k / count for k in range(1, count)):
        plan = seen.plan(small.up_to(share), settings.plan)
        picture = plan.laid(small.image).picture.clamp(-1, 1)
        frames.append(Frame(picture, request.up_to(share).points.targets))
    return (*frames, Frame(screen.take(image), request.points.targets))
