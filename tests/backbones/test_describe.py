"""describe_backbone: what it says without torch is what the networks do."""

import json
import shutil
import subprocess
import sys

import pytest
import torch

from featurekit.backbones.describe import describe_backbone
from featurekit.backbones.folder import bundled_configs, embedded_folder
from featurekit.backbones.unet import sd
from featurekit.backbones.unet.blocks import taps
from featurekit.backbones.vae_taps import vae_stride
from featurekit.core.errors import BackboneError, UnknownNameError
from featurekit.core.types import Tap
from featurekit.taps.capture import capture


def by_name(name):
    return {tap.name: tap for tap in describe_backbone(name)}


@pytest.mark.parametrize("name", ["sd15", "sd21"])
def test_channels_and_strides_are_those_of_the_network(name):
    model = sd.from_config(name, device="meta")
    everything = describe_backbone(name)
    listed = [tap for tap in everything if tap.name in model.taps]
    latent = torch.zeros(1, 4, 64, 128, device="meta")
    with capture(model.unet, {tap.name: tap.path for tap in listed}) as found:
        model.predictor(model.embed("a face"))(latent, 261)
    seen = {n: (a.shape[1], 512 / a.shape[2], 1024 / a.shape[3]) for n, a in found.items()}
    assert seen == {tap.name: (tap.channels, tap.stride, tap.stride) for tap in listed}
    assert model.taps == {tap.name: tap for tap in listed}
    assert model.activations == {tap.name: tap for tap in everything}
    assert list(everything[: len(listed)]) == listed


def test_taps_come_in_the_order_of_a_forward():
    model, order = sd.from_config("sd15", device="meta"), []
    blocks = [tap for tap in describe_backbone("sd15") if tap.role in ("down", "mid", "up")]
    modules = dict(model.unet.named_modules())
    for tap in blocks:
        modules[tap.path].register_forward_hook(lambda *_, name=tap.name: order.append(name))
    model.predictor(model.embed(""))(torch.zeros(1, 4, 64, 64, device="meta"), 1)
    assert order == [tap.name for tap in blocks]


def test_the_blocks_of_stable_diffusion_are_the_known_ones():
    found = by_name("sd15")
    assert found["up1"] == Tap("up1", "up_blocks.1", "up", 1280, 16)  # what DIFT reads
    assert found["up2"] == Tap("up2", "up_blocks.2", "up", 640, 8)  # what DragDiffusion reads
    assert found["up3"] == Tap("up3", "up_blocks.3", "up", 320, 8)
    assert found["mid"] == Tap("mid", "mid_block", "mid", 1280, 64)
    assert found["down0"] == Tap("down0", "down_blocks.0.downsamplers.0", "down", 320, 16)
    assert found["down3"] == Tap("down3", "down_blocks.3.resnets.1", "down", 1280, 64)
    assert found["up2.attention1"].path == "up_blocks.2.attentions.1"
    roles = [tap.role for tap in found.values()]
    assert [roles.count(role) for role in ("down", "mid", "up", "resnet", "attention")] == [
        4,
        1,
        4,
        22,
        16,
    ]


def test_the_embedded_model_has_a_quarter_of_the_pixels_per_cell():
    assert by_name("embedded")["up2"].stride == 4
    assert describe_backbone("embedded") == describe_backbone("random")


def test_layers_may_differ_by_block():
    configs = bundled_configs("sd15")
    listed = taps(configs["unet"] | {"layers_per_block": [1, 2, 3, 1]}, configs["vae"])
    counts = {}
    for tap in listed:
        if tap.role == "resnet":
            block = tap.name.partition(".")[0]
            counts[block] = counts.get(block, 0) + 1
    assert counts == {
        "down0": 1, "down1": 2, "down2": 3, "down3": 1, "mid": 2,
        "up0": 2, "up1": 4, "up2": 3, "up3": 2,
    }  # fmt: skip


def test_a_folder_is_described_from_two_of_its_files(tmp_path):
    for part in ("unet", "vae"):
        (tmp_path / part).mkdir()
        shutil.copy(embedded_folder() / part / "config.json", tmp_path / part)
    assert describe_backbone(str(tmp_path)) == describe_backbone("embedded")


@pytest.mark.parametrize("name", ["embedded", "random", "sd15", "sd21", "sdxl", "a folder"])
def test_no_network_library_is_imported_and_it_takes_less_than_a_second(name):
    name = str(embedded_folder()) if name == "a folder" else name
    code = (
        "import json, sys, time\n"
        "from featurekit.backbones.describe import describe_backbone\n"
        f"found = describe_backbone({name!r})\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'numpy', 'huggingface_hub'}\n"
        "print(json.dumps([len(found), sorted(heavy & set(sys.modules)), time.process_time()]))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    count, heavy, seconds = json.loads(run.stdout)  # of processor time: others may be busy too
    assert count == len(describe_backbone(name))
    assert heavy == []
    assert seconds < 1


# refusals


def test_an_unknown_name_is_refused_with_what_may_be_given():
    with pytest.raises(
        UnknownNameError,
        match=r"no backbone named 'sd51'; did you mean .*; the path of a .* folder or a hub id",
    ) as refusal:
        describe_backbone("sd51")
    assert refusal.value.known == ("embedded", "random", "sd15", "sd21", "sdxl")


def test_another_kind_of_block_is_refused_by_name():
    configs = bundled_configs("sd15")
    other = configs["unet"] | {"up_block_types": ["AttnUpBlock2D"] * 4}
    with pytest.raises(BackboneError, match=r"must be built of .*, got 'AttnUpBlock2D'"):
        taps(other, configs["vae"])


@pytest.mark.parametrize("key", ["block_out_channels", "down_block_types", "up_block_types"])
@pytest.mark.parametrize("value", [None, [], 3])
def test_a_config_without_its_blocks_is_refused(key, value):
    configs = bundled_configs("sd15")
    with pytest.raises(BackboneError, match=f"must list {key}, got"):
        taps(configs["unet"] | {key: value}, configs["vae"])


def test_an_autoencoder_without_blocks_is_refused():
    with pytest.raises(BackboneError, match="must list block_out_channels, got None"):
        vae_stride({})


def test_layers_for_other_blocks_are_refused():
    configs = bundled_configs("sd15")
    with pytest.raises(BackboneError, match=r"must name 4 blocks, got \[1, 2\]"):
        taps(configs["unet"] | {"layers_per_block": [1, 2]}, configs["vae"])
