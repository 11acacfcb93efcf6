"""What learns nothing: what each control draws, and that the edge map is the best of its kind."""

import pytest
import torch

from featurekit.core.errors import ConfigError
from featurekit.core.metrics import line_f1
from featurekit.measures.model.lines import DARK, STRENGTHS, gradient
from featurekit_sketch.drawing.xdog import xdog
from featurekit_sketch.metrics.controls import (
    SIGMAS_PX,
    Edges,
    EdgeTuning,
    controls,
    f1_by_strength,
)

HEIGHT, WIDTH = 24, 40


def step(height=1.0, noise=0.0, seed=0):
    """Dark left of column 20 and lighter by a share of the range right of it."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.full((1, 3, HEIGHT, WIDTH), -1.0)
    image[..., WIDTH // 2 :] += 2 * height
    return (image + noise * torch.randn(image.shape, generator=generator)).clamp(-1, 1)


def stroke(*columns):
    ink = torch.ones(1, 1, HEIGHT, WIDTH)
    for column in columns:
        ink[..., column] = 0
    return ink


def f1(drawn, truth):
    return float(line_f1(2 * drawn - 1, 2 * truth - 1, threshold=DARK))


def test_every_control_draws_ink_of_the_pictures_size():
    image = step(noise=0.3)
    drawn = {name: draw(image) for name, draw in controls(Edges(0.1, 1.0)).items()}
    assert list(drawn) == ["blank paper", "all black", "tuned edges", "XDoG"]
    for ink in drawn.values():
        assert ink.shape == (1, 1, HEIGHT, WIDTH)
        assert ink.dtype == torch.float32
        assert 0 <= float(ink.min()) <= float(ink.max()) <= 1
    assert (drawn["blank paper"] == 1).all()
    assert (drawn["all black"] == 0).all()
    assert torch.equal(drawn["XDoG"], xdog(image))
    assert set(drawn["tuned edges"].unique().tolist()) == {0.0, 1.0}


def test_an_edge_is_black_beside_the_step():
    assert torch.equal(Edges(0.3)(step()), stroke(19, 20))
    assert (Edges(0.3)(step(height=0.1)) == 1).all()


def test_a_blur_hides_what_is_smaller_than_it():
    image = torch.full((1, 3, HEIGHT, WIDTH), -1.0)
    image[..., 12, 20] = 1.0
    assert (Edges(0.05)(image) == 0).any()
    assert (Edges(0.05, 2.0)(image) == 1).all()
    assert (Edges(0.05, 2.0)(step()) == 0).any()


@pytest.mark.parametrize("truth", [stroke(19, 20), stroke(3), stroke()])
def test_f1_at_every_threshold_is_that_of_the_edge_map(truth):
    image = step(0.2, noise=0.05)
    wanted = [f1(Edges(strength)(image), truth) for strength in STRENGTHS]
    found = f1_by_strength(gradient(image), truth)
    torch.testing.assert_close(found, torch.tensor(wanted))


def test_tuning_finds_what_trying_each_would():
    pairs = [
        (step(0.3, noise=0.1), [stroke(19, 20), stroke(19)]),
        (step(0.15, noise=0.05, seed=1), [stroke(20)]),
        (step(0.0), [stroke()]),
    ]

    def mean(edges):
        rows = [[f1(edges(image), truth) for truth in truths] for image, truths in pairs]
        return sum(sum(row) / len(row) for row in rows) / len(rows)

    tried = {Edges(strength, sigma): 0.0 for sigma in SIGMAS_PX for strength in STRENGTHS}
    tried = {edges: mean(edges) for edges in tried}
    tuning = EdgeTuning()
    for pair in pairs:
        tuning.add(*pair)
    best = tuning.best
    assert tried[best] == pytest.approx(max(tried.values()), abs=1e-6)
    assert max(tried.values()) > sorted(tried.values())[len(tried) // 2] + 0.1  # it matters which
    assert best.sigma_px > 0  # the pictures are noisy


def test_nothing_to_tune_on_is_refused():
    with pytest.raises(ConfigError, match="must be tuned on a picture and its drawing"):
        _ = EdgeTuning().best
