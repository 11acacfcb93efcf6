"""Lines from one drawing: a decoder that could not miss, the edges beside it, and the report."""

import pytest
import torch

from featurekit.backbones import random
from featurekit.core.errors import UnknownNameError
from featurekit.measures.held_out import scenes_of
from featurekit.measures.model import lines as measure
from featurekit.scenes import TRAIN_SEEDS, scene

SIZE = 32


def noise(seed, channels=6):
    return torch.randn(1, channels, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def given_away(one, seed):
    """Features among which the drawing is."""
    return torch.cat([noise(seed), measure.drawing_of(one, "brush", SIZE)], 1)


def test_a_decoder_that_is_given_the_drawing_finds_its_lines_in_other_scenes():
    first, *others = scenes_of("face", 4)
    drawing = measure.drawing_of(first, "brush", SIZE)
    hand = measure.learn([given_away(first, 0), given_away(first, 1)], [drawing, drawing], steps=60)
    drawn = torch.cat([hand.draw(given_away(one, 2)) for one in others])
    truths = torch.cat([measure.drawing_of(one, "brush", SIZE) for one in others])
    assert measure.judged(drawn, truths) > 0.95


def test_a_decoder_that_is_given_noise_finds_no_more_lines_than_chance():
    first, other = scenes_of("face", 2)
    hand = measure.learn([noise(0)], [measure.drawing_of(first, "brush", SIZE)], steps=20)
    truth = measure.drawing_of(other, "brush", SIZE)
    assert measure.judged(hand.draw(noise(1)), truth) < 0.7


def test_equal_seeds_learn_equal_hands_and_leave_the_global_generator_alone():
    truth, before = (
        measure.drawing_of(scenes_of("face", 1)[0], "brush", SIZE),
        torch.get_rng_state(),
    )
    hands = [measure.learn([noise(0)], [truth], steps=4, seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    weights = [torch.cat([w.flatten() for w in h.decoders[0].parameters()]) for h in hands]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_soft_figure_is_the_hard_one_where_nothing_is_uncertain():
    a, b = (measure.drawing_of(one, "inline", SIZE) for one in scenes_of("building", 2))
    soft = measure.soft_f1((a < measure.DARK).float(), (b < measure.DARK).float())
    assert 0.1 < soft < 0.9
    assert float(soft) == pytest.approx(measure.judged(a, b), abs=1e-5)


def test_the_gradient_of_a_step_is_its_height_in_either_direction():
    step = torch.full((1, 3, 8, 8), -1.0)
    step[:, 1, :, 4:] = 0.0  # half of the range, in one channel alone
    for image in (step, step.transpose(2, 3)):
        slopes = measure.gradient(image)
        assert float(slopes.max()) == pytest.approx(0.25)
        assert int((slopes > 0.2).sum()) == 2 * 8


def test_each_view_is_learnt_with_its_own_drawing():
    ways = [torch.ones(1, 1, SIZE, SIZE) for _ in range(2)]
    ways[0][..., 8:10, :] = -1  # one across, one along
    ways[1][..., :, 20:22] = -1
    views = [torch.cat([noise(i), way], 1) for i, way in enumerate(ways)]
    right = measure.learn(views, ways, steps=40)
    wrong = measure.learn(views, ways[::-1], steps=40)
    found = [measure.judged(hand.draw(views[0]), ways[0]) for hand in (right, wrong)]
    assert found[0] > 0.95
    assert found[1] < 0.8


def test_the_threshold_of_edges_is_tuned_on_training_seeds_alone(monkeypatch):
    asked = []
    monkeypatch.setattr(measure, "TUNED_ON", 2)
    monkeypatch.setattr(
        measure, "scene", lambda seed, kind: asked.append((seed, kind)) or scene(seed, kind)
    )
    chosen = measure.tuned_strength(("face", "shapes"), "brush", SIZE)
    assert {kind for _, kind in asked} == {"face", "shapes"}
    assert all(seed in TRAIN_SEEDS for seed, _ in asked)
    assert chosen in measure.STRENGTHS


def test_a_tuned_threshold_beats_every_other(monkeypatch):
    monkeypatch.setattr(measure, "TUNED_ON", 3)
    best = measure.tuned_strength(("face",), "brush", SIZE)
    monkeypatch.setattr(measure, "STRENGTHS", (measure.STRENGTHS[0], best, measure.STRENGTHS[-1]))
    assert measure.tuned_strength(("face",), "brush", SIZE) == best
    assert best not in (measure.STRENGTHS[0], measure.STRENGTHS[-1])


def test_a_style_that_does_not_exist_is_refused_before_any_work():
    with pytest.raises(UnknownNameError, match="no drawing style named 'pencil'"):
        measure.measure_lines(None, style="pencil")


@pytest.mark.filterwarnings("ignore:the prompt has")
def test_the_measure_reports_every_row_by_kind_in_plain_numbers(monkeypatch):
    for name, small in {"VIEWS": 1, "TUNED_ON": 1, "DECODERS": 1, "ENSEMBLE": 1}.items():
        monkeypatch.setattr(measure, name, small)
    monkeypatch.setattr(measure, "TIMESTEPS", (1,))
    learn = measure.learn
    monkeypatch.setattr(measure, "learn", lambda *given: learn(*given, steps=2))
    told = []
    measured = measure.measure_lines(
        random.load("cpu"), kinds=("shapes",), tests=2, progress=lambda *n: told.append(n)
    )
    figures, rows = measured.figures, {*measure.ROWS, "edges"}
    assert set(figures["rows"]) == rows == set(figures["kinds"]["shapes"])
    assert figures["line_f1"] == figures["rows"]["unet+vae"]
    assert figures["edge_f1"] == figures["rows"]["edges"]
    numbers = [*figures["rows"].values(), *figures["kinds"]["shapes"].values()]
    assert all(type(number) is float and 0 <= number <= 1 for number in numbers)
    assert type(figures["edge_threshold"]) is float
    assert told == [(1, 1)]
    assert "lines" in measured.pictures
