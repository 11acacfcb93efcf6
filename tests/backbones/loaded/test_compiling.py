"""Compiled blocks: the same answers, readable at their borders and refused inside."""

import copy
import pickle
from dataclasses import replace

import pytest
import torch
from reduced import reduced_configs
from small_parts import drawn
from small_transformers import SMALL, flux

import featurekit as fk
from featurekit.backbones import load
from featurekit.backbones.loaded.compiling import with_compiled_blocks
from featurekit.backbones.lora import Lora, LoraRecipe, applied, fit_lora
from featurekit.backbones.unet import sd
from featurekit.core.errors import BackboneError, CaptureError
from featurekit.diffusion.denoising_objective import denoising_objective

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),
]


@pytest.fixture(autouse=True)
def fresh():
    """Past a number of tracings of one function torch runs it as it is."""
    torch._dynamo.reset()


BLOCK = "mid_block.attentions.0.transformer_blocks.0"


def unet():
    return sd.build("sd15", reduced_configs("sd15"), device="cpu", dtype="float32", seed=1)


@pytest.fixture(scope="module")
def pair():
    """A backbone, and the same one whose blocks dynamo traces and torch runs as traced."""
    return unet(), with_compiled_blocks(unet(), "unet", "eager")


@pytest.fixture(scope="module")
def z():
    return drawn(1, 4, 8, 8)


def asked(backbone, z, taps):
    predict = backbone.predictor(backbone.embed("a cat"))
    with torch.no_grad(), fk.capture(backbone.unet, taps) as found:
        answer = predict(z, 261)
    return answer, dict(found)


def test_borders_of_compiled_blocks_are_read_as_they_are_without(pair, z):
    """Taps come and go: what was traced before them and after is the same."""
    plain, compiled = pair
    taps = {"out": BLOCK, "in": f"{BLOCK}:in", "up1": "up_blocks.1", "conv": "conv_in"}
    for some in ({}, taps, {"up1": "up_blocks.1"}, taps):
        wanted, found = (asked(one, z, some) for one in (plain, compiled))
        torch.testing.assert_close(found[0], wanted[0], rtol=1e-5, atol=1e-6)
        assert found[1].keys() == wanted[1].keys() == some.keys()
        for name in some:
            torch.testing.assert_close(found[1][name], wanted[1][name], rtol=1e-5, atol=1e-6)


def test_what_is_written_at_a_border_is_gone_afterwards(pair, z):
    plain, compiled = pair
    answers = []
    for one in (plain, compiled):
        predict = one.predictor(one.embed(""))
        with torch.no_grad(), fk.inject(one.unet, {BLOCK: lambda activation: activation + 1}):
            answers.append(predict(z, 261))
        with torch.no_grad():
            answers.append(predict(z, 261))
    torch.testing.assert_close(answers[2], answers[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(answers[3], answers[1], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(answers[0], answers[1], atol=1e-4)


@pytest.mark.parametrize("door", [fk.capture, fk.attention_maps])
def test_a_tap_inside_is_refused_by_name(door, pair):
    inside = f"{BLOCK}.attn1" + (":map" if door is fk.attention_maps else "")
    with (
        pytest.raises(CaptureError, match=rf"{BLOCK}\.attn1.* lies inside {BLOCK}, which compile"),
        door(pair[1].unet, {"x": inside}),
    ):
        pass


def test_updates_inside_and_copies_are_refused(pair, z):
    _, compiled = pair
    name = f"{BLOCK}.attn1.to_q"
    rows, columns = compiled.unet.get_parameter(f"{name}.weight").shape
    halves = {f"{name}.lora_A.weight": torch.ones(1, columns)}
    halves |= {f"{name}.lora_B.weight": torch.ones(rows, 1)}
    lora = Lora(halves, LoraRecipe(rank=1, targets=("to_q",)))
    with pytest.raises(CaptureError, match="lies inside"), applied(compiled.unet, lora):
        pass
    objective = denoising_objective(compiled, (z, z), compiled.embed(""), 1)
    with pytest.raises(BackboneError, match="fitted and updated uncompiled"):
        fit_lora(compiled.unet, objective, recipe=LoraRecipe(steps=1), generator=torch.Generator())
    for copied in (lambda: copy.deepcopy(compiled.unet), lambda: copy.deepcopy(compiled)):
        with pytest.raises(BackboneError, match="must stay the one that was compiled"):
            copied()


def test_changed_weights_are_what_is_computed_with(z):
    """Of a network that was traced before they changed."""
    plain, compiled = unet(), with_compiled_blocks(unet(), "unet", "eager")
    before = asked(compiled, z, {})[0]
    for one in (plain, compiled):
        with torch.no_grad():
            layer = one.unet.get_submodule(f"{BLOCK}.attn1.to_out.0")
            layer.weight += 1
            layer.bias = torch.nn.Parameter(torch.ones_like(layer.bias), requires_grad=False)
    found, wanted = (asked(one, z, {})[0] for one in (compiled, plain))
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(found, before, atol=1e-4)


def test_gradients_are_those_without(pair, z):
    found = []
    for one in pair:
        given = z.clone().requires_grad_()
        one.predictor(one.embed(""))(given, 261).square().sum().backward()
        found.append(given.grad)
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_every_transformer_has_blocks_that_compile(name):
    small = SMALL[name]()
    backbone = small.wrapped()
    with pytest.raises(BackboneError, match=r"a wrapped pipeline's; load the model"):
        backbone.compiled()
    cells = backbone.multiple // backbone.stride
    z = drawn(1, backbone.latent_channels, 3 * cells, 2 * cells)
    with torch.no_grad():
        wanted = backbone.predictor(small.words)(z, 261)
        own = with_compiled_blocks(replace(backbone, pipeline=None), "transformer", "eager")
        found = own.predictor(small.words)(z, 261)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_it_is_a_part_of_what_results_are_known_by_and_is_pickled(tmp_path):
    flux().pipeline.save_pretrained(tmp_path / "flux")
    words = flux().words
    plain = load(tmp_path / "flux", "cpu")
    compiled = load(tmp_path / "flux", "cpu").compiled()
    again = pickle.loads(pickle.dumps(compiled))
    told = [one.predictor(words).fingerprint for one in (plain, compiled, again)]
    assert told[0] != told[1] == told[2]
    assert compiled.altered("vae") == ""
    with pytest.raises(BackboneError, match=r"not compiled yet, those of .* are compiled already"):
        compiled.compiled()


def test_a_missing_compiler_is_one_sentence(z):
    def broken(graph, inputs):
        raise RuntimeError("no compiler")

    compiled = with_compiled_blocks(unet(), "unet", broken)
    with pytest.raises(
        BackboneError,
        match=r"must have what it compiles blocks with, got .*no compiler; install a C\+\+",
    ):
        asked(compiled, z, {})
