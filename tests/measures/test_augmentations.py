"""Views of one drawn picture: the picture first, then others in which picture and ink agree."""

import pytest
import torch

from featurekit.measures.augmentations import views_of


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


def strangeness(image, ink):
    """How little the ink tells of a grey picture's new colours: 0 if all, 1 if nothing."""
    order = ink.flatten().argsort()
    sorted_colours = image.flatten(2)[0, :, order]
    bins = torch.stack(sorted_colours.split(48, dim=1))
    return float(bins.var(-1).mean() / sorted_colours.var(-1).mean())


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
    assert max(strangeness(view.image, view.ink) for view in views) < 0.02


def test_the_ink_of_another_view_does_not_fit():
    ink = smooth_ink()
    views = views_of(picture_of(ink), ink, count=9, seed=0)[1:]
    assert min(strangeness(view.image, ink) for view in views) > 0.1


def test_surfaces_that_look_alike_come_apart_and_others_come_together():
    greys = torch.tensor([-0.4, -0.2, 0.0, 0.2]).repeat_interleave(8).expand(1, 3, 32, 32)
    steps = []
    for view in views_of(greys, torch.ones(1, 1, 32, 32), count=30, seed=0)[1:]:
        colours = view.image[0, :, 16, :]
        steps.append((colours[:, 1:] - colours[:, :-1]).abs().amax())
    assert min(steps) < 0.15
    assert max(steps) > 0.4


def test_lines_are_bent_and_not_only_moved():
    ink = torch.ones(1, 1, 64, 64)
    ink[..., 31:33] = 0
    columns = torch.arange(64.0)
    swings = []
    for view in views_of(picture_of(ink), ink, count=8, seed=0)[1:]:
        dark = 1 - view.ink[0, 0]
        rows = dark.sum(1) > 1
        centre = (dark[rows] * columns).sum(1) / dark[rows].sum(1)
        straight = torch.linspace(float(centre[0]), float(centre[-1]), len(centre))
        swings.append(float((centre - straight).abs().amax()))
    assert sorted(swings)[3] > 1


def test_a_drawing_keeps_lines_and_paper():
    ink = lines()
    for view in views_of(picture_of(ink), ink, count=8, seed=0):
        share = float((view.ink < 0.5).float().mean() / (ink < 0.5).float().mean())
        assert 0.5 < share < 2


def test_flat_places_stay_flat_in_other_colours():
    flat = torch.tensor([0.9, -0.2, 0.4]).reshape(1, 3, 1, 1).expand(1, 3, 16, 16)
    found = [view.image for view in views_of(flat, torch.ones(1, 1, 16, 16), count=5, seed=0)]
    for image in found:
        assert torch.allclose(image, image[:, :, :1, :1].expand_as(image), atol=1e-5)
    assert all(float((image - flat).abs().amax()) > 0.02 for image in found[1:])
