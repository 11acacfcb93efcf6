"""Attention maps of joint attentions: what torch's attention was given, and which token is what."""

import pytest
import torch
from small_parts import drawn
from small_transformers import SMALL
from torch.overrides import _get_current_function_mode_stack

import featurekit as fk
from featurekit.core.errors import CaptureError, ConfigError
from featurekit.core.types import Conditioning
from featurekit.taps.attention_maps import attention_maps
from featurekit.taps.attention_probabilities import among_cells, among_words, to_tokens
from featurekit.taps.capture import capture
from featurekit.taps.joint_attention import is_joint

ROWS, COLUMNS = 3, 5
CELLS = ROWS * COLUMNS
JOINT = ["flux_dev", "flux2", "qwen_image", "z_image", "sd35", "lumina2", "chroma"]


def whole(probabilities):
    """Keeps everything, queries first."""
    return probabilities.movedim(1, 2)


@pytest.fixture(scope="module", params=JOINT)
def small(request):
    return SMALL[request.param]()


@pytest.fixture(scope="module")
def backbone(small):
    return small.wrapped()


@pytest.fixture(scope="module")
def latent(backbone):
    cells = backbone.multiple // backbone.stride
    return drawn(2, backbone.latent_channels, ROWS * cells, COLUMNS * cells)


@pytest.fixture(scope="module")
def predict(small, backbone):
    return backbone.predictor(small.words)


def maps_of(backbone):
    """Addresses of all maps of joint attentions, some of which are given the text alone."""
    taps = [tap for tap in backbone.activations.values() if tap.form == "heads"]
    return {
        tap.name: tap.address for tap in taps if is_joint(backbone.denoiser.get_submodule(tap.path))
    }


def with_picture(backbone):
    """Those that the picture takes part in."""
    found = maps_of(backbone).items()
    return {name: address for name, address in found if "context" not in address}


class Recorder:
    """What torch's attention is given and gives inside one module, without any mode."""

    def __init__(self, monkeypatch, module):
        self.calls, self.inside = [], False
        original = torch.nn.functional.scaled_dot_product_attention

        def attend(query, key, value, **named):
            out = original(query, key, value, **named)
            if self.inside:
                self.calls.append((query, key, value, named.get("attn_mask"), out))
            return out

        monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", attend)
        self.handles = [
            module.register_forward_pre_hook(lambda *call: setattr(self, "inside", True)),
            module.register_forward_hook(lambda *call: setattr(self, "inside", False)),
        ]

    def one(self):
        for handle in self.handles:
            handle.remove()
        (call,) = self.calls
        return call


def recorded(monkeypatch, backbone, address, run):
    with monkeypatch.context() as patch:
        recorder = Recorder(patch, backbone.denoiser.get_submodule(address.removesuffix(":map")))
        run()
        return recorder.one()


@torch.no_grad()
def test_every_map_is_the_softmax_of_what_torch_attended_with(
    backbone, latent, predict, monkeypatch
):
    addresses = maps_of(backbone)
    assert addresses
    plain = predict(latent, 261)
    with attention_maps(backbone.denoiser, addresses, reduce=whole, held=50) as found:
        assert torch.equal(predict(latent, 261), plain)
    for name, address in addresses.items():
        q, k, v, mask, out = recorded(monkeypatch, backbone, address, lambda: predict(latent, 261))
        products = q @ k.mT * q.shape[-1] ** -0.5
        allowed = products
        if mask is not None:
            more = mask if mask.dtype != torch.bool else torch.where(mask, 0.0, -torch.inf)
            allowed = products + more
        expected = allowed.softmax(-1)
        torch.testing.assert_close(found[name].movedim(2, 1), expected, rtol=0, atol=1e-6)
        torch.testing.assert_close(found[name].movedim(2, 1) @ v, out, rtol=0, atol=1e-5)
    parts = backbone.denoiser.modules()
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in parts)
    assert _get_current_function_mode_stack() == []


@torch.no_grad()
def test_tokens_of_picture_and_text_are_where_it_says(
    small, backbone, latent, predict, monkeypatch
):
    """One cell of the latent changes one query of the first block, one word only words."""
    name, address = next(iter(with_picture(backbone).items()))
    with attention_maps(backbone.denoiser, {name: address}) as found:
        predict(latent, 261)
    tokens = found.tokens(name)
    assert tokens.grid == (ROWS, COLUMNS)
    assert tokens.picture.stop - tokens.picture.start == CELLS
    other, cells = latent.clone(), backbone.multiple // backbone.stride
    other[:, :, cells : 2 * cells, 3 * cells : 4 * cells] += 1
    states = small.words.states.clone()
    states[:, 2] += 1
    reworded = backbone.predictor(Conditioning(states, "", small.words.extra))
    first, moved, said = (
        recorded(monkeypatch, backbone, address, lambda ask=ask, z=z: ask(z, 261))[0]
        for ask, z in ((predict, latent), (predict, other), (reworded, latent))
    )
    in_picture = (first - moved).abs().amax(dim=(0, 1, 3))
    assert int(in_picture.argmax()) == tokens.picture.start + COLUMNS + 3
    in_words = (first - said).abs().amax(dim=(0, 1, 3)) > 1e-6
    words = in_words.nonzero().flatten().tolist()
    if tokens.words.start < tokens.words.stop:  # the first attention of some is of the picture
        assert words
        assert all(tokens.words.start <= place < tokens.words.stop for place in words)
        if len(words) == 1:  # no network has mixed the words before
            assert words == [tokens.words.start + 2]


@torch.no_grad()
def test_queries_of_the_picture_are_laid_out_and_keys_of_one_kind_kept(backbone, latent, predict):
    name, address = list(with_picture(backbone).items())[-1]
    taps = {name: address}
    with attention_maps(backbone.denoiser, taps) as found:
        predict(latent, 261)
    tokens = found.tokens(name)
    with attention_maps(backbone.denoiser, taps, reduce=among_words(), held=70) as words:
        predict(latent, 261)
    with attention_maps(backbone.denoiser, taps, reduce=among_cells(to_tokens([7]))) as cell:
        predict(latent, 261)
    laid = found.as_map(name)
    assert laid.shape == (2, tokens.total, ROWS, COLUMNS)
    assert torch.equal(laid[:, :, 1, 3], found[name][:, tokens.picture.start + COLUMNS + 3])
    torch.testing.assert_close(words.as_map(name), laid[:, tokens.words], rtol=0, atol=1e-7)
    seventh = laid[:, tokens.picture][:, 7:8]
    torch.testing.assert_close(cell.as_map(name), seventh, rtol=0, atol=1e-7)


@torch.no_grad()
def test_the_network_is_left_once_the_map_is_there(backbone, latent, predict):
    name, address = next(iter(with_picture(backbone).items()))
    with attention_maps(backbone.denoiser, {name: address}) as full:
        predict(latent, 261)
    with attention_maps(backbone.denoiser, {name: address}, stop_after=True) as early:
        predict(latent, 261)
        pytest.fail("the forward went on")
    assert torch.equal(full[name], early[name])
    assert _get_current_function_mode_stack() == []


def test_gradients_of_a_map_reach_the_latent_also_through_checkpoints(small, latent):
    backbone = small.wrapped()
    name, address = list(with_picture(backbone).items())[-1]
    found = []
    for enable in (lambda: None, backbone.denoiser.enable_gradient_checkpointing):
        enable()
        z = latent.clone().requires_grad_()
        with attention_maps(backbone.denoiser, {name: address}, held=70) as maps:
            backbone.predictor(small.words)(z, 261)
        maps[name].square().sum().backward()
        found.append(z.grad)
    backbone.denoiser.disable_gradient_checkpointing()
    assert found[0].abs().max() > 0
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-7)


@torch.no_grad()
def test_masked_words_are_given_nothing(monkeypatch):
    small = SMALL["qwen_image"]()
    backbone = small.wrapped()
    mask = torch.tensor([[True, True, True, False, False]])
    predict = backbone.predictor(Conditioning(small.words.states, "", {"mask": mask}))
    z = drawn(2, 16, 6, 10)
    name, address = next(iter(with_picture(backbone).items()))
    with attention_maps(backbone.denoiser, {name: address}, reduce=whole, held=50) as found:
        predict(z, 261)
    _, _, v, _, out = recorded(monkeypatch, backbone, address, lambda: predict(z, 261))
    assert found[name][..., 3:5].abs().max() == 0
    torch.testing.assert_close(found[name].movedim(2, 1) @ v, out, rtol=0, atol=1e-5)


# refusals, and no trace


@torch.no_grad()
def test_what_has_no_such_map_is_refused(monkeypatch):
    sana = SMALL["sana"]().wrapped()
    path = next(tap.path for tap in sana.taps.values()) + ".attn1"
    with (
        pytest.raises(CaptureError, match=rf"{path} must attend .* a softmax .* is linear"),
        attention_maps(sana.denoiser, {"map": f"{path}:map"}),
    ):
        pass
    flux = SMALL["flux_dev"]()
    backbone, z = flux.wrapped(), drawn(1, 16, 6, 10)
    module = type(backbone.denoiser).__module__

    def eager(query, key, value, **named):  # another backend
        q, k, v = (one.movedim(1, 2) for one in (query, key, value))
        return ((q @ k.mT * q.shape[-1] ** -0.5).softmax(-1) @ v).movedim(1, 2)

    with monkeypatch.context() as patch:
        patch.setattr(f"{module}.dispatch_attention_fn", eager)
        with (
            pytest.raises(CaptureError, match=r"must attend once by torch's .* did 0 times; call"),
            attention_maps(backbone.denoiser, backbone.addresses("double0.attn.map")),
        ):
            backbone.predictor(flux.words)(z, 261)
    assert _get_current_function_mode_stack() == []
    parts = backbone.denoiser.modules()
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in parts)


@torch.no_grad()
def test_an_attention_of_words_alone_says_no_places_of_a_picture():
    small = SMALL["lumina2"]()
    backbone, z = small.wrapped(), drawn(1, 16, 2, 2)
    predict = backbone.predictor(small.words)
    addresses = {"map": "context_refiner.0.attn:map"}
    with attention_maps(backbone.denoiser, addresses) as found:
        predict(z, 261)
    with pytest.raises(CaptureError, match="same places in every row, to say where"):
        found.tokens("map")
    with (
        pytest.raises(CaptureError, match="must have the same known places"),
        attention_maps(backbone.denoiser, addresses, reduce=among_words()),
    ):
        predict(z, 261)


def test_kinds_of_keys_belong_to_joint_attentions():
    unet = fk.load_backbone("embedded", device="cpu")
    with (
        pytest.raises(ConfigError, match="among words must be of a joint attention"),
        attention_maps(unet.denoiser, unet.addresses("cross_map"), reduce=among_words()),
    ):
        pass
    with attention_maps(unet.denoiser, unet.addresses("cross_map")) as found:
        pass
    with pytest.raises(CaptureError, match="must be the map of a joint attention"):
        found.tokens(next(iter(found)))


@torch.no_grad()
def test_a_map_beside_a_capture_that_leaves_early_inside_the_attention_leaves_nothing():
    flux = SMALL["flux_dev"]()
    backbone, z = flux.wrapped(), drawn(1, 16, 6, 10)
    predict = backbone.predictor(flux.words)
    with (
        pytest.raises(CaptureError, match="every tap must fire"),
        attention_maps(backbone.denoiser, backbone.addresses("double0.attn.map")),
        capture(backbone.denoiser, backbone.addresses("double0.attn.q"), stop_after=True),
    ):
        predict(z, 261)
    assert _get_current_function_mode_stack() == []
    with attention_maps(backbone.denoiser, backbone.addresses("double0.attn.map")) as found:
        predict(z, 261)
    assert found["double0.attn.map"].shape == (1, 20, 20)
