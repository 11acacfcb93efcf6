"""A network that may answer with old or other numbers is refused by name; our own doors are not."""

from contextlib import ExitStack
from copy import deepcopy
from dataclasses import replace
from itertools import permutations

import pytest
import torch
from accelerate.hooks import AlignDevicesHook, add_hook_to_module, remove_hook_from_module
from diffusers import PyramidAttentionBroadcastConfig
from diffusers.hooks import (
    HookRegistry,
    ModelHook,
    apply_layerwise_casting,
    apply_pyramid_attention_broadcast,
)
from peft import LoraConfig, inject_adapter_in_model
from reduced import reduced_configs

from featurekit.backbones.lora import Lora, LoraRecipe, applied
from featurekit.backbones.unet import sd
from featurekit.core.errors import CaptureError
from featurekit.taps.attention_maps import attention_maps
from featurekit.taps.attention_sharing import self_attention_paths, share_attention
from featurekit.taps.capture import capture
from featurekit.taps.hooks import opened
from featurekit.taps.inject import inject

UP, MID = "up_blocks.1", "mid_block"
SELF = "mid_block.attentions.0.transformer_blocks.0.attn1"
DOORS = {
    "capture": lambda unet: capture(unet, {"tap": UP}),
    "inject": lambda unet: inject(unet, {UP: abs}),
    "attention_maps": lambda unet: attention_maps(unet, {"map": f"{SELF}:map"}),
}


@pytest.fixture(scope="module")
def built():
    return sd.build("sd15", reduced_configs("sd15"), device="cpu")


@pytest.fixture
def model(built):
    """A model that a test may spoil."""
    return replace(built, unet=deepcopy(built.unet))


@torch.no_grad()
def run(model, t=261, scale=1.0):
    z = torch.randn(2, 4, 8, 16, generator=torch.Generator().manual_seed(0))
    return model.predictor(model.embed("a face"))(z * scale, t)


def read(model, **others):
    with capture(model.unet, {"tap": UP}) as found:
        run(model, **others)
    return found["tap"]


def plain(network):
    parts = list(network.modules())
    return not any(part._forward_hooks or part._forward_pre_hooks for part in parts)


# what may be passed over


@pytest.mark.parametrize("door", DOORS)
def test_a_real_cache_of_attentions_is_refused_by_every_door(model, door):
    t = [261]
    config = PyramidAttentionBroadcastConfig(
        spatial_attention_block_skip_range=2,
        spatial_attention_timestep_skip_range=(0, 1000),
        cross_attention_block_skip_range=2,
        cross_attention_timestep_skip_range=(0, 1000),
        current_timestep_callback=lambda: t[0],
    )
    apply_pyramid_attention_broadcast(model.unet, config)
    run(model)  # fills the cache: the next call would read it
    with (
        pytest.raises(CaptureError, match=r"down_blocks\.0\..*attn1 has the hook 'pyramid_attent"),
        DOORS[door](model.unet),
    ):
        pytest.fail("the block ran")
    assert plain(model.unet)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("where", ["", f"{UP}.resnets.0", "up_blocks.3"])
def test_a_replaced_forward_anywhere_is_refused_by_every_door(model, where, door):
    part = model.unet.get_submodule(where)
    own = part.forward
    part.forward = lambda *given, **named: own(*given, **named)
    name = where or "the network"
    with (
        pytest.raises(CaptureError, match=f"the forward of {name} has been replaced"),
        DOORS[door](model.unet),
    ):
        pytest.fail("the block ran")
    part.forward = own  # undone by setting it back, as accelerate does
    with DOORS[door](model.unet):
        run(model)


def test_offloading_and_casting_are_read_through(model):
    expected = read(model)
    part = model.unet.mid_block
    add_hook_to_module(part, AlignDevicesHook())
    assert torch.equal(read(model), expected)
    registry = HookRegistry.check_if_exists_or_initialize(part)
    registry.register_hook(ModelHook(), "group_offloading")
    assert torch.equal(read(model), expected)
    registry.remove_hook("group_offloading")
    remove_hook_from_module(part)
    assert torch.equal(read(model), expected)
    apply_layerwise_casting(model.unet, torch.float32, torch.float32)
    assert torch.equal(read(model), expected)


def test_a_forward_replaced_below_a_harmless_hook_is_refused(model):
    part = model.unet.mid_block
    part.forward = lambda *given, **named: given[0]
    HookRegistry.check_if_exists_or_initialize(part).register_hook(ModelHook(), "group_offloading")
    with pytest.raises(CaptureError, match="the forward of mid_block has been replaced"):
        opened(model.unet, {}, of="taps")


# what is compiled


@pytest.mark.parametrize("door", DOORS)
def test_a_compiled_block_is_refused_and_its_copy_is_read(model, door):
    model.unet.mid_block.compile(backend="eager")
    within = {
        "capture": lambda unet: capture(unet, {"tap": f"{MID}.resnets.0"}),
        "inject": lambda unet: inject(unet, {f"{MID}.resnets.0": torch.zeros_like}),
        "attention_maps": DOORS["attention_maps"],
    }[door]
    with (
        pytest.raises(CaptureError, match="must run uncompiled to be read, but mid_block is compi"),
        within(model.unet),
    ):
        pytest.fail("the block ran")
    copy = replace(model, unet=deepcopy(model.unet))
    with within(copy.unet):
        run(copy)


def test_a_compiled_part_inside_a_tap_is_run_as_any_other(model):
    expected = read(model)
    model.unet.up_blocks[1].resnets[0].compile(backend="eager")
    torch.testing.assert_close(read(model), expected)


@pytest.mark.parametrize("door", DOORS)
def test_a_compiled_network_is_refused_and_the_one_inside_is_read(model, door):
    whole = torch.compile(model.unet, backend="eager")
    with (
        pytest.raises(CaptureError, match=r"the network is compiled, .*call and read its _orig_mo"),
        DOORS[door](whole),
    ):
        pytest.fail("the block ran")
    with DOORS[door](whole._orig_mod):
        run(model)
    model.unet.compile(backend="eager")
    with (
        pytest.raises(CaptureError, match=r"the network is compiled, .*read a deepcopy of it"),
        DOORS[door](model.unet),
    ):
        pytest.fail("the block ran")


def test_a_block_that_was_wrapped_by_the_compiler_is_refused(model):
    model.unet.mid_block = torch.compile(model.unet.mid_block, backend="eager")
    with (
        pytest.raises(CaptureError, match="but mid_block is compiled"),
        capture(model.unet, {"tap": "mid_block._orig_mod.resnets.0"}),
    ):
        pytest.fail("the block ran")


# our own doors


def update(unet, path):
    weight = unet.get_submodule(path).weight
    drawn = torch.randn(2, 2, weight.shape[0], generator=torch.Generator().manual_seed(1))
    halves = {".lora_A.weight": drawn[0], ".lora_B.weight": drawn[1].T.contiguous()}
    recipe = LoraRecipe(rank=2, alpha=2)
    return Lora({f"{path}{name}": half for name, half in halves.items()}, recipe)


PATHS = [f"{SELF}.to_v", "up_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"]


def doors(unet):
    shared = self_attention_paths(unet, ["up_blocks"])
    return {
        "capture": lambda: capture(unet, {"tap": UP, "q": f"{SELF}.to_q"}),
        "share": lambda: share_attention(unet, shared),
        "lora": lambda: applied(unet, update(unet, PATHS[0])),
        "inject": lambda: inject(unet, {"conv_in": lambda found: found * 1.5}),
    }


@pytest.mark.parametrize("order", list(permutations(["capture", "share", "lora", "inject"])))
def test_doors_of_ours_open_inside_each_other_in_any_order(built, order):
    with ExitStack() as block:
        opened_doors = {name: block.enter_context(doors(built.unet)[name]()) for name in order}
        run(built)
    with ExitStack() as block:
        for name in ("share", "lora", "inject"):
            block.enter_context(doors(built.unet)[name]())
        with capture(built.unet, {"tap": UP}) as expected:
            run(built)
    assert torch.equal(opened_doors["capture"]["tap"], expected["tap"])
    assert not torch.equal(read(built), expected["tap"])  # each door is felt
    assert plain(built.unet)


def test_a_layer_is_read_with_its_update_whichever_block_opened_first(built):
    path = PATHS[0]
    with applied(built.unet, update(built.unet, path)), capture(built.unet, {"v": path}) as found:
        run(built)
    with capture(built.unet, {"v": path}) as inside, applied(built.unet, update(built.unet, path)):
        run(built)
    with capture(built.unet, {"v": path}) as bare:
        run(built)
    assert torch.equal(found["v"], inside["v"])
    assert not torch.equal(found["v"], bare["v"])
    assert plain(built.unet)


def test_a_layer_that_peft_wraps_inside_a_block_is_refused(built):
    own = built.unet.get_submodule(PATHS[0])

    def wrapped_late():
        with capture(built.unet, {"v": PATHS[0]}):
            inject_adapter_in_model(LoraConfig(target_modules=[PATHS[0]]), built.unet)
            run(built)

    with pytest.raises(CaptureError, match=r"attn1\.to_v must stay the module .* now a Linear"):
        wrapped_late()
    built.unet.set_submodule(PATHS[0], own)
    del built.unet.peft_config
    assert plain(built.unet)
