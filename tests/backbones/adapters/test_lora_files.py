"""LoRAs that others trained, in every naming, are added as their makers add them."""

import copy
import json
import pickle

import pytest
import torch
from diffusers import StableDiffusionPipeline
from diffusers.utils import convert_state_dict_to_diffusers
from ldm_layout import unet_name
from peft import LoraConfig, get_peft_model
from peft.utils import get_peft_model_state_dict
from reduced import reduced_configs
from safetensors.torch import save_file

from featurekit.backbones import load
from featurekit.backbones.adapters.merging import with_lora
from featurekit.backbones.lora import Lora, LoraRecipe, applied
from featurekit.backbones.lora_file import save_lora
from featurekit.backbones.unet import sd, sdxl
from featurekit.core.errors import BackboneError, ConfigError

LAYERS = ["to_q", "to_v", "to_out.0", "proj_in", "conv1", "ff.net.0.proj", "time_emb_proj"]
WORDS = ["q_proj", "out_proj", "fc1"]


def drawn(count, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(count)) * 0.05


@pytest.fixture
def model():
    """A narrow SD 1.5, as random as the one that ``folder`` holds."""
    return sd.build("sd15", reduced_configs("sd15"), device="cpu", dtype="float32", seed=1)


@pytest.fixture
def large():
    return sdxl.build("sdxl", reduced_configs("sdxl"), device="cpu", dtype="float32", seed=1)


def updates(network, ends, *, rank=4):
    """Halves by path of a layer; the rank differs from layer to layer."""
    found = {}
    for path, layer in network.named_modules():
        if any(f".{path}".endswith(f".{end}") for end in ends):
            weight, r = layer.weight, rank + len(found) % 3
            down = drawn(len(found), r, *weight.shape[1:])
            up = drawn(1000 + len(found), weight.shape[0], r, *(1 for _ in weight.shape[2:]))
            found[path] = (down, up)
    assert found
    return found


def kohya(halves, start, alpha=None):
    """The names of kohya's trainers, with an alpha for each layer unless there is none."""
    found = {}
    for number, (path, (down, up)) in enumerate(halves.items()):
        name = start + path.replace(".", "_")
        found |= {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}
        if alpha is not None:
            found[f"{name}.alpha"] = torch.tensor(alpha + number % 2)
    return found


def products(halves, alpha=None):
    """What is to be added to each layer."""
    found = {}
    for number, (path, (down, up)) in enumerate(halves.items()):
        scale = 1.0 if alpha is None else (alpha + number % 2) / down.shape[0]
        shape = (up.shape[0], *down.shape[1:])
        found[path] = scale * (up.flatten(1) @ down.flatten(1)).reshape(shape)
    return found


def assert_added(found, base, wanted, scale=1.0):
    """Every named layer holds its product more than before, and every other what it held."""
    ours, before = found.state_dict(), base.state_dict()
    assert ours.keys() == before.keys()
    for name, weight in ours.items():
        more = wanted.get(name.removesuffix(".weight")) if name.endswith(".weight") else None
        expected = before[name] if more is None else before[name] + scale * more
        torch.testing.assert_close(weight, expected, rtol=0, atol=0 if more is None else 1e-6)


def written(path, tensors, **words):
    save_file({name: one.contiguous() for name, one in tensors.items()}, path, metadata=words)
    return path


@pytest.mark.parametrize("alpha", [None, 1.0, 8.0])
def test_kohyas_names_are_added_with_their_alphas(alpha, model, tmp_path):
    base = copy.deepcopy(model)
    unet, text = updates(model.unet, LAYERS), updates(model.text_encoder, WORDS)
    tensors = kohya(unet, "lora_unet_", alpha) | kohya(text, "lora_te_text_model_", alpha)
    found = with_lora(model, written(tmp_path / "k.safetensors", tensors), 0.7)
    assert_added(found.unet, base.unet, products(unet, alpha), 0.7)
    assert_added(found.text_encoder, base.text_encoder, products(text, alpha), 0.7)
    assert_added(found.vae, base.vae, {})


def test_kohyas_names_of_an_xl_are_added_to_all_three(large, tmp_path):
    """Its trainers name the UNet's layers as the first releases did."""
    base, config = copy.deepcopy(large), large.unet.config
    halves = updates(large.unet, ["to_q", "to_k", "proj_in", "ff.net.2"])
    old = {
        unet_name(f"{path}.weight", config)
        .removeprefix("model.diffusion_model.")
        .removesuffix(".weight"): both
        for path, both in halves.items()
    }
    first = updates(large.text_encoder, WORDS)
    second = {
        path.removeprefix("text_model."): both
        for path, both in updates(large.text_encoder_2, WORDS).items()
    }
    tensors = kohya(old, "lora_unet_", 2.0)
    tensors |= kohya(first, "lora_te1_text_model_", 2.0)
    tensors |= kohya(second, "lora_te2_text_model_", 2.0)
    found = with_lora(large, written(tmp_path / "xl.safetensors", tensors), 1.0)
    assert_added(found.unet, base.unet, products(halves, 2.0))
    assert_added(found.text_encoder, base.text_encoder, products(first, 2.0))
    prefixed = {f"text_model.{path}": one for path, one in products(second, 2.0).items()}
    assert_added(found.text_encoder_2, base.text_encoder_2, prefixed)


def adapted(network, targets, **config):
    """A network with an adapter of peft whose halves are random."""
    network.add_adapter(LoraConfig(target_modules=targets, init_lora_weights=False, **config))
    return get_peft_model_state_dict(network)


@pytest.mark.parametrize("with_words", [True, False])
@pytest.mark.parametrize("metadata", [True, False])
def test_diffusers_own_files_are_added_as_its_pipelines_fuse_them(
    metadata, with_words, model, tmp_path
):
    """Without metadata the file does not say alpha, and both take it to be the rank."""
    pipe = pipeline_of(copy.deepcopy(model))
    config = {"r": 4, "lora_alpha": 7, "rank_pattern": {"to_v": 2}, "alpha_pattern": {"to_v": 5}}
    unet = adapted(pipe.unet, ["to_q", "to_v", "conv1"], **config)
    text = adapted(pipe.text_encoder, ["q_proj", "fc1"], r=3, lora_alpha=9) if with_words else None
    told = {}
    if metadata:
        told["unet_lora_adapter_metadata"] = pipe.unet.peft_config["default"].to_dict()
        if with_words:
            words = pipe.text_encoder.peft_config["default"].to_dict()
            told["text_encoder_lora_adapter_metadata"] = words
    told = {name: {key: plain(one) for key, one in of.items()} for name, of in told.items()}
    pipe.save_lora_weights(
        tmp_path, unet_lora_layers=unet,
        text_encoder_lora_layers=convert_state_dict_to_diffusers(text) if text else None, **told,
    )  # fmt: skip
    path = tmp_path / "pytorch_lora_weights.safetensors"
    theirs = pipeline_of(copy.deepcopy(model))
    theirs.load_lora_weights(path)
    theirs.fuse_lora(lora_scale=0.6)
    theirs.unload_lora_weights()
    found = with_lora(model, path, 0.6)
    for part in ("unet", "text_encoder"):
        ours, wanted = getattr(found, part).state_dict(), getattr(theirs, part).state_dict()
        for name in wanted:
            torch.testing.assert_close(ours[name], wanted[name], rtol=0, atol=1e-6)


def plain(value):
    return sorted(value) if isinstance(value, set) else value


def pipeline_of(model):
    return StableDiffusionPipeline(
        vae=model.vae, text_encoder=model.text_encoder, tokenizer=model.tokenizer,
        unet=model.unet, scheduler=None, safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip


@pytest.mark.parametrize("rslora", [False, True])
def test_pefts_own_files_are_scaled_by_the_config_beside_them(rslora, model, tmp_path):
    base = copy.deepcopy(model)
    config = LoraConfig(
        r=4, lora_alpha=6, target_modules=["to_q", "conv1"], init_lora_weights=False,
        use_rslora=rslora,
    )  # fmt: skip
    tuned = get_peft_model(copy.deepcopy(model.unet), config)
    tuned.save_pretrained(tmp_path)
    wanted = tuned.merge_and_unload().state_dict()
    path = tmp_path / "adapter_model.safetensors"
    found = with_lora(model, path, 1.0)
    for name, weight in found.unet.state_dict().items():
        torch.testing.assert_close(weight, wanted[name], rtol=0, atol=1e-6)
    (tmp_path / "adapter_config.json").unlink()
    with pytest.raises(BackboneError, match=r"must have its adapter_config\.json beside it"):
        with_lora(base, path, 1.0)


def test_the_bare_names_of_one_network_find_it(model, tmp_path):
    """As ``save_lora_adapter`` of a network writes them, with its config in the metadata."""
    tuned = copy.deepcopy(model.unet)
    adapted(tuned, ["to_k"], r=4, lora_alpha=2)
    tuned.save_lora_adapter(tmp_path)
    path = tmp_path / "pytorch_lora_weights.safetensors"
    tuned.fuse_lora()
    tuned.unload_lora()
    found = with_lora(model, path, 1.0)
    for name, weight in tuned.state_dict().items():
        torch.testing.assert_close(found.unet.state_dict()[name], weight, rtol=0, atol=1e-6)


def test_an_update_of_ours_is_added_as_it_is_applied(model, tmp_path):
    halves = {path: both for path, both in updates(model.unet, ["to_q"]).items() if both}
    halves = {path: (down[:4], up[:, :4]) for path, (down, up) in halves.items()}
    weights = {}
    for path, (down, up) in halves.items():
        weights |= {f"{path}.lora_A.weight": down, f"{path}.lora_B.weight": up}
    lora = Lora(weights, LoraRecipe(rank=4, alpha=3, targets=("to_q",)))
    path = save_lora(lora, tmp_path / "ours.safetensors")
    base = copy.deepcopy(model)
    found = with_lora(model, path, 0.5)
    with applied(base.unet, lora, 0.5):
        for name, weight in base.unet.state_dict().items():
            torch.testing.assert_close(found.unet.state_dict()[name], weight, rtol=0, atol=1e-6)


# what a backbone with one is known by


@pytest.fixture
def small(tmp_path, folder):
    halves = updates(load(str(folder), "cpu").unet, ["to_q"])
    return written(tmp_path / "small.safetensors", kohya(halves, "lora_unet_", 4.0))


def test_file_and_scale_are_a_part_of_the_identity(folder, small, tmp_path):
    plain_one = load(str(folder), "cpu")
    first, again, other = (
        load(str(folder), "cpu", lora_file=small, lora_scale=scale) for scale in (1.0, 1.0, 0.5)
    )
    told = [one.predictor(one.embed("a")).fingerprint for one in (plain_one, first, again, other)]
    assert told[1] == told[2]
    assert len(set(told)) == 3
    weights = [dict(one.weights) for one in (plain_one, first, again, other)]
    assert weights[1] == weights[2]
    assert weights[1]["lora/small.safetensors"] == weights[3]["lora/small.safetensors"]
    assert len({one.get("unet") for one in weights}) == 3
    assert weights[0].get("unet") is None
    assert first.altered("vae") == first.altered("text_encoder") == ""
    moved = tmp_path / "elsewhere.safetensors"
    moved.write_bytes(small.read_bytes())
    assert load(str(folder), "cpu", lora_file=moved).altered("unet") == first.altered("unet")


def test_a_change_after_it_is_seen_as_well(folder, small):
    found = load(str(folder), "cpu", lora_file=small)
    before = found.altered("unet")
    with torch.no_grad():
        found.unet.conv_in.bias += 1
    assert found.altered("unet") != before
    with pytest.raises(BackboneError, match="must be as it was loaded"):
        pickle.dumps(found)


def test_a_backbone_with_one_is_pickled_by_its_files(folder, small, monkeypatch, tmp_path):
    monkeypatch.chdir(small.parent)
    found = load(str(folder), "cpu", lora_file=small.name, lora_scale=0.25)
    text = pickle.dumps(found)
    monkeypatch.chdir("/")
    again = pickle.loads(text)
    assert again.altered("unet") == found.altered("unet")
    for name, weight in found.unet.state_dict().items():
        assert torch.equal(weight, again.unet.state_dict()[name])


def test_the_embedded_model_takes_one_too(tmp_path):
    halves = updates(load("embedded", "cpu").unet, ["to_q"])
    path = written(tmp_path / "e.safetensors", kohya(halves, "lora_unet_"))
    assert load("embedded", "cpu", lora_file=path).altered("unet")


def test_half_precision_is_rounded_once(folder, small):
    base = load(str(folder), "cpu", "bfloat16")
    found = load(str(folder), "cpu", "bfloat16", lora_file=small)
    halves = updates(base.unet, ["to_q"])
    for path, more in products(halves, 4.0).items():
        own = base.unet.get_submodule(path).weight
        exact, rounded = own.float() + more, found.unet.get_submodule(path).weight.float()
        # a step of eight bits is 2**-7 of a power of two, and what is rounded once misses half
        torch.testing.assert_close(rounded, exact, rtol=2**-8, atol=1e-7)


# what does not fit


def test_a_lora_of_another_model_names_what_did_not_fit(model, large, tmp_path):
    halves = updates(large.unet, ["to_k"])
    path = written(tmp_path / "xl.safetensors", kohya(halves, "lora_unet_"))
    before = copy.deepcopy(model)
    with pytest.raises(BackboneError) as refusal:
        with_lora(model, path, 1.0)
    said = str(refusal.value)
    assert f"of {len(halves)} layers in {path} do not fit 'sd15'" in said
    assert said.count("->") == 2
    assert_added(model.unet, before.unet, {})


def test_one_that_fits_in_part_is_refused_whole(model, tmp_path):
    halves = updates(model.unet, ["to_q"])
    first = next(iter(halves))
    halves[first] = (drawn(1, 4, 7), drawn(2, 16, 4))
    halves["down_blocks.9.attentions.0.proj_in"] = (drawn(1, 4, 7), drawn(2, 16, 4))
    tensors = {}
    for path, (down, up) in halves.items():
        tensors |= {f"unet.{path}.lora_A.weight": down, f"unet.{path}.lora_B.weight": up}
    before = copy.deepcopy(model)
    path = written(tmp_path / "part.safetensors", tensors)
    match = rf"2 of {len(halves)} layers .*unet\.{first} 7 -> 16, unet\.down_blocks\.9\."
    with pytest.raises(BackboneError, match=match):
        with_lora(model, path, 1.0)
    assert_added(model.unet, before.unet, {})


def test_two_ways_of_naming_in_one_file_are_refused(model, tmp_path):
    """Diffusers' converter leaves the older names out without a word."""
    halves = updates(model.unet, ["to_q"])
    old = "lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_v"
    tensors = kohya(halves, "lora_unet_")
    tensors |= {
        f"{old}.lora_down.weight": drawn(1, 4, 16),
        f"{old}.lora_up.weight": drawn(2, 16, 4),
    }
    with pytest.raises(BackboneError, match=r"it mixes two ways of naming"):
        with_lora(model, written(tmp_path / "m.safetensors", tensors), 1.0)


FORMS = {
    "dora of kohya": ("lora_unet_conv_in.dora_scale", "DoRA"),
    "dora of peft": ("unet.conv_in.lora_magnitude_vector", "DoRA"),
    "loha": ("lora_unet_conv_in.hada_w1_a", "LoHa"),
    "lokr": ("lora_unet_conv_in.lokr_w1", "LoKr"),
    "tucker": ("lora_unet_conv_in.lora_mid.weight", "LoCon with a middle factor"),
    "differences": ("lora_unet_conv_in.diff", "differences of whole layers"),
}


@pytest.mark.parametrize("form", FORMS)
def test_an_update_of_another_form_is_refused(form, model, tmp_path):
    name, match = FORMS[form]
    tensors = kohya(updates(model.unet, ["to_q"]), "lora_unet_") | {name: torch.ones(2)}
    with pytest.raises(BackboneError, match=rf"must be a LoRA, .* holds {match}"):
        with_lora(model, written(tmp_path / "f.safetensors", tensors), 1.0)


def test_half_an_update_and_what_is_none_are_refused(model, tmp_path):
    tensors = kohya(updates(model.unet, ["to_q"]), "lora_unet_", 4.0)
    gone = next(name for name in tensors if "lora_up" in name)
    fewer = {name: one for name, one in tensors.items() if name != gone}
    for held, match in (
        (fewer, rf"must have both halves, .* no {gone}"),
        (tensors | {"lora_unet_x.bias": torch.ones(1)}, r"1 in .* do not \(lora_unet_x\.bias\)"),
        ({"a.weight": torch.ones(1)}, "holds 1 tensors, none of them a half of an update"),
    ):
        with pytest.raises(BackboneError, match=match):
            with_lora(model, written(tmp_path / "h.safetensors", held), 1.0)
    (tmp_path / "l.safetensors").write_text("words")
    with pytest.raises(BackboneError, match="is a text file"):
        with_lora(model, tmp_path / "l.safetensors", 1.0)
    with pytest.raises(BackboneError, match=r"must be an existing \.safetensors file"):
        with_lora(model, tmp_path / "nowhere.safetensors", 1.0)
    with pytest.raises(ConfigError, match="lora_scale must be finite, got nan"):
        with_lora(model, tmp_path / "l.safetensors", float("nan"))


def test_a_damaged_config_of_peft_is_told(model, tmp_path):
    tensors = {
        f"base_model.model.{path}.lora_{half}.weight": one
        for path, both in updates(model.unet, ["to_q"]).items()
        for half, one in zip("AB", both, strict=True)
    }
    path = written(tmp_path / "adapter_model.safetensors", tensors)
    for text, match in (("{", "must be JSON"), ("[]", "must be a JSON object, got list")):
        (tmp_path / "adapter_config.json").write_text(text)
        with pytest.raises(BackboneError, match=match):
            with_lora(model, path, 1.0)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 4, "lora_alpha": 4}))
    assert with_lora(model, path, 1.0).altered("unet")
