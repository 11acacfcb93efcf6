"""The pictures of drags in the README and in the drag plugin's.

``python -m benchmarks.drag.pictures`` writes docs/pictures/drag_first.png (the first held-out scene
of each sort, none chosen) and docs/pictures/drag_plan.png (how the plan of the first comes about).
"""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

import featurekit as fk
from featurekit.images.false_colour import feature_picture
from featurekit.images.io import image_to_pil, write_image
from featurekit.images.marks import arrows, marked
from featurekit.images.pictures import contact_sheet
from featurekit.pipeline.config import compose
from featurekit.pipeline.run import resolved
from featurekit.scenes import held_out_moves
from featurekit_drag.config import DragConfig, warp_settings_of
from featurekit_drag.inputs import Subject, from_move
from featurekit_drag.plan.pixel_features import pixel_features
from featurekit_drag.redraw.warp_drag import WarpDrag

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
SIDE_PX = 256


def main() -> None:
    """Drag the first scenes and write both pictures."""
    backbone = fk.load_backbone("embedded", device="cpu")
    config = DragConfig(**resolved(compose(["plugin=drag", "backbone=embedded"]))["plugin"])
    drag = WarpDrag(backbone, warp_settings_of(config))
    rows = {}
    for sort, deforms in {"moves": False, "changes shape": True}.items():
        subject = from_move(held_out_moves(1, deforms=deforms)[0], size=64, seed=0)
        assert subject.truth is not None
        edit = drag(subject.request)
        rows[sort] = [_before(subject), _tile(edit.image), _tile(subject.truth)]
        if not deforms:
            write_image(_plan(drag, subject), PICTURES / "drag_plan.png")
    titles = ["before", "after", "the true result"]
    write_image(contact_sheet(rows, titles), PICTURES / "drag_first.png")


def _plan(drag: WarpDrag, subject: Subject) -> Image.Image:
    """Features, layer, warp, hole and edit, side by side."""
    request = subject.request
    planner = drag.planner(request)
    plan = planner.plan(request, drag.settings.plan)
    laid = plan.laid(request.image)
    read = pixel_features(
        drag.backbone, request.image, planner.grid, drag.settings.plan, prompt=request.prompt
    )
    shown = {
        "drag and mask": _before(subject),
        "features": feature_picture(read.features[None]).resize((SIDE_PX, SIDE_PX)),
        "layer": _grey(plan.layers[0].alpha),
        "warp": _tile(laid.picture),
        "uncovered": _grey(laid.hole),
        "redrawn": _tile(drag(request).image),
    }
    return contact_sheet({"": [*shown.values()]}, [*shown])


def _before(subject: Subject) -> Image.Image:
    image = subject.request.image
    scale = SIDE_PX / image.shape[-1]
    return marked(_tile(image), scale, arrows(subject.request.points.rows))


def _tile(image: Tensor) -> Image.Image:
    return image_to_pil(image).resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)


def _grey(mask: Tensor) -> Image.Image:
    return _tile(torch.as_tensor(mask * 2 - 1).expand(1, 3, -1, -1))


if __name__ == "__main__":
    main()
