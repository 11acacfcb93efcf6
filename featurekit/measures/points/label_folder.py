"""One labelled picture labels a folder of others: their masks, and a sheet to judge them by."""

from collections.abc import Mapping
from pathlib import PurePath

import torch
from PIL import Image
from torch import Tensor

from featurekit.analysis.plots import captioned
from featurekit.core import fields
from featurekit.core.types import Progress, silent
from featurekit.features.recipes import Recipe
from featurekit.images.class_masks import Classes
from featurekit.images.io import image_to_pil, load_image
from featurekit.images.pictures import contact_sheet
from featurekit.measures.held_out import Measured, side_px
from featurekit.measures.points.label_transfer import RECIPE, Labeller
from featurekit.measures.points.point_features import seen_px
from featurekit.measures.random_weights import Family

COLUMNS, SHOWN, TILE_PX = 5, 30, 256  # of the sheet
TINT = 0.6  # how much of a label's colour is over the picture


@torch.no_grad()
def label_pictures(
    backbone: Family,
    labelled: tuple[Tensor, Classes],
    pictures: Mapping[str, Tensor],
    *,
    recipe: Recipe = RECIPE,
    seed: int = 0,
    progress: Progress = silent,
) -> Measured:
    """Carry the classes of one picture over to others.

    Pictures are made smaller or larger beforehand, with both sides by the same factor; the masks
    have the pictures' own sizes. What is right is not known here: look at the sheet.

    Args:
        backbone: a loaded model.
        labelled: picture (1 3 h w) in [-1, 1], and its classes.
        pictures: (1 3 h2 w2) in [-1, 1] by file name, any sizes.
        recipe: which features, compared together, and the longer side of the pictures as the
            network sees them; where it names none, that which the model was trained on.
        seed: of the noise.
        progress: called after each picture.

    Returns:
        Figures ``labelled`` (share of each class) and ``pictures``: by file name its ``mask``,
        the ``shares`` of the classes and the ``agreement``, the mean share of the nearest cells
        that say what was chosen. The pictures ``masks/<name>`` have the classes' values as
        indices of a palette; ``labels`` shows them laid on the pictures.

    Raises:
        FeatureKitError: as in ``Labeller``.
    """
    picture, classes = labelled
    longer = recipe.size_px or side_px(backbone)
    here = _seen(picture, longer)
    labels = fields.resize(classes.labels, *here.shape[2:], mode="area")
    labeller = Labeller(backbone, (here, labels), recipe, seed=seed)
    names = _mask_names(pictures)
    rows, masks = {}, {}
    tiles: list[Image.Image | None] = [
        _tile(laid_on(picture, classes.labels, classes), "labelled by hand")
    ]
    for done, (name, image) in enumerate(pictures.items(), start=1):
        found = fields.resize(labeller(_seen(image, longer)), *image.shape[2:])
        masks[names[name]] = classes.picture(found)
        rows[name] = {
            "mask": f"{names[name]}.png",
            "shares": _shares(found, classes),
            "agreement": float(found.amax(1).mean()),
        }
        if len(tiles) < SHOWN:
            tiles.append(_tile(laid_on(image, found, classes), name))
        progress(done, len(pictures))
    sheet = {" " * i: tiles[i : i + COLUMNS] for i in range(0, len(tiles), COLUMNS)}
    figures = {
        "side_px": longer,
        "labelled": _shares(classes.labels, classes),
        "pictures": rows,
    }
    return Measured(figures, {"labels": contact_sheet(sheet, ()), **masks})


def laid_on(image: Tensor, labels: Tensor, classes: Classes) -> Image.Image:
    """Lay the colours of classes on a picture; what is no thing stays as it is.

    Args:
        image: (1 3 h w) in [-1, 1].
        labels: how much of each pixel is of each class, (1 k h w).
        classes: whose tints are taken.
    """
    found = image.clone()
    chosen = labels[0].argmax(0)
    for index, tint in enumerate(classes.tints):
        if tint is not None:
            colour = torch.tensor(tint).float()[:, None] / 127.5 - 1
            here = chosen == index
            found[0, :, here] = (1 - TINT) * found[0, :, here] + TINT * colour
    return image_to_pil(found)


def _tile(picture: Image.Image, name: str) -> Image.Image:
    shown = picture.resize(seen_px(picture.size, TILE_PX), Image.Resampling.LANCZOS)
    return captioned(shown, name)


def _seen(image: Tensor, longer: int) -> Tensor:
    """The picture as the network sees it."""
    photo = image_to_pil(image)
    size = seen_px(photo.size, longer)
    return image if size == photo.size else load_image(photo.resize(size, Image.Resampling.LANCZOS))


def _shares(labels: Tensor, classes: Classes) -> dict[str, float]:
    chosen = labels[0].argmax(0)
    each = [(chosen == index).double().mean() for index in range(len(classes.values))]
    return {str(value): float(share) for value, share in zip(classes.values, each, strict=True)}


def _mask_names(pictures: Mapping[str, Tensor]) -> dict[str, str]:
    """Where each picture's mask goes: by its name without the ending, if no other has that."""
    stems = [PurePath(name).stem for name in pictures]
    return {
        name: f"masks/{stem if stems.count(stem) == 1 else name}"
        for name, stem in zip(pictures, stems, strict=True)
    }
