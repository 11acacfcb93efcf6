"""LoRAs for transformers: added as the stock pipelines fuse them, or refused by name."""

import copy
import pickle

import pytest
import torch
from diffusers import AutoencoderKL
from peft import LoraConfig, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from small_parts import drawn
from small_transformers import SMALL, flux

from featurekit.backbones import describe_backbone, load
from featurekit.backbones.adapters.merging import with_lora
from featurekit.backbones.lora import Lora, LoraRecipe, applied
from featurekit.backbones.lora_file import save_lora
from featurekit.core.errors import BackboneError, ConfigError

LOADED = [name for name in SMALL if not name.startswith("pixart")]  # those with a loader


def written(path, tensors):
    save_file({name: one.contiguous() for name, one in tensors.items()}, path)
    return path


def halves_of(network, ends=("to_q", "to_v"), rank=3):
    """Random halves by path of a layer."""
    found = {}
    for path, layer in network.named_modules():
        if any(path.endswith(f".{end}") for end in ends):
            rows, columns = layer.weight.shape
            number = len(found)
            down, up = drawn(rank, columns, seed=number), drawn(rows, rank, seed=900 + number)
            found[path] = (down * 0.05, up * 0.05)
    assert found
    return found


def assert_added(found, base, halves, scale):
    ours, before = found.state_dict(), base.state_dict()
    assert ours.keys() == before.keys()
    for name, weight in ours.items():
        both = halves.get(name.removesuffix(".weight"))
        wanted = before[name] if both is None else before[name] + scale * both[1] @ both[0]
        torch.testing.assert_close(weight, wanted, rtol=0, atol=0 if both is None else 1e-6)


def assert_equal(ours, theirs):
    for name, weight in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], weight, rtol=0, atol=1e-6)


def fused(pipeline, path, scale):
    """The transformer as its own pipeline makes it of the file."""
    theirs = copy.deepcopy(pipeline)
    theirs.load_lora_weights(path)
    theirs.fuse_lora(lora_scale=scale)
    theirs.unload_lora_weights()
    return theirs.transformer


@pytest.mark.parametrize("metadata", [True, False])
@pytest.mark.parametrize("name", LOADED)
def test_diffusers_own_files_are_added_as_its_pipelines_fuse_them(name, metadata, tmp_path):
    small = SMALL[name]()
    tuned = copy.deepcopy(small.pipeline.transformer)
    config = LoraConfig(
        target_modules=["to_q", "to_v"], init_lora_weights=False, r=4, lora_alpha=7,
        rank_pattern={"to_v": 2}, alpha_pattern={"to_v": 5},
    )  # fmt: skip
    tuned.add_adapter(config)
    told = {}
    if metadata:
        of = tuned.peft_config["default"].to_dict()
        plain = {key: sorted(one) if isinstance(one, set) else one for key, one in of.items()}
        told["transformer_lora_adapter_metadata"] = plain
    small.pipeline.save_lora_weights(
        tmp_path, transformer_lora_layers=get_peft_model_state_dict(tuned), **told
    )
    path = tmp_path / "pytorch_lora_weights.safetensors"
    wanted = fused(small.pipeline, path, 0.6)
    base = copy.deepcopy(small.pipeline.transformer)
    found = with_lora(small.wrapped(), path, 0.6)
    assert_equal(found.transformer, wanted)
    assert not torch.equal(next(of_ends(found.transformer)), next(of_ends(base)))


def of_ends(network):
    return (one for name, one in network.named_parameters() if name.endswith("to_q.weight"))


@pytest.mark.parametrize("start", ["lora_unet_", "lora_transformer_"])
@pytest.mark.parametrize("name", SMALL)
def test_kohyas_names_of_the_paths_are_added_with_their_alphas(name, start, tmp_path):
    small = SMALL[name]()
    base, halves = copy.deepcopy(small.pipeline.transformer), halves_of(small.pipeline.transformer)
    tensors = {}
    for path, (down, up) in halves.items():
        flat = start + path.replace(".", "_")
        tensors |= {f"{flat}.lora_down.weight": down, f"{flat}.lora_up.weight": up}
        tensors[f"{flat}.alpha"] = torch.tensor(6.0)  # twice the rank
    found = with_lora(small.wrapped(), written(tmp_path / "k.safetensors", tensors), 0.7)
    assert_added(found.transformer, base, halves, 1.4)


def test_the_names_of_the_first_flux_are_cut_apart_as_its_pipeline_does(tmp_path):
    """Kohya's trainers name one layer for query, key and value together."""
    small = flux()
    base, tensors = copy.deepcopy(small.pipeline.transformer), {}
    for number in range(2):
        name = f"lora_unet_double_blocks_{number}_img_attn_qkv"
        tensors[f"{name}.lora_down.weight"] = drawn(4, 16, seed=number) * 0.1
        tensors[f"{name}.lora_up.weight"] = drawn(48, 4, seed=5 + number) * 0.1
        tensors[f"{name}.alpha"] = torch.tensor(2.0)
        other = f"lora_unet_double_blocks_{number}_txt_attn_proj"
        tensors[f"{other}.lora_down.weight"] = drawn(4, 16, seed=9 + number) * 0.1
        tensors[f"{other}.lora_up.weight"] = drawn(16, 4, seed=15 + number) * 0.1
        tensors[f"{other}.alpha"] = torch.tensor(8.0)
    path = written(tmp_path / "flux.safetensors", tensors)
    wanted = fused(small.pipeline, path, 1.0)
    found = with_lora(small.wrapped(), path, 1.0)
    assert_equal(found.transformer, wanted)
    changed = base.state_dict()["transformer_blocks.0.attn.to_k.weight"]
    assert not torch.equal(found.transformer.transformer_blocks[0].attn.to_k.weight, changed)


@pytest.mark.parametrize("name", ["qwen_image", "z_image"])
def test_names_with_another_beginning_are_converted_by_the_pipeline(name, tmp_path):
    small = SMALL[name]()
    base, halves = copy.deepcopy(small.pipeline.transformer), halves_of(small.pipeline.transformer)
    tensors = {}
    for path, (down, up) in halves.items():
        tensors |= {f"diffusion_model.{path}.lora_A.weight": down}
        tensors |= {f"diffusion_model.{path}.lora_B.weight": up}
    path = written(tmp_path / "d.safetensors", tensors)
    assert_added(with_lora(small.wrapped(), path, 1.0).transformer, base, halves, 1.0)


@pytest.mark.parametrize("name", ["flux_dev", "pixart_sigma"])
def test_pefts_own_files_are_scaled_by_the_config_beside_them(name, tmp_path):
    small = SMALL[name]()
    config = LoraConfig(
        r=4, lora_alpha=6, target_modules=["to_q"], init_lora_weights=False, use_rslora=True
    )
    tuned = get_peft_model(copy.deepcopy(small.pipeline.transformer), config)
    tuned.save_pretrained(tmp_path)
    wanted = tuned.merge_and_unload()
    found = with_lora(small.wrapped(), tmp_path / "adapter_model.safetensors", 1.0)
    assert_equal(found.transformer, wanted)


def test_an_update_of_ours_is_the_transformer_s(tmp_path):
    small = flux()
    halves = halves_of(small.pipeline.transformer, ["to_q"])
    weights = {}
    for path, (down, up) in halves.items():
        weights |= {f"{path}.lora_A.weight": down, f"{path}.lora_B.weight": up}
    lora = Lora(weights, LoraRecipe(rank=3, alpha=6, targets=("to_q",)))
    path = save_lora(lora, tmp_path / "ours.safetensors")
    base = copy.deepcopy(small.pipeline.transformer)
    found = with_lora(small.wrapped(), path, 0.5)
    with applied(base, lora, 0.5):
        assert_equal(found.transformer, base)


# what does not fit


def test_one_for_another_model_names_what_did_not_fit(tmp_path):
    halves = halves_of(SMALL["sana"]().pipeline.transformer)
    tensors = {}
    for path, (down, up) in halves.items():
        tensors |= {f"transformer.{path}.lora_A.weight": down}
        tensors |= {f"transformer.{path}.lora_B.weight": up}
    small = flux()
    base = copy.deepcopy(small.pipeline.transformer)
    with pytest.raises(BackboneError, match=r"layers in .* do not fit 'small' \(transformer\.tr"):
        with_lora(small.wrapped(), written(tmp_path / "s.safetensors", tensors), 1.0)
    assert_added(small.pipeline.transformer, base, {}, 1.0)


def test_names_that_nothing_converts_are_refused(tmp_path):
    tensors = {
        "lora_unet_joint_blocks_0_x_block_attn_qkv.lora_down.weight": torch.ones(2, 16),
        "lora_unet_joint_blocks_0_x_block_attn_qkv.lora_up.weight": torch.ones(48, 2),
    }
    path = written(tmp_path / "o.safetensors", tensors)
    for name, match in (
        ("pixart_sigma", r"for a PixArtSigmaPipeline must be those of its networks, .* no loader"),
        ("sd3", r"of 48 rows .* 0 have one .* all of them \(lora_unet_joint_blocks_0_x_block"),
        ("flux_dev", r"must be those of a LoRA for this model, got: .*joint_blocks_0_x_block"),
    ):
        with pytest.raises(BackboneError, match=match):
            with_lora(SMALL[name]().wrapped(), path, 1.0)


# beside a folder: what it is known by, and its autoencoder


@pytest.fixture
def folder(tmp_path):
    flux().pipeline.save_pretrained(tmp_path / "flux")
    return tmp_path / "flux"


@pytest.fixture
def small(tmp_path):
    tensors = {}
    for path, (down, up) in halves_of(flux().pipeline.transformer).items():
        tensors |= {f"transformer.{path}.lora_A.weight": down}
        tensors |= {f"transformer.{path}.lora_B.weight": up}
    return written(tmp_path / "small.safetensors", tensors)


def test_file_and_scale_are_a_part_of_the_identity(folder, small):
    plain = load(folder, "cpu")
    first, again, other = (
        load(folder, "cpu", lora_file=small, lora_scale=scale) for scale in (1.0, 1.0, 0.5)
    )
    words = flux().words
    told = [one.predictor(words).fingerprint for one in (plain, first, again, other)]
    assert told[1] == told[2]
    assert len(set(told)) == 3
    assert first.weights["lora/small.safetensors"]
    assert first.altered("vae") == ""
    unpickled = pickle.loads(pickle.dumps(other))
    assert unpickled.predictor(words).fingerprint == told[3]
    with pytest.raises(ConfigError, match=r"lora_scale must go with a lora_file, got 0\.5 alone"):
        load(folder, "cpu", lora_scale=0.5)


def test_another_autoencoder_takes_the_place_of_a_transformer_s(folder, tmp_path):
    config = load(folder, "cpu").vae.config
    with torch.random.fork_rng():
        torch.manual_seed(5)
        other = AutoencoderKL.from_config({**config, "scaling_factor": 0.5})
    other.save_pretrained(tmp_path / "other")
    file = tmp_path / "other/diffusion_pytorch_model.safetensors"
    own = load(folder, "cpu")
    for given in (tmp_path / "other", file):
        found = load(folder, "cpu", vae=given)
        assert_equal(found.vae, other)
        assert found.vae.config.scaling_factor == 0.5
        changed = {one for one in found.weights if found.weights[one] != own.weights.get(one)}
        assert changed == {"vae/diffusion_pytorch_model.safetensors"}
        assert not any(one.requires_grad for one in found.vae.parameters())
        assert_equal(pickle.loads(pickle.dumps(found)).vae, other)
    assert own.weights["vae/diffusion_pytorch_model.safetensors"]


def test_an_autoencoder_of_another_class_or_size_is_refused(folder, tmp_path):
    config = load(folder, "cpu").vae.config
    AutoencoderKL.from_config({**config, "latent_channels": 4}).save_pretrained(tmp_path / "four")
    SMALL["sana"]().pipeline.vae.save_pretrained(tmp_path / "dc")
    for given, match in (
        ("four", r"latents of 16 channels, as .*flux takes them, got one of 4"),
        ("dc", r"vae must be an AutoencoderKL, .* holds an AutoencoderDC"),
        ("none", r"vae must be the folder of an AutoencoderKL"),
    ):
        for ask in (lambda one: load(folder, "cpu", vae=one), described(folder)):
            with pytest.raises(BackboneError, match=match):
                ask(tmp_path / given)
    with pytest.raises(BackboneError, match=r"prediction must be left out .* a transformer"):
        load(folder, "cpu", prediction="epsilon")


def described(folder):
    return lambda one: describe_backbone(str(folder), vae=one)


def test_a_class_without_single_files_takes_folders(tmp_path):
    pipeline = SMALL["sana"]().pipeline
    pipeline.save_pretrained(tmp_path / "sana")
    pipeline.vae.save_pretrained(tmp_path / "dc")
    assert_equal(load(tmp_path / "sana", "cpu", vae=tmp_path / "dc").vae, pipeline.vae)
    file = tmp_path / "dc/diffusion_pytorch_model.safetensors"
    with pytest.raises(BackboneError, match="folder of an AutoencoderDC, of which no file is"):
        load(tmp_path / "sana", "cpu", vae=file)
