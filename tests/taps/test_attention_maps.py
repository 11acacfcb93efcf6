"""attention_maps: softmax of q k, reduced chunk by chunk, without ever holding it whole."""

import weakref

import pytest
import torch
from reduced import reduced_configs
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from featurekit.backbones.unet import sd
from featurekit.core.errors import CaptureError, ConfigError, UnknownNameError
from featurekit.taps.attention_maps import attention_maps
from featurekit.taps.attention_probabilities import head_mean, reduced_map, to_tokens
from featurekit.taps.capture import capture

SELF = "up_blocks.3.attentions.0.transformer_blocks.0.attn1"
CROSS = "up_blocks.3.attentions.0.transformer_blocks.0.attn2"


def normal(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.fixture(scope="module")
def model():
    return sd.build("sd15", reduced_configs("sd15"), device="cpu")


def run(model, z=None):
    z = normal(2, 4, 8, 16) if z is None else z
    return model.predictor(model.embed("a face"))(z, 261)


class Live(TorchDispatchMode):
    """Counts the bytes of storages that are alive, and their highest sum."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self.known = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                self._count(leaf.untyped_storage())
        return out

    def _count(self, storage):
        key, size = storage._cdata, storage.nbytes()
        if key not in self.known:
            self.known.add(key)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key, size):
        self.known.discard(key)
        self.now -= size


@torch.no_grad()
def test_every_map_is_the_naive_softmax_of_its_queries_and_keys(model):
    maps = {tap.name: tap for tap in model.activations.values() if tap.form == "heads"}
    assert len(maps) == 32
    taps = {
        f"{name}.{part}": f"{tap.path}.to_{part}" for name, tap in maps.items() for part in "qk"
    }
    addresses = {name: tap.address for name, tap in maps.items()}
    plain = run(model)
    with (
        attention_maps(model.unet, addresses, held=999) as found,
        capture(model.unet, taps) as seen,
    ):
        assert torch.equal(run(model), plain)
    for name, tap in maps.items():
        q, k = (seen[f"{name}.{part}"].unflatten(-1, (tap.channels, -1)) for part in "qk")
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / q.shape[-1] ** 0.5
        expected = scores.softmax(-1).mean(1)
        assert (found[name] - expected).abs().max() < 1e-5
        torch.testing.assert_close(found[name].sum(-1), torch.ones(2, q.shape[1]))


@torch.no_grad()
def test_the_maps_explain_what_the_attention_gave(model):
    attention = model.unet.get_submodule(CROSS)
    keep = attention_maps(model.unet, {"map": f"{CROSS}:map"}, reduce=lambda p: p.movedim(1, 2))
    with keep as found, capture(model.unet, {"v": f"{CROSS}.to_v", "out": CROSS}) as seen:
        run(model)
    heads = attention.heads
    out = torch.einsum("bqhk,bkhd->bqhd", found["map"], seen["v"].unflatten(-1, (heads, -1)))
    torch.testing.assert_close(attention.to_out[0](out.flatten(2)), seen["out"], rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("held", [1, 7 * 8 * 50, 10**9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_chunks_do_not_show(held, dtype):
    q, k = normal(2, 8, 33, 5, dtype=dtype), normal(2, 8, 50, 5, seed=1, dtype=dtype)
    wide = torch.promote_types(dtype, torch.float32)
    expected = (q.to(wide) @ k.to(wide).mT * 0.4).softmax(-1)
    found = reduced_map(q, k, scale=0.4, held=held)
    assert found.dtype == wide
    torch.testing.assert_close(found, expected.mean(1), rtol=0, atol=1e-6)
    some = reduced_map(q, k, scale=0.4, reduce=to_tokens([3, 49, 3]), held=held)
    torch.testing.assert_close(some, expected.mean(1)[..., [3, 49, 3]], rtol=0, atol=1e-6)


@pytest.mark.parametrize("gradient", [False, True])
def test_no_more_than_a_few_chunks_are_alive_beside_the_result(gradient):
    q, k = normal(1, 8, 1024, 8), normal(1, 8, 1024, 8, seed=1)
    q.requires_grad_(gradient)
    held = 2**16
    whole, chunk, inputs = 8 * 1024**2 * 4, held * 4, q.numel() * 4
    with Live() as live:
        found = reduced_map(q, k, scale=0.3, reduce=to_tokens([0, 5]), held=held)
    result = found.numel() * 4
    assert live.peak <= result + 4 * chunk + 2 * inputs
    assert live.peak < whole / 20
    with Live() as naive:
        (q @ k.mT).softmax(-1).mean(1)
    assert naive.peak >= whole  # the counter sees what is held


@torch.no_grad()
def test_a_forward_with_a_map_holds_little_more_than_one_without(model):
    z = normal(1, 4, 16, 32)
    with Live() as plain:
        run(model, z)
    with (
        Live() as live,
        attention_maps(
            model.unet, {"map": f"{SELF}:map"}, reduce=to_tokens([0]), held=2**12
        ) as found,
    ):
        run(model, z)
    whole = model.unet.get_submodule(SELF).heads * (16 * 32) ** 2 * 4
    assert found["map"].shape == (1, 16 * 32, 1)
    assert live.peak < plain.peak + whole / 8


def test_gradients_reach_queries_and_keys_as_those_of_the_naive_map():
    q, k = normal(1, 2, 12, 4).requires_grad_(), normal(1, 2, 9, 4, seed=1).requires_grad_()
    naive = (q @ k.mT * 0.5).softmax(-1).mean(1).square().sum()
    expected = torch.autograd.grad(naive, (q, k))
    found = torch.autograd.grad(reduced_map(q, k, scale=0.5, held=30).square().sum(), (q, k))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_gradients_of_a_map_reach_the_latent(model):
    z = normal(1, 4, 8, 8).requires_grad_()
    with attention_maps(model.unet, {"map": f"{CROSS}:map"}, reduce=to_tokens([1])) as found:
        run(model, z)
    found["map"].sum().backward()
    assert z.grad.abs().max() > 0


@torch.no_grad()
def test_each_call_gives_its_own_map(model):
    with attention_maps(model.unet, {"map": f"{CROSS}:map"}) as found:
        run(model)
        run(model, normal(2, 4, 8, 16, seed=1))
    first, second = found.all("map")
    assert not torch.equal(first, second)


@torch.no_grad()
@pytest.mark.parametrize("path", [SELF, CROSS, "mid_block.attentions.0.transformer_blocks.0.attn1"])
def test_queries_are_laid_out_as_the_cells_of_the_picture(model, path):
    tap = next(tap for tap in model.activations.values() if tap.address == f"{path}:map")
    with attention_maps(model.unet, {"map": tap.address}, reduce=to_tokens([0, 1])) as found:
        run(model)
    laid = found.as_map("map")
    rows, columns = 8 * 8 // tap.stride, 16 * 8 // tap.stride
    assert laid.shape == (2, 2, rows, columns)
    assert torch.equal(laid[:, 1, rows - 1, 1], found["map"][:, (rows - 1) * columns + 1, 1])


@torch.no_grad()
def test_every_axis_that_a_reduction_leaves_is_kept_before_the_cells(model):
    keep = attention_maps(model.unet, {"map": f"{CROSS}:map"}, reduce=lambda p: p.movedim(1, 2))
    with keep as found:
        run(model)
    heads = model.unet.get_submodule(CROSS).heads
    assert found.as_map("map").shape == (2, heads, 77, 8, 16)
    assert torch.equal(found.as_map("map")[0, 2, 5, 3, 4], found["map"][0, 3 * 16 + 4, 2, 5])


@torch.no_grad()
def test_the_network_is_left_once_every_map_is_there(model):
    ran = []
    handle = model.unet.up_blocks[1].register_forward_hook(lambda *call: ran.append(1))
    taps = {"mid": "mid_block.attentions.0.transformer_blocks.0.attn2:map"}
    with attention_maps(model.unet, taps) as whole:
        run(model)
    assert ran == [1]
    with attention_maps(model.unet, taps, stop_after=True) as left:
        run(model)
        pytest.fail("the forward went on")
    handle.remove()
    assert ran == [1]
    assert torch.equal(left["mid"], whole["mid"])


def test_the_mean_over_heads_is_a_mean():
    assert head_mean(torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])).tolist() == [[[0.5, 0.5]]]


# refusals, and no trace


@pytest.mark.parametrize("address", [SELF, "mid_block:map", "nothing:map", f"{SELF}.to_q:map"])
def test_what_is_no_map_is_refused(model, address):
    with (
        pytest.raises(UnknownNameError, match="no attention map named"),
        attention_maps(model.unet, {"map": address}),
    ):
        pass


def test_settings_out_of_range_are_refused(model):
    for tokens in ([], [-1]):
        with pytest.raises(ConfigError, match="tokens must name at least one from 0 on"):
            to_tokens(tokens)
    with pytest.raises(ConfigError, match="tokens must lie below the 4 that are attended to"):
        reduced_map(normal(1, 1, 4, 2), normal(1, 1, 4, 2), scale=1, reduce=to_tokens([4]))
    with (
        pytest.raises(ConfigError, match="held must be at least 1 number, got 0"),
        attention_maps(model.unet, {"map": f"{SELF}:map"}, held=0),
    ):
        pass


@torch.no_grad()
def test_words_that_are_masked_are_attended_to_by_nobody(model):
    """The map is that of the words that are left, as if the others were not there."""
    mask = torch.arange(77)[None].expand(2, -1) < torch.tensor([[5], [9]])
    states, z = model.embed("a").states.expand(2, -1, -1), normal(2, 4, 8, 8)
    with attention_maps(model.unet, {"map": f"{CROSS}:map"}) as found:
        model.unet(z, 1, states, encoder_attention_mask=mask)
    for row, words in ((0, 5), (1, 9)):
        with attention_maps(model.unet, {"map": f"{CROSS}:map"}) as alone:
            model.unet(z[row : row + 1], 1, states[row : row + 1, :words])
        assert found["map"][row, :, words:].max() == 0
        torch.testing.assert_close(found["map"][row, :, :words], alone["map"][0])


@torch.no_grad()
def test_a_mask_of_another_form_is_refused_and_nothing_is_left(model):
    attention = model.unet.get_submodule(CROSS)
    cells, words = normal(1, 4, 32), model.embed("a").states
    with (
        pytest.raises(CaptureError, match=f"{CROSS} must attend with no mask, or with one"),
        attention_maps(model.unet, {"map": f"{CROSS}:map"}),
    ):
        attention(cells, words, attention_mask=torch.ones(1, 1, 77, dtype=torch.bool))
    parts = model.unet.modules()
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in parts)


def test_queries_that_are_normalised_first_are_refused(model):
    attention = model.unet.get_submodule(SELF)
    attention.norm_q = torch.nn.Identity()
    try:
        with (
            pytest.raises(CaptureError, match=f"{SELF} must attend with its queries .* norm_q"),
            attention_maps(model.unet, {"map": f"{SELF}:map"}),
        ):
            pass
    finally:
        attention.norm_q = None


def test_what_cannot_be_collected_or_laid_out_is_refused(model):
    with (
        pytest.raises(
            ConfigError, match=r"taps must be addresses by name, got list; .*addresses\("
        ),
        attention_maps(model.unet, [f"{SELF}:map"]),
    ):
        pass
    with (
        pytest.raises(CaptureError, match="stop_after must have a tap to stop after"),
        attention_maps(model.unet, {}, stop_after=True),
    ):
        pass
    with (
        pytest.raises(CaptureError, match=r"every tap must fire .*'map' never did"),
        attention_maps(model.unet, {"map": f"{SELF}:map"}),
        capture(model.unet, {"mid": "mid_block"}, stop_after=True),
    ):
        run(model)
    with torch.no_grad(), attention_maps(model.unet, {"map": f"{SELF}:map"}) as found:
        run(model)
    found._grids.clear()
    with pytest.raises(CaptureError, match=r"must be the cells .* 128 queries and 0 \* 0 cells"):
        found.as_map("map")


def test_a_picture_without_queries_is_refused():
    with pytest.raises(CaptureError, match=r"must have queries, got \(1, 1, 0, 2\)"):
        reduced_map(normal(1, 1, 0, 2), normal(1, 1, 4, 2), scale=1)
