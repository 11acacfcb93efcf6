"""expect: names the axes of a tensor that fits and refuses one that does not."""

import pytest
import torch

from featurekit.core.errors import ShapeError
from featurekit.core.shapes import expect


def test_the_sizes_come_back_by_name():
    sizes = expect(torch.zeros(2, 4, 6, 8), "b c h w", of="latent")
    assert sizes == {"b": 2, "c": 4, "h": 6, "w": 8}


def test_known_and_fixed_sizes_that_fit_are_accepted():
    expect(torch.zeros(1, 4, 6), "1 c n", of="tokens", c=4)


def test_a_tensor_without_axes_has_no_sizes():
    assert expect(torch.tensor(1.0), "", of="loss") == {}


@pytest.mark.parametrize("shape", [(3, 4), (1, 2, 3, 4, 5), ()])
def test_another_rank_is_refused_with_the_shape(shape):
    with pytest.raises(ShapeError, match=r"^latent must be \(b c h w\), got \("):
        expect(torch.zeros(shape), "b c h w", of="latent")


def test_another_size_is_refused_with_both_sizes():
    with pytest.raises(ShapeError, match=r"^latent must be \(b c=4 h w\), got \(1, 3, 2, 2\)$"):
        expect(torch.zeros(1, 3, 2, 2), "b c h w", of="latent", c=4)


def test_a_fixed_size_that_differs_is_refused():
    with pytest.raises(ShapeError, match=r"^image must be \(1 c h w\), got \(2, 3, 4, 4\)$"):
        expect(torch.zeros(2, 3, 4, 4), "1 c h w", of="image")
