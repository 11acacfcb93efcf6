"""No style is an edge map: a detector that is tuned on training scenes misses the held-out ones."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from featurekit.core.metrics import line_f1
from featurekit.scenes import HELD_OUT_SEEDS, TRAIN_SEEDS, TRAINED_KINDS, scene
from featurekit.scenes.drawings import STYLES

PER_KIND = 8
DARK = 0.6  # of white: what is darker is a line
ENOUGH = 0.75  # F1 from which on an edge map would pass for a drawing
THRESHOLDS = (2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 18, 20, 23, 26, 30, 35, 40, 50, 60, 80)


def tensors(pictures):
    pixels = torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures]))
    return pixels.permute(0, 3, 1, 2).float()


def gradients(images):
    """Sobel's magnitude, the largest of the channels, in grey levels a px, (b 1 h w)."""
    down = torch.tensor([[-1.0, -2, -1], [0, 0, 0], [1, 2, 1]]) / 8
    kernels = torch.stack((down, down.T))[:, None]
    framed = functional.pad(images, (1, 1, 1, 1), mode="replicate").flatten(0, 1)[:, None]
    steps = functional.conv2d(framed, kernels)
    return steps.norm(dim=1).view(images.shape).amax(1, keepdim=True)


@pytest.fixture(scope="module")
def worlds():
    """Pictures' gradients and drawings of training scenes and of held-out ones."""
    found = []
    for seeds in (TRAIN_SEEDS[:PER_KIND], HELD_OUT_SEEDS[:PER_KIND]):
        scenes = [scene(seed, kind) for kind in TRAINED_KINDS for seed in seeds]
        drawings = {style: tensors([s.drawing(64, style) for s in scenes]) for style in STYLES}
        found.append((gradients(tensors([s.image() for s in scenes])), drawings))
    return found


def mean_f1(edges, threshold, drawings):
    lines = 1 - 2 * (edges > threshold).float()
    judged = line_f1(lines, drawings.mean(1, keepdim=True) / 127.5 - 1, threshold=2 * DARK - 1)
    return float(judged.mean())


def best_on_held_out(worlds, drawn):
    """F1 on held-out scenes with the threshold that is best on training scenes."""
    (edges, drawings), (other_edges, other_drawings) = worlds
    chosen = max(THRESHOLDS, key=lambda level: mean_f1(edges, level, drawn(drawings, edges)))
    assert THRESHOLDS[0] < chosen < THRESHOLDS[-1]
    return mean_f1(other_edges, chosen, drawn(other_drawings, other_edges))


@pytest.mark.parametrize("style", STYLES)
def test_a_gradients_edge_map_is_no_drawing_of_any_style(worlds, style):
    found = best_on_held_out(worlds, lambda drawings, _: drawings[style])
    assert 0.2 < found <= ENOUGH, found


def test_the_detector_would_find_drawings_that_are_edge_maps(worlds):
    def traced(_, edges):
        return torch.where(edges > 17, 0.0, 255.0)

    assert best_on_held_out(worlds, traced) > 0.9
