"""What is dragged: a user's picture, or a bundled scene whose true answer is known."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from warnings import warn

import torch
from torch import Tensor

from featurekit.core.errors import ConfigError, FeatureKitWarning, PointsError
from featurekit.core.types import Job
from featurekit.diffusion.backbone import Backbone
from featurekit.images.io import load_image
from featurekit.images.masks import load_mask
from featurekit.scenes import Move, held_out_moves
from featurekit_drag.config import DragConfig
from featurekit_drag.engine.points import Points, read_points
from featurekit_drag.engine.request import Region, Request
from featurekit_drag.pins import check_pins, is_pin, read_pins
from featurekit_drag.regions import read_region

WIDE = 0.6  # share of a picture; a mask that frees more is often one with black and white swapped


@dataclass(frozen=True)
class Subject:
    """A request together with the answer, where the world knows it."""

    request: Request
    name: str
    truth: Tensor | None = None  # (1 3 h w) the image after the move
    changed: Tensor | None = None  # (1 1 h w) bool, where truth and source differ visibly


def from_picture(job: Job) -> Subject:
    """Read the user's image, points and mask.

    Raises:
        ConfigError: points or a mask are given without an image.
        ImageError, MaskError, PointsError: see their readers.

    Warns:
        FeatureKitWarning: the mask lets most of the picture move.
    """
    settings: DragConfig = job.settings
    if job.image is None:
        raise ConfigError(
            "plugin.points, plugin.pins, plugin.regions and plugin.mask need the picture they "
            "belong to; give image=FILE"
        )
    image = load_image(job.image)
    height, width = image.shape[-2:]
    points, pins, regions = read_drags(
        settings.points, settings.pins, settings.regions, height=height, width=width
    )
    mask = None if settings.mask is None else load_mask(settings.mask, height, width)
    if mask is not None and mask.mean() > WIDE:
        warn(
            f"the mask lets {float(mask.mean()):.0%} of the picture move, more than {WIDE:.0%}: "
            f"white may change, black is held; swap the two if it was meant otherwise",
            FeatureKitWarning,
            stacklevel=2,
        )
    request = Request(image, points, mask, job.prompt, job.seed, pins, regions)
    return Subject(request, name=job.image)


def read_drags(
    points: Sequence[Any], pins: Sequence[Any], regions: Sequence[Any], *, height: int, width: int
) -> tuple[Points, Tensor, tuple[Region, ...]]:
    """Read drags, pins and regions; a drag without length is a pin.

    Args:
        points: rows ``[x0, y0, x1, y1]``, px of the picture, as a person wrote them.
        pins: rows ``[x, y]``.
        regions: rows ``[mask, dx, dy]``, or regions; instead of points.
        height: of the picture, px.
        width: likewise.

    Raises:
        PointsError: there are points and regions, or neither, or a row cannot be used, or a pin
            holds a handle.
        MaskError, ImageError: the mask of a region cannot be used.
    """
    still = read_pins(pins, height=height, width=width)
    if len(regions):
        if len(points):
            raise PointsError(
                "a drag is given by plugin.points or by plugin.regions, got both; leave one out"
            )
        brushed = tuple(
            row if isinstance(row, Region) else read_region(row, number, height=height, width=width)
            for number, row in enumerate(regions, start=1)
        )
        rows = [one.row for one in brushed]
        return read_points(rows, height=height, width=width), still, brushed
    ends = [row[:2] for row in points if is_pin(row)]
    drags = [row for row in points if not is_pin(row)]
    if ends:
        still = torch.cat([still, read_pins(ends, height=height, width=width)])
    found = read_points(drags, height=height, width=width)
    check_pins(still, found)
    return found, still, ()


def from_move(move: Move, *, size: int, seed: int) -> Subject:
    """Turn a move of the procedural world into a subject of ``size`` px."""
    image, truth = load_image(move.before.image(size)), load_image(move.after.image(size))
    rows = [[*handle, *target] for handle, target in move.drags_px(size)]
    points = read_points(rows, height=size, width=size)
    mask = load_mask(move.mask(size), size, size)
    request = Request(image, points, mask, move.before.caption(), seed)
    changed = torch.from_numpy(move.changed(size))[None, None]
    return Subject(request, f"{move.kind}: {move.name}", truth, changed)


def is_own(job: Job) -> bool:
    """Whether a picture of the user's own is to be dragged, or named in part."""
    settings: DragConfig = job.settings
    asked = settings.points or settings.pins or settings.regions
    return job.image is not None or bool(asked) or settings.mask is not None


def native_size(backbone: Backbone) -> int:
    """Side in px of a square image of the size that a backbone was trained on."""
    return min(backbone.sample_size) * backbone.stride


def subject_of(job: Job) -> Subject:
    """The user's picture if there is one, else the bundled scene ``plugin.scene``."""
    settings: DragConfig = job.settings
    if is_own(job):
        return from_picture(job)
    move = held_out_moves(settings.scene + 1, deforms=False)[settings.scene]
    subject = from_move(move, size=native_size(job.backbone), seed=job.seed)
    if not job.prompt:
        return subject
    return replace(subject, request=replace(subject.request, prompt=job.prompt))
