"""Views of one drawn picture: the picture first, then others in which picture and ink agree."""

import pytest
import torch

from featurekit.metrics import pearson
from featurekit_sketch.views import views_of


def smooth_ink(height=48, width=64):
    """Ink without any symmetry, in which dark and bright are some pixels wide."""
    y, x = torch.meshgrid(torch.arange(height) / 8, torch.arange(width) / 8, indexing="ij")
    return (0.5 + 0.4 * torch.sin(x * 1.7 + 0.3 * y.square()) * torch.cos(y + 0.2 * x))[None, None]


def lines(height=48, width=64):
    ink = torch.ones(1, 1, height, width)
    ink[..., 10:12, 5:50] = 0
    ink[..., 10:40, 30:32] = 0
    return ink


def picture_of(ink):
    return (1.2 * ink - 0.6).expand(-1, 3, -1, -1).contiguous()


def likeness(image, ink):
    """Largest correlation of a channel with the ink, whatever its sign."""
    return max(float(pearson(image[:, i : i + 1], ink).abs()) for i in range(3))


def test_the_first_view_is_the_picture_itself():
    ink = lines()
    image = picture_of(ink)
    for count in (1, 3):
        first = views_of(image, ink, count=count, seed=4)[0]
        assert torch.equal(first.image, image)
        assert torch.equal(first.ink, ink)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_there_are_as_many_views_as_were_asked_for(count):
    assert len(views_of(picture_of(lines()), lines(), count=count, seed=0)) == count


def test_the_first_views_are_the_same_for_any_count():
    ink = lines()
    few, many = (views_of(picture_of(ink), ink, count=count, seed=3) for count in (3, 8))
    for a, b in zip(few, many, strict=False):
        assert torch.equal(a.image, b.image)
        assert torch.equal(a.ink, b.ink)


def test_the_seed_alone_decides():
    ink = lines()
    a, b, other = (views_of(picture_of(ink), ink, count=3, seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(x.ink, y.ink) for x, y in zip(a, b, strict=True))
    assert not torch.equal(a[1].ink, other[1].ink)
    assert not torch.equal(a[1].image, other[1].image)
    torch.manual_seed(9)
    assert torch.equal(views_of(picture_of(ink), ink, count=3, seed=1)[2].ink, a[2].ink)


def test_sizes_stay_and_ink_stays_between_black_and_white():
    ink = lines()
    for view in views_of(picture_of(ink), ink, count=8, seed=0):
        assert view.image.shape == (1, 3, 48, 64)
        assert view.ink.shape == (1, 1, 48, 64)
        assert 0 <= view.ink.min() <= view.ink.max() <= 1
        assert -1 <= view.image.min() <= view.image.max() <= 1


def test_the_picture_moves_along_with_its_ink():
    ink = smooth_ink()
    views = views_of(picture_of(ink), ink, count=9, seed=0)
    assert min(likeness(view.image, view.ink) for view in views) > 0.99


def test_the_ink_of_another_view_does_not_fit():
    ink = smooth_ink()
    views = views_of(picture_of(ink), ink, count=9, seed=0)[1:]
    strangers = [likeness(view.image, ink) for view in views]
    assert sorted(strangers)[len(strangers) // 2] < 0.9


def test_a_drawing_keeps_lines_and_paper():
    ink = lines()
    for view in views_of(picture_of(ink), ink, count=8, seed=0):
        share = float((view.ink < 0.5).float().mean() / (ink < 0.5).float().mean())
        assert 0.5 < share < 2
