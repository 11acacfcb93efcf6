"""What a person is told of a planned drag: what moves, and what the redraw goes by."""

from featurekit.backbones.denoisers import kind_of_denoiser
from featurekit.diffusion.backbone import Backbone
from featurekit.measures.denoising_error import has_known_scenes
from featurekit_drag.engine.request import Request
from featurekit_drag.plan.warp_plan import WarpPlan

KINDS = {
    "move": "the layer under the handle moves as a whole",
    "similarity": "the layer under the handles turns and scales",
    "anchored": "the layer is held on a side of the mask, or on two, and stretched to the target",
    "elastic": "the layer bends between its handles and what holds it",
    "regions": "what was brushed moves",
}


def remarks_on(plan: WarpPlan, mode: str) -> tuple[str, ...]:
    """Say what the plan does, and what to change where it is not what was meant."""
    if plan.kind == "around":
        return (
            "nothing stands out under the handle, so what lies around it moves; brush the thing "
            "itself with plugin.regions=[[mask.png,dx,dy]], or draw plugin.mask around it",
        )
    if not plan.stands_out:
        return (
            "nothing stands out under the handle, so all that may change moves; draw plugin.mask "
            "around one thing, or brush the thing itself with plugin.regions",
        )
    told = KINDS[plan.kind]
    if mode == "auto" and plan.kind != "regions":
        told += (
            "; plugin.mode=" + ("reshape" if plan.kind == "move" else "move") + " asks otherwise"
        )
    return (told,)


def unread_source(backbone: Backbone, attention: tuple[str, ...]) -> tuple[str, ...]:
    """Say where a redraw by a transformer does not read the picture before; nothing else.

    Args:
        backbone: that redraws.
        attention: what it shares.
    """
    if attention or kind_of_denoiser(backbone) == "unet":
        return ()
    return (
        "the redraw goes by what surrounds the hole alone: no attention of this transformer that "
        "would read the picture before is shared",
    )


def unseen_colours(backbone: Backbone, request: Request) -> tuple[str, ...]:
    """Say that patches fill the hole of a grey picture, of which the embedded model saw none.

    It misses little of the noise in one, as flat as they are, and still draws stripes there that
    nothing around them has. Of eleven flat drawings in grey, patches were nearer to the truth in
    all (MSE .005 and .012 on average), of sixteen bundled scenes made grey in five (.067 and .058).

    Args:
        backbone: that would redraw.
        request: with the picture.

    Returns:
        One sentence; none where the picture has colour or the model is another.
    """
    if request.has_colour or not has_known_scenes(backbone):
        return ()
    return (
        "patches of the picture fill the hole, since the embedded model has seen no picture "
        "without colour; plugin.fill=model redraws it",
    )
