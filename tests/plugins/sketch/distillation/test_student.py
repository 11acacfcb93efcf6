"""The student: small, for pictures of any size, local; and its ink as enlarging would draw it."""

import pytest
import torch

from featurekit_sketch.distillation.rendering import Rendering
from featurekit_sketch.distillation.student import Student, count_of, filled_up
from featurekit_sketch.two_scales.rendering import crisp


@pytest.fixture(scope="module")
def student():
    """One that draws something, in evaluation."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Student()
        for parameter in network.parameters():
            parameter.data.add_(0.05 * torch.randn_like(parameter))
    return network.eval().requires_grad_(False)


def picture(height, width, seed=0):
    return 2 * torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed)) - 1


def test_it_has_at_most_a_million_parameters(student):
    assert 500_000 < count_of(student) <= 1_000_000


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 40), (31, 33), (64, 64)])
def test_it_draws_pictures_of_any_size(student, height, width):
    logit = student(picture(height, width))
    assert logit.shape == (1, 1, height, width)
    assert logit.std() > 0


def test_a_new_one_draws_blank_paper():
    ink = Rendering()(Student().eval()(picture(32, 32)))
    assert ink.min() > 0.9


def test_pictures_of_a_batch_do_not_change_each_other(student):
    one, other = picture(24, 40), picture(24, 40, seed=1)
    torch.testing.assert_close(student(torch.cat([one, other]))[:1], student(one))


def test_what_is_far_away_changes_nothing(student):
    """So a large picture is drawn as its parts are."""
    large = picture(160, 640)
    other = large.clone()
    other[..., 480:] = 0
    torch.testing.assert_close(student(large)[..., :160], student(other)[..., :160])


def test_a_border_is_filled_up_by_reflection():
    row = torch.arange(5.0).expand(1, 1, 5, 5)
    filled = filled_up(row, 4)
    assert filled[0, 0, 0].tolist() == [0, 1, 2, 3, 4, 3, 2, 1]
    assert filled[0, 0, :, 0].tolist() == [0] * 8
    assert filled_up(row[..., :4], 4).shape[-1] == 8
    assert filled_up(row[..., :1], 8)[0, 0, 0].tolist() == [0] * 8


def test_the_ink_is_that_of_two_scales_where_nothing_is_doubtful():
    """So no faint stroke is left out there."""
    draw = torch.Generator().manual_seed(3)
    sure = 1 + 3 * torch.rand(2, 1, 17, 22, generator=draw)
    is_ink = torch.rand(2, 1, 17, 22, generator=draw) < 0.5
    logit = torch.where(is_ink, sure, -3 - sure)
    torch.testing.assert_close(Rendering()(logit), crisp(logit, 17, 22))


def test_sure_ink_is_black_and_sure_paper_white():
    logit = torch.full((1, 1, 8, 8), -9.0)
    logit[..., 4:] = 9
    ink = Rendering()(logit)
    assert ink[..., :2].min() > 0.99
    assert ink[..., -2:].max() < 0.01
