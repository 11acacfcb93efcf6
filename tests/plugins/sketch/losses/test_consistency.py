"""Lines as the measure sees them, a sample drawn alike twice, and logits that can move."""

from dataclasses import dataclass, replace

import invented
import pytest
import torch

from featurekit.core.errors import ShapeError
from featurekit.measures.model.lines import drawing_of
from featurekit.pipeline.config import compose
from featurekit.scenes import TRAINED_KINDS, scene
from featurekit.scenes.drawings import STYLES
from featurekit_sketch.losses.sketch_loss import Sampled, SampleView, SketchLoss, lined
from featurekit_sketch.network.features import Features
from featurekit_sketch.network.sketch_network import SketchNetwork
from featurekit_sketch.sampling.feature_cache import FeatureCache
from featurekit_sketch.settings import Learning, Weights
from featurekit_sketch.training.published_course import (
    LOGITS,
    Examples,
    PublishedCourse,
    SampleViews,
    weights_at,
)
from featurekit_sketch.training.style_training import StyleTraining
from featurekit_sketch.training.trainer import Trainer

SIZE, TIMES = 32, 2
ANATOMY = invented.feature_taps("embedded")
LEARNING = Learning(
    iterations=8, learning_rate=1e-3, mixing=40.0, weights=Weights(lines=60.0, consistency=20.0)
)


class Flat:
    """A CLIP and a perceptual distance that see the mean colour alone."""

    name = "mean colour"

    def encode_image(self, image):
        return image.mean((2, 3))

    def prepared(self, reference):
        return lambda a: (a - reference).mean().square()


def loss_of(drawing):
    image = torch.zeros(1, 3, *drawing.shape[2:])
    return SketchLoss(Flat(), Flat(), source_image=image, drawing=drawing)


def cost(drawn, drawing):
    return loss_of(drawing)(drawn, None).lines.item()


def drawings(style):
    return [(drawing_of(scene(2, kind), style, 64) + 1) / 2 for kind in TRAINED_KINDS]


def rows():
    """Ink with one line, 2 px wide."""
    ink = torch.ones(1, 1, SIZE, SIZE)
    ink[..., 10:12, :] = 0
    return ink


def features(seed):
    return invented.features(ANATOMY, SIZE, SIZE, timesteps=TIMES, seed=seed)


def examples(asked=None):
    def again(number):
        if asked is not None:
            asked.append(number)
        return features(20 + number)

    loss, embeddings = loss_of(rows()), [torch.ones(1, 3), -torch.ones(1, 3)]
    echo = SampleViews(again, lambda _, ink: ink.flip(3))
    return Examples(
        FeatureCache(features), [loss], FeatureCache(lambda i: features(10 + i)), embeddings, echo
    )


def trainer(folder, *, learning=LEARNING, given=None):
    network = SketchNetwork(ANATOMY, timesteps=TIMES)
    course = PublishedCourse(given or examples(), learning, 0)
    return Trainer(network, course, folder / "training.safetensors", "key")


@pytest.mark.parametrize("style", STYLES)
def test_the_true_drawing_of_every_style_has_nearly_all_of_its_lines(style):
    for true in drawings(style):
        assert cost(true, true) < 0.05
        assert cost(1 - 0.8 * (1 - true), true) < 0.12  # paler: most lines are lines still
        assert cost(1 - 0.2 * (1 - true), true) > 0.6  # nothing of it is a line to the measure


def test_paper_is_no_line_at_all_and_the_curve_is_steepest_at_the_threshold():
    ink = torch.linspace(0, 1, 101, dtype=torch.float64)
    found = lined(ink)
    assert found[0] == 1
    assert found[-1] == 0
    assert (found.diff() < 0).all()
    assert float(ink[found.diff().argmin()]) == pytest.approx(0.6, abs=0.011)
    assert torch.equal(lined(torch.tensor([-0.5, 1.5])), torch.tensor([1.0, 0.0]))


def test_alike_asks_a_view_for_all_that_is_drawn_of_its_picture_however_faintly():
    loss, wanted = loss_of(rows()), rows().transpose(2, 3).contiguous()

    def alike(drawn, wanted):
        view = SampleView(drawn, wanted)
        return loss(rows(), Sampled(rows(), torch.ones(1, 3), view)).consistency.item()

    assert alike(wanted, wanted) == pytest.approx(0, abs=1e-6)
    assert alike(wanted, 1 - 0.3 * (1 - wanted)) == pytest.approx(0, abs=1e-6)
    assert alike(wanted, 1 - 0.2 * (1 - wanted)) > 0.9
    assert alike(1 - 0.3 * (1 - wanted), wanted) > 0.3
    assert alike(rows(), wanted) > 0.5


def test_alike_pulls_at_the_view_and_not_at_what_it_should_be():
    first = torch.full((1, 1, SIZE, SIZE), 0.7).requires_grad_()
    second = torch.full((1, 1, SIZE, SIZE), 0.7).requires_grad_()
    sample = Sampled(first, torch.ones(1, 3), SampleView(second, rows()))
    loss_of(rows())(rows(), sample).consistency.backward()
    assert first.grad is None
    assert (second.grad[..., 10:12, :] > 0).all()  # darker there
    assert (second.grad[..., 16:, :] < 0).all()  # whiter elsewhere


def test_alike_counts_nothing_in_the_first_half_and_all_in_the_last_quarter():
    found = [weights_at(i, LEARNING) for i in range(8)]
    assert [one.consistency for one in found] == [0, 0, 0, 0, 0, 10, 20, 20]
    assert {replace(one, consistency=20.0) for one in found} == {LEARNING.weights}


def test_views_of_samples_are_read_only_where_they_count(tmp_path):
    asked = []
    trace = trainer(tmp_path, given=examples(asked))()
    assert set(asked) == {1}  # the second half learns from the second of two samples
    assert [row["consistency"] > 0 for row in trace] == [False] * 5 + [True] * 3
    none = []
    published = replace(LEARNING, weights=Weights())
    folder = tmp_path / "published"
    folder.mkdir()
    assert all(
        row["consistency"] == 0
        for row in trainer(folder, learning=published, given=examples(none))()
    )
    assert not none


@pytest.mark.parametrize("mixing", [1.0, 40.0])
def test_logits_move_at_their_own_rate_and_all_else_at_the_rate(tmp_path, mixing):
    one = trainer(tmp_path, learning=replace(LEARNING, mixing=mixing))
    before = {name: each.clone() for name, each in one.network.state_dict().items()}
    one(until=1)  # Adam's first step is as long as the rate
    moved = {
        name: float((each - before[name]).abs().max())
        for name, each in one.network.state_dict().items()
    }
    logits = [step for name, step in moved.items() if name.endswith(LOGITS)]
    others = [step for name, step in moved.items() if not name.endswith(LOGITS)]
    assert len(logits) == 2
    assert logits == pytest.approx([mixing * 1e-3] * 2, rel=0.01)
    assert max(others) == pytest.approx(1e-3, rel=0.01)


def test_a_training_with_all_of_this_goes_on_where_it_was_stopped(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    straight = trainer(whole)
    trace = straight()
    trainer(parts)(until=6)
    resumed = trainer(parts)
    assert resumed() == trace
    ends = resumed.network.state_dict()
    assert all(
        torch.equal(ends[name], each) for name, each in straight.network.state_dict().items()
    )


@dataclass(frozen=True, eq=False)
class Shown(Features):
    """The picture that would be read, and which view it is told to be."""

    number: int


class Looking(StyleTraining):
    """A study that shows the views instead of reading them."""

    def _of_view(self, image, number):
        return Shown({}, {}, image, number)


def test_a_view_of_a_sample_and_its_ink_are_bent_alike():
    ink = rows()
    picture = (2 * ink - 1).expand(-1, 3, -1, -1)
    study = Looking(None, None, replace(LEARNING, views=5), None, None, seed=0)
    again = study._sample_views([picture, picture])
    cache = []
    for number in (0, 1):
        seen, moved = again.features(number), again.moved(number, ink)
        line, paper = moved < 0.02, moved > 0.98
        colours = [seen.image.movedim(1, -1)[part[:, 0]] for part in (line, paper)]
        assert (colours[0].mean(0) - colours[1].mean(0)).abs().max() > 0.1
        assert all(float(each.std(0).max()) < 0.1 for each in colours)
        assert seen.number == 5 + number  # the numbers before are of views of the drawn picture
        cache.append(moved)
    assert not torch.equal(*cache)
    assert torch.equal(again.moved(0, ink), cache[0])


def test_the_published_settings_know_nothing_of_this():
    for words in (
        ["plugin=sketch", "backbone=sd15"],
        ["plugin=sketch", "experiment=sketch_diffsketch"],
    ):
        found = compose(words).plugin
        assert (found.lines, found.consistency, found.mixing, found.contrast) == (0, 0, 1, 1)


def test_a_view_whose_two_sketches_differ_in_size_is_refused():
    view = SampleView(rows(), rows()[..., :-1])
    with pytest.raises(ShapeError, match="sketch that the view should have must be"):
        loss_of(rows())(rows(), Sampled(rows(), torch.ones(1, 3), view))
