"""SketchLoss: what each term is, that they add up, and that gradients reach the sketches alone."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from featurekit.backbones import open_clip
from featurekit.backbones.open_clip import OpenClip
from featurekit.core.errors import ShapeError
from featurekit.measures.perceptual.distances import ClipPerceptual
from featurekit_sketch.losses.sketch_loss import Sampled, SketchLoss, Terms
from featurekit_sketch.settings import Weights

SIDE = 4
PIXELS = 3 * SIDE * SIDE


def generator(seed):
    return torch.Generator().manual_seed(seed)


class Matrix:
    """A CLIP that is one matrix: embeddings can be planned. It keeps what it was shown."""

    def __init__(self, matrix=None):
        self.matrix = torch.eye(PIXELS, dtype=torch.float64) if matrix is None else matrix
        self.shown = []

    def encode_image(self, image):
        self.shown.append(image)
        return image.flatten(1).to(self.matrix) @ self.matrix.T


class Pixels:
    """The perceptual distance without perception."""

    name = "pixels"

    def prepared(self, reference):
        return lambda a: (a - reference).abs().mean()


def drawing(seed, size=(SIDE, SIDE)):
    return torch.rand(1, 1, *size, generator=generator(seed), dtype=torch.float64)


def picture(seed, size=(SIDE, SIDE)):
    return torch.rand(1, 3, *size, generator=generator(seed), dtype=torch.float64) * 2 - 1


def seen(sketch):
    """The embedding of a sketch by a ``Matrix`` of the identity."""
    return (2 * sketch - 1).expand(-1, 3, -1, -1).flatten(1)


def loss_of(*, image, sketch, clip=None):
    return SketchLoss(clip or Matrix(), Pixels(), source_image=image, drawing=sketch)


def terms(*, source, sample):
    """Terms of a source and a sample, each a picture and its sketch, for the identity."""
    loss = loss_of(image=source[0], sketch=source[1])
    return loss(source[1], Sampled(sample[1], loss.embed(sample[0])))


def as_picture(embedding):
    return embedding.view(1, 3, SIDE, SIDE)


def across_of(way):
    """What across gives where the sample goes ``way``(the source's own way) from its picture."""
    image, sketch, drawn = picture(1), drawing(2), drawing(3)
    start = seen(drawn) - way(seen(sketch) - image.flatten(1))
    return terms(source=(image, sketch), sample=(as_picture(start), drawn)).across.item()


def within_of(way):
    """What within gives where the sketches go ``way``(their own way) between the pictures."""
    image, sketch, drawn = picture(1), drawing(2), drawing(3)
    end = image.flatten(1) + way(seen(drawn) - seen(sketch))
    return terms(source=(image, sketch), sample=(as_picture(end), drawn)).within.item()


def orthogonal(way):
    other = torch.randn(way.shape, generator=generator(9), dtype=way.dtype)
    return other - way * (other @ way.T) / (way @ way.T)


def test_a_sample_that_completes_the_parallelogram_has_neither_across_nor_within():
    image, sketch, drawn = picture(1), drawing(2), drawing(3)
    sampled = as_picture(seen(drawn) - seen(sketch) + image.flatten(1))
    found = terms(source=(image, sketch), sample=(sampled, drawn))
    assert abs(found.across.item()) < 1e-6
    assert abs(found.within.item()) < 1e-6


@pytest.mark.parametrize("term", [across_of, within_of])
@pytest.mark.parametrize(
    ("way", "expected"),
    [
        (lambda way: way, 0),
        (lambda way: -way, 2),
        (orthogonal, 1),
        (lambda way: 1000 * way, 0),
        (lambda way: way / 1000, 0),
        (lambda way: way + orthogonal(way) * way.norm() / orthogonal(way).norm(), 1 - 0.5**0.5),
    ],
    ids=["along", "opposite", "orthogonal", "longer", "shorter", "halfway"],
)
def test_a_direction_counts_by_its_angle_alone(term, way, expected):
    assert term(way) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("scale", [1e-3, 7.0, 1e4])
def test_the_scale_of_the_embeddings_is_no_matter(scale):
    matrix = torch.randn(6, PIXELS, generator=generator(5), dtype=torch.float64)
    found = []
    for factor in (1.0, scale):
        loss = loss_of(image=picture(1), sketch=drawing(2), clip=Matrix(factor * matrix))
        one = loss(drawing(10), Sampled(drawing(4), loss.embed(picture(6))))
        found.append(one.as_floats())
    assert found[0] == pytest.approx(found[1], abs=1e-6)
    assert found[0].pop("consistency") == 0  # of a view, of which there is none
    assert all(0.01 < value < 2 for value in found[0].values())


def sure(ink):
    """A logistic curve around 0.6 that is 0 at white paper and 1 at black."""
    curve, white, black = (1 / (1 + (8 * (x - 0.6)).exp()) for x in (ink, ink * 0 + 1, ink * 0))
    return ((curve - white) / (black - white)).clamp(0, 1)


def line_score(drawn, sketch):
    """F1 of ink against lines below 0.6, pixel by pixel, each seen within one pixel around."""
    ink, truth = sure(drawn)[0, 0].tolist(), (sketch[0, 0] < 0.6).double().tolist()
    cells = [(i, j) for i in range(SIDE) for j in range(SIDE)]

    def near(table, i, j):
        return max(table[k][m] for k, m in cells if abs(k - i) <= 1 and abs(m - j) <= 1)

    hits = sum(ink[i][j] * near(truth, i, j) for i, j in cells)
    found = sum(truth[i][j] * near(ink, i, j) for i, j in cells)
    precision = hits / max(1, sum(map(sum, ink)))
    recall = found / max(1, sum(map(sum, truth)))
    return 2 * precision * recall / (precision + recall)


def test_each_term_is_what_its_formula_says():
    image, other = picture(1), picture(5)
    sketch, drawn, sampled = drawing(2), drawing(3), drawing(4)
    matrix = torch.randn(6, PIXELS, generator=generator(5), dtype=torch.float64)
    loss = loss_of(image=image, sketch=sketch, clip=Matrix(matrix))
    found = loss(drawn, Sampled(sampled, loss.embed(other))).as_floats()

    def turned(a, b):
        return 1 - functional.cosine_similarity(a, b).item()

    source, target, got = (matrix @ seen(one)[0] for one in (drawn, sketch, sampled))
    at, there = (matrix @ one.flatten() for one in (image, other))
    assert found == pytest.approx(
        {
            "l1": (drawn - sketch).abs().mean().item(),
            "perceptual": 2 * (drawn - sketch).abs().mean().item(),  # of pictures in [-1, 1]
            "clip": turned(source[None], target[None]),
            "across": turned((got - there)[None], (target - at)[None]),
            "within": turned((got - target)[None], (there - at)[None]),
            "lines": 1 - line_score(drawn, sketch),
            "consistency": 0,
        },
        abs=1e-12,
    )


def test_the_total_is_the_weighted_sum():
    values = torch.rand(7, generator=generator(0), dtype=torch.float64)
    own = Weights(
        l1=2.0, perceptual=3.0, clip=5.0, across=7.0, within=11.0, lines=13.0, consistency=17.0
    )
    for weights, factors in (
        (Weights(), [30, 15, 30, 1, 1, 0, 0]),
        (own, [2, 3, 5, 7, 11, 13, 17]),
    ):
        total = Terms(*values).total(weights)
        assert total.shape == ()
        expected = (values @ values.new_tensor(factors)).item()
        assert total.item() == pytest.approx(expected, abs=1e-6)


@pytest.fixture(scope="module")
def clip():
    return open_clip.load(device="cpu")


def test_a_perfect_drawing_costs_nothing(clip):
    image, sketch = picture(1, (48, 40)).float(), drawing(2, (48, 40)).float()
    loss = SketchLoss(clip, ClipPerceptual(clip), source_image=image, drawing=sketch)
    found = loss(sketch, None)
    assert abs(found.total(Weights()).item()) < 1e-5
    assert loss(1 - sketch, None).total(Weights()).item() > 10


def test_another_view_of_the_drawing_changes_what_is_drawn_and_not_the_directions():
    sketch, view, drawn = drawing(2), drawing(7), drawing(3)
    loss = loss_of(image=picture(1), sketch=sketch)
    sample = Sampled(drawing(4), loss.embed(picture(6)))
    before, other = loss(drawn, sample).as_floats(), loss.of_view(view)(drawn, sample).as_floats()
    alone = loss_of(image=picture(1), sketch=view)(drawn, None).as_floats()
    for name in ("l1", "perceptual", "clip", "lines"):
        assert other[name] == alone[name] != before[name]
    for name in ("across", "within"):
        assert other[name] == before[name] != 0
    assert loss(drawn, sample).as_floats() == before


def test_a_view_of_another_size_is_refused():
    loss = loss_of(image=picture(1), sketch=drawing(2))
    with pytest.raises(ShapeError, match="view of the drawing"):
        loss.of_view(drawing(2, (SIDE, SIDE + 1)))


def test_without_a_sample_its_two_terms_are_exactly_zero():
    found = loss_of(image=picture(1), sketch=drawing(2))(drawing(3), None)
    assert found.across.item() == found.within.item() == 0
    assert found.across.shape == found.within.shape == found.l1.shape == ()


def gradient(*, sketch, sample, source=None):
    drawn = sketch.clone().requires_grad_()
    loss = loss_of(image=source, sketch=drawing(2))
    found = loss(drawing(3), Sampled(drawn, loss.embed(sample)))
    (slope,) = torch.autograd.grad(found.total(Weights()), drawn)
    return found, slope


def test_the_sources_own_picture_asks_nothing_of_within():
    found, slope = gradient(sketch=drawing(4), sample=picture(1), source=picture(1))
    assert found.within.item() == 0
    assert found.across.item() > 0.01
    assert slope.isfinite().all()


def test_the_sources_own_drawing_for_another_picture_counts_as_orthogonal():
    found, slope = gradient(sketch=drawing(2), sample=picture(5), source=picture(1))
    assert found.within.item() == 1
    assert slope.isfinite().all()


@pytest.mark.parametrize("shift", [0.0, 1e-9])
def test_the_source_as_its_own_sample_gives_no_nan_and_no_huge_slope(shift):
    found, slope = gradient(sketch=drawing(2) + shift, sample=picture(1), source=picture(1))
    assert found.within.item() == 0
    assert found.across.item() == pytest.approx(0, abs=1e-6)
    assert slope.abs().max() < 1


def test_rounding_alone_is_no_direction():
    found, slope = gradient(sketch=drawing(2) + 1e-9, sample=picture(5), source=picture(1))
    assert found.within.item() == 1
    assert slope.abs().max() < 10


def test_an_embedding_of_nothing_gives_no_nan():
    grey = torch.full((1, 1, SIDE, SIDE), 0.5, dtype=torch.float64).requires_grad_()
    found = loss_of(image=picture(1), sketch=drawing(2))(grey, None)
    (slope,) = torch.autograd.grad(found.total(Weights()), grey)
    assert found.clip.item() == 1
    assert slope.isfinite().all()


def test_both_networks_see_grey_pictures_from_minus_one_to_one_unclamped():
    class Watching(Pixels):
        def prepared(self, reference):
            def distance(a):
                self.seen = a, reference
                return (a - reference).abs().mean()

            return distance

    clip, watching = Matrix(), Watching()
    image, sketch = picture(1), drawing(2)
    loss = SketchLoss(clip, watching, source_image=image, drawing=sketch)
    drawn = 3 * drawing(3) - 1
    loss(drawn, Sampled(drawing(4), loss.embed(picture(5))))
    wanted = [2 * sketch - 1, image, picture(5), 2 * drawn - 1, 2 * drawing(4) - 1]
    assert len(clip.shown) == len(wanted)
    for shown, expected in zip(clip.shown, wanted, strict=True):
        assert torch.allclose(shown, expected.expand(1, 3, SIDE, SIDE))
    for shown, expected in zip(watching.seen, (drawn, sketch), strict=True):
        assert torch.allclose(shown, (2 * expected - 1).expand(1, 3, SIDE, SIDE))


class Tiny(nn.Module):
    """A CLIP with bends, frozen."""

    def __init__(self):
        super().__init__()
        shapes = (8, 3, 3, 3), (5, 8)
        filters, last = (torch.randn(s, generator=generator(7)).double() / 3 for s in shapes)
        self.filters, self.last = (nn.Parameter(w, requires_grad=False) for w in (filters, last))

    def encode_image(self, image):
        return functional.conv2d(image, self.filters).tanh().mean((2, 3)) @ self.last.T


def test_the_gradient_is_that_of_finite_differences():
    loss = loss_of(image=picture(1), sketch=drawing(2), clip=Tiny())
    embedding = loss.embed(picture(5))

    def total(both):
        return loss(both[0], Sampled(both[1], embedding)).total(Weights())

    both = torch.stack((drawing(3), drawing(4))).requires_grad_()
    (slope,) = torch.autograd.grad(total(both), both)
    found = torch.zeros_like(slope).flatten()
    with torch.no_grad():
        for i in range(len(found)):
            step = torch.zeros_like(found).index_fill(0, torch.tensor(i), 1e-6).view_as(both)
            found[i] = (total(both + step) - total(both - step)) / 2e-6
    assert (found.view_as(slope) - slope).norm() < 1e-4 * slope.norm()
    assert all((part != 0).all() for part in slope)


def test_no_gradient_reaches_the_frozen_networks_or_what_was_embedded_before(clip):
    image, sketch, other = (
        one.float().requires_grad_()
        for one in (picture(1, (32, 32)), drawing(2, (32, 32)), picture(5, (32, 32)))
    )
    loss = SketchLoss(clip, ClipPerceptual(clip), source_image=image, drawing=sketch)
    source, sample = (drawing(seed, (32, 32)).float().requires_grad_() for seed in (3, 4))
    found = loss(source, Sampled(sample, loss.embed(other)))
    found.total(Weights()).backward()
    assert all(value > 0 for name, value in found.as_floats().items() if name != "consistency")
    assert source.grad.abs().sum() > 0
    assert sample.grad.abs().sum() > 0
    assert image.grad is sketch.grad is other.grad is None
    assert all(weight.grad is None for weight in clip.network.parameters())


def encoder_of(side):
    """The preparation of an open_clip model of that size, with CLIP's own constants."""
    return OpenClip(
        name="prepares only",
        network=None,
        tokenize=None,
        size=(side, side),
        mean=(0.48145466, 0.4578275, 0.40821073),
        std=(0.26862954, 0.26130258, 0.27577711),
        interpolation="bicubic",
        resizing="squash",
    )


@pytest.mark.parametrize("value", [-1.0, 0.2, 1.0])
def test_a_constant_picture_is_standardised_by_the_models_own_constants(value):
    clip = encoder_of(224)
    found = clip.prepared(torch.full((1, 3, 512, 512), value))
    for channel, mean, std in zip(found[0], clip.mean, clip.std, strict=True):
        assert (channel - ((value + 1) / 2 - mean) / std).abs().max() < 1e-4


def test_a_checkerboard_of_single_pixels_becomes_grey_which_it_would_not_without_antialiasing():
    clip, places = encoder_of(224), torch.arange(512)
    board = ((places[:, None] + places) % 2 * 2.0 - 1).expand(1, 3, -1, -1)
    deviations = [
        ((one + 1) / 2)[0, 0].std().item()
        for one in (
            clip.prepared(board) * torch.tensor(clip.std).view(-1, 1, 1) * 2,
            functional.interpolate(board, clip.size, mode=clip.interpolation, antialias=False),
        )
    ]
    assert deviations[0] < 0.01
    assert deviations[1] > 0.1


def test_pictures_of_another_size_than_the_drawing_are_refused():
    with pytest.raises(ShapeError, match=r"source image must be \(1 3 h=4 w=4\), got .*5"):
        loss_of(image=picture(1, (4, 5)), sketch=drawing(2))
    with pytest.raises(ShapeError, match=r"sketch of the source must be \(1 1 h=4 w=4\), got .*5"):
        loss_of(image=picture(1), sketch=drawing(2))(drawing(3, (5, 4)), None)


def test_other_axes_and_embeddings_are_refused():
    loss = loss_of(image=picture(1), sketch=drawing(2))
    with pytest.raises(ShapeError, match=r"drawing must be \(1 1 h w\)"):
        loss_of(image=picture(1), sketch=picture(2))
    with pytest.raises(ShapeError, match=r"image must be \(1 3 h w\)"):
        loss.embed(drawing(3))
    with pytest.raises(ShapeError, match=r"sketch of the sample must be \(1 1 h w\)"):
        loss(drawing(3), Sampled(picture(4), loss.embed(picture(5))))
    with pytest.raises(ShapeError, match=r"embedding of the sample must be \(1, 48\), got \(48,\)"):
        loss(drawing(3), Sampled(drawing(4), loss.embed(picture(5))[0]))
