"""as_map: each token comes to lie where its cell of the picture is."""

import pytest
import torch

from featurekit.core.errors import CaptureError, ShapeError
from featurekit.core.types import Tap
from featurekit.taps.tokens_to_maps import as_map, gridded, is_formless, refuse_formless

TOKENS = Tap("up1.attention0.block0", "a.b", "transformer_block", 3, 16, form="tokens")
MAP = Tap("up1", "up_blocks.1", "up", 3, 16)


def test_tokens_run_along_the_rows_of_the_picture():
    cells = torch.arange(2 * 3 * 2 * 4.0).view(2, 3, 2, 4)
    tokens = cells.flatten(2).transpose(1, 2)
    assert torch.equal(as_map(tokens, TOKENS, size_px=(32, 64)), cells)


def test_a_map_stays_as_it_is():
    cells = torch.zeros(2, 3, 2, 4)
    assert as_map(cells, MAP, size_px=(32, 64)) is cells


def test_without_a_tap_the_stride_follows_from_the_picture():
    field = torch.arange(2 * 5 * 3 * 4.0).view(2, 5, 3, 4)
    tokens = field.flatten(2).transpose(1, 2)
    laid, stride = gridded(tokens, (24, 32), of="q")
    assert stride == 8
    assert torch.equal(laid, field)
    whole, same = gridded(field, (24, 32), of="x")
    assert whole is field
    assert same == 8


@pytest.mark.parametrize("form", ["words", "heads"])
def test_what_has_no_cells_is_refused(form):
    tap = Tap("up1.k", "up_blocks.1.k", "cross_k", 3, 0, form=form)
    with pytest.raises(
        CaptureError, match=rf"up1\.k is one of {form}; .*address 'up_blocks\.1\.k'"
    ):
        as_map(torch.zeros(2, 77, 3), tap, size_px=(32, 64))


def test_the_advice_names_the_door_that_takes_the_address():
    map_ = Tap("a.map", "a", "cross_map", 4, 8, side="map", form="heads")
    words = Tap("a.k", "a.to_k", "cross_k", 3, 0, form="words")
    with pytest.raises(CaptureError, match=r"maps\(backbone\.denoiser, .*address 'a:map'"):
        refuse_formless(map_)
    with pytest.raises(CaptureError, match=r"capture\(backbone\.denoiser, .*address 'a\.to_k'"):
        refuse_formless(words)
    assert (is_formless(map_), is_formless(words), is_formless(MAP)) == (True, True, False)


def test_another_picture_is_refused():
    with pytest.raises(ShapeError, match=r"must have 2 \* 4 tokens for a picture .*, got 9"):
        as_map(torch.zeros(1, 9, 3), TOKENS, size_px=(32, 64))
    with pytest.raises(ShapeError, match=r"up1 must be \(b c=3 h=2 w=4\), got \(1, 3, 4, 2\)"):
        as_map(torch.zeros(1, 3, 4, 2), MAP, size_px=(32, 64))


@pytest.mark.parametrize(
    "shape", [(1, 77, 5), (1, 5, 3, 5), (1, 5), (1, 0, 5), (1, 5, 48, 64), (1, 13, 5)]
)
def test_what_does_not_cover_the_picture_is_refused(shape):
    with pytest.raises(CaptureError, match="tap 'k' must give square cells or tokens of the pict"):
        gridded(torch.zeros(shape), (24, 32), of="k")
