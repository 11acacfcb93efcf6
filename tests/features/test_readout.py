"""A block's read-out of the stream, massive channels dropped before the norm."""

import pytest
import torch
from small_parts import drawn
from small_transformers import SMALL
from torch.nn import functional

from featurekit.analysis.artefacts import massive_channels
from featurekit.core.errors import ConfigError, ShapeError
from featurekit.features.readout import adaln
from featurekit.taps.capture import capture
from featurekit.taps.tokens_to_maps import as_map

SIZE_PX = (48, 80)
BLOCKS = {  # family: the stream, its modulation, where its shift is, and what the block reads
    "flux_dev": [
        ("single1.in", "single_transformer_blocks.1.norm.linear", 0, "single1.norm"),
        ("double1.in", "transformer_blocks.1.norm1.linear", 0, "double1.norm"),
        ("transformer_blocks.1.norm2:in", "transformer_blocks.1.norm1.linear", 3,
         "transformer_blocks.1.ff:in"),
    ],
    "sd35": [
        ("block0.in", "transformer_blocks.0.norm1.linear", 0, "block0.norm"),
        ("block1.in", "transformer_blocks.1.norm1.linear", 0, "block1.norm"),
    ],
}  # fmt: skip


def read(name, words):
    """What is captured at names and addresses in one forward of two timesteps, and the backbone."""
    small = SMALL[name]()
    backbone = small.wrapped()
    taps = {
        word: backbone.activations[word].address if word in backbone.activations else word
        for word in words
    }
    z = drawn(2, backbone.latent_channels, 6, 10)
    with torch.no_grad(), capture(backbone.denoiser, taps) as found:
        backbone.predictor(small.words)(z, torch.tensor([261, 700]))
    return backbone, found


def tokens(found, backbone, word):
    """Those of the picture, in reading order."""
    tap = backbone.activations.get(word)
    if tap is None:
        return found[word]
    return as_map(found[word], tap, size_px=SIZE_PX).flatten(2).transpose(1, 2)


@pytest.mark.parametrize("name", BLOCKS)
def test_with_no_channel_dropped_it_is_what_the_block_reads_to_the_bit(name):
    rows = BLOCKS[name]
    backbone, found = read(name, {word for row in rows for word in (row[0], row[1], row[3])})
    for stream, modulation, shift_at, norm in rows:
        ours = adaln(tokens(found, backbone, stream), found[modulation], shift_at=shift_at)
        assert ours.shape[1] == 3 * 5
        assert torch.equal(ours, tokens(found, backbone, norm)), norm


def test_text_and_picture_together_are_read_the_same():
    norm = "single_transformer_blocks.0.norm"
    words = [f"{norm}:in", f"{norm}.linear", f"{norm}:out0"]
    _, found = read("flux_dev", words)
    assert torch.equal(adaln(found[words[0]], found[words[1]]), found[words[2]])


def test_channels_are_dropped_before_the_norm():
    stream, modulation = drawn(2, 7, 6), drawn(2, 18, seed=1)
    stream[..., 4] = 1000 + 100 * drawn(2, 7, seed=2)
    zeroed = stream.clone()
    zeroed[..., 4] = 0
    shift, scale, _ = modulation[:, None].chunk(3, dim=-1)
    expected = functional.layer_norm(zeroed, (6,), eps=1e-6) * (1 + scale) + shift
    found = adaln(stream, modulation, dropped=[4])
    assert torch.equal(found, expected)
    assert stream[..., 4].min() > 100  # as it was
    behind = adaln(stream, modulation)
    behind[..., 4] = 0
    others = [0, 1, 2, 3, 5]
    assert (found - behind)[..., others].abs().max() > 1


def test_channels_that_are_found_massive_are_those_that_hide_the_picture():
    """Cells of two pictures are alike in all but two channels, which hold nothing but size."""
    one = drawn(1, 16, 32)
    two = one + 0.05 * drawn(1, 16, 32, seed=1)
    for number, stream in enumerate((one, two)):
        stream[..., [3, 20]] = 60 * drawn(1, 16, 2, seed=5 + number)
    field = one.transpose(1, 2).reshape(1, 32, 4, 4)
    massive = massive_channels(field)
    assert set(massive) == {3, 20}
    modulation = 0.1 * drawn(1, 96, seed=3)

    def share(dropped):
        a, b = (functional.normalize(adaln(s, modulation, dropped=dropped)[0]) for s in (one, two))
        return ((a @ b.T).argmax(1) == torch.arange(16)).float().mean()

    assert share(massive) == 1
    assert share(()) < 0.5


def test_gradients_reach_the_stream_but_not_through_dropped_channels():
    stream = drawn(1, 3, 4).requires_grad_()
    adaln(stream, drawn(1, 12, seed=1), dropped=[1]).square().sum().backward()
    assert not stream.grad[..., 1].any()
    assert stream.grad[..., 0].all()


@pytest.mark.parametrize(("shape", "shift_at"), [
    ((2, 17), 0), ((3, 18), 0), ((2, 18), 2), ((2, 18), -1), ((2, 1, 18), 0), ((2, 6), 0),
])  # fmt: skip
def test_a_modulation_of_something_else_is_refused(shape, shift_at):
    with pytest.raises(ShapeError, match=r"a modulation must be \(b k\*6\) with b 1 or 2"):
        adaln(drawn(2, 7, 6), drawn(*shape), shift_at=shift_at)


@pytest.mark.parametrize("dropped", [[6], [-1], [0, 154]])
def test_a_channel_that_is_not_there_is_refused(dropped):
    with pytest.raises(ConfigError, match="channels to drop must be numbers from 0 to 5, got"):
        adaln(drawn(2, 7, 6), drawn(2, 18), dropped=dropped)
