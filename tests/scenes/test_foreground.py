"""Foregrounds: the mask holds the figure, all of it, and nothing of what is behind it."""

from dataclasses import replace

import numpy as np
import pytest

from featurekit.scenes import KINDS, Scene, scene

BEHIND = {
    "face": "background",
    "landscape": "sky",
    "animal": "wall",
    "building": "sky",
    "shapes": "background",
    "vehicle": "sky",
    "flowers": "wall",
}
FAR = {"sun", "peak"}  # named points of a landscape's backdrop
NEAR = 2  # px

every_kind = pytest.mark.parametrize("kind", KINDS)


def mask_of(one):
    return np.asarray(one.foreground())


@every_kind
def test_a_foreground_is_neither_next_to_nothing_nor_next_to_everything(kind):
    shares = [(mask_of(scene(seed, kind)) > 127).mean() for seed in range(20)]
    assert 0.05 < np.mean(shares) < 0.95
    # A tree that stands alone in its landscape is the least there is.
    assert (0.02 if kind == "landscape" else 0.05) < min(shares)
    assert max(shares) < 0.95


@every_kind
def test_named_points_of_the_figure_lie_on_the_foreground(kind):
    for seed in range(20):
        one = scene(seed, kind)
        seen = np.pad(mask_of(one) > 127, NEAR)
        for name, (x, y) in one.keypoints().items():
            if name in FAR:
                continue
            row, column = int(y * 64), int(x * 64)
            around = seen[row : row + 2 * NEAR + 1, column : column + 2 * NEAR + 1]
            assert around.any(), (seed, name)


@every_kind
def test_another_colour_behind_changes_the_backdrop_and_leaves_the_foreground(kind):
    for seed in range(6):
        one = scene(seed, kind)
        blue, cyan = (
            Scene(kind, replace(one.params, **{BEHIND[kind]: colour}), seed)
            for colour in ("blue", "cyan")
        )
        mask = mask_of(one)
        assert (mask_of(blue) == mask).all()
        assert (mask_of(cyan) == mask).all()
        images = [np.asarray(each.image()).astype(int) for each in (blue, cyan)]
        changed = abs(images[0] - images[1]).max(2)
        assert changed[mask == 255].max() <= 2
        assert (changed[mask == 0] > 20).mean() > 0.25
