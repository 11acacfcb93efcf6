"""What the measures share: held-out scenes as tensors, and a record of what came out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from featurekit.core.metrics import psnr
from featurekit.core.types import Conditioning
from featurekit.diffusion.backbone import Backbone
from featurekit.images.io import load_image
from featurekit.scenes import HELD_OUT_KINDS, TRAINED_KINDS, WATCHED, Scene, held_out_scenes

GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"trained": TRAINED_KINDS, "held_out": HELD_OUT_KINDS}
)
"""Kinds that are reported together, by the name of the row."""

EQUAL_DB = 100.0  # what equal pictures count in a mean; float32 itself ends at about 140


@dataclass(frozen=True)
class Measured:
    """What a measure found: numbers that JSON can hold, and pictures by their file's stem."""

    figures: Mapping[str, Any]
    pictures: Mapping[str, Image.Image] = field(default_factory=dict)


def side_px(backbone: Backbone) -> int:
    """Side of square pictures of the size that a model was trained on, px."""
    return min(backbone.sample_size) * backbone.stride


def scenes_of(kind: str, count: int, *, skip: int = 0) -> list[Scene]:
    """Held-out scenes of a kind that no training was watched by; ``skip`` leaves the first out."""
    return held_out_scenes(count, (kind,), skip=WATCHED + skip)


def image_of(scene: Scene, size: int) -> Tensor:
    """Paint a scene as a tensor, (1 3 size size) in [-1, 1]."""
    return load_image(scene.image(size))


def foreground_of(scene: Scene, size: int) -> Tensor:
    """How much of each pixel is foreground, (1 1 size size) in [0, 1]."""
    return (load_image(scene.foreground(size))[:, :1] + 1) / 2


def conditioned(backbone: Backbone, captions: Sequence[str]) -> Conditioning:
    """One conditioning for a batch in which each row has its own caption."""
    states = [backbone.embed(caption).states for caption in captions]
    return Conditioning(states=torch.cat(states), prompt="\n".join(captions))


def decibels(a: Tensor, b: Tensor, *, mask: Tensor | None = None) -> list[float]:
    """PSNR of each image of a batch, at most ``EQUAL_DB``, so that one exact copy leaves a mean."""
    return [min(EQUAL_DB, value) for value in psnr(a, b, mask=mask).tolist()]


def grouped(rows: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, Any]:
    """Mean of each figure by kind and by group, and ``<figure>_min`` for decibels.

    Args:
        rows: by kind, what was measured of each scene; the same figures in every row.

    Returns:
        ``kinds`` with one record a kind, and one record for each group that has scenes.
    """
    record: dict[str, Any] = {
        "kinds": {kind: _summary(found) for kind, found in rows.items() if found}
    }
    for group, kinds in GROUPS.items():
        together = [row for kind in kinds for row in rows.get(kind, ())]
        if together:
            record[group] = _summary(together)
    return record


def _summary(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    found = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        found[name] = sum(values) / len(values)
        if name.startswith("psnr"):
            found[f"{name}_min"] = min(values)
    return found
