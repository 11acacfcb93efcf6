"""hooks: what is at an address is what the module got or gave, and a stale address is refused."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from diffusers.hooks import HookRegistry, ModelHook
from reduced import reduced_configs
from torch import nn

from featurekit.backbones.unet import sd
from featurekit.core.errors import CaptureError, UnknownNameError
from featurekit.taps.capture import capture
from featurekit.taps.hooks import attach, refuse_stale

UP = "up_blocks.1"
SELF = "mid_block.attentions.0.transformer_blocks.0.attn1"
CROSS = "mid_block.attentions.0.transformer_blocks.0.attn2"


@pytest.fixture(scope="module")
def built():
    return sd.build("sd15", reduced_configs("sd15"), device="cpu")


@pytest.fixture
def model(built):
    """A model that a test may spoil."""
    return replace(built, unet=deepcopy(built.unet))


def run(model):
    latent = torch.randn(1, 4, 8, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return model.predictor(model.embed("a face"))(latent, 261)


def hooked(module):
    return [
        path
        for path, part in module.named_modules()
        if part._forward_hooks or part._forward_pre_hooks
    ]


def test_what_goes_in_is_what_the_one_before_gave(model):
    before, after = f"{UP}.resnets.0", f"{UP}.attentions.0:in"
    with capture(model.unet, {"before": before, "after": after}) as found:
        run(model)
    assert found["before"] is found["after"]


def test_a_skip_is_what_the_way_down_left_there(model):
    # last made, first taken: the first resnet of the way up gets what came last on the way down
    made = ["down_blocks.3.resnets.1", "down_blocks.3.resnets.0", "down_blocks.2.downsamplers.0"]
    taps = {f"skip{i}": f"up_blocks.0:skip{i}" for i in range(3)}
    with capture(model.unet, taps | {path: path for path in made}) as found:
        run(model)
    assert [found[f"skip{i}"] is found[path] for i, path in enumerate(made)] == [True] * 3


def test_an_early_exit_at_an_input_computes_nothing_below(model):
    ran = []
    handle = model.unet.up_blocks[1].resnets[0].register_forward_hook(lambda *_: ran.append(1))
    with capture(model.unet, {"in": f"{UP}.resnets.0:in"}, stop_after=True) as found:
        run(model)
    handle.remove()
    assert found["in"].shape[0] == 1
    assert ran == []


def test_visitors_of_one_address_come_in_order(model):
    seen = []
    handles = [
        attach(model.unet, "conv_in", lambda found: found + 1),
        attach(model.unet, "conv_in", lambda found: seen.append(found)),
    ]
    run(model)
    plain = []
    handles[0].remove()
    handles[1].remove()
    handles = [attach(model.unet, "conv_in", lambda found: plain.append(found))]
    run(model)
    handles[0].remove()
    assert torch.equal(seen[0], plain[0] + 1)
    assert hooked(model.unet) == []


# refusals


@pytest.mark.parametrize("path", [SELF, CROSS])
def test_a_fused_projection_is_refused_by_name_and_read_once_it_is_undone(model, path):
    model.unet.fuse_qkv_projections()
    for name in ("k", "v") + (("q",) if path == SELF else ()):
        with (
            pytest.raises(CaptureError, match=rf"{path}\.to_{name} must run .*fuse_qkv_projection"),
            capture(model.unet, {"tap": f"{path}.to_{name}"}),
        ):
            pass
    if path == CROSS:  # the words' query is no part of the fused projection
        with capture(model.unet, {"tap": f"{path}.to_q"}) as found:
            run(model)
        assert found["tap"].ndim == 3
    model.unet.unfuse_qkv_projections()
    with capture(model.unet, {"tap": f"{path}.to_k"}) as found:
        run(model)
    assert found["tap"].ndim == 3


@pytest.mark.parametrize("where", ["", "mid_block", SELF])
def test_a_block_skipping_cache_around_a_tap_is_refused_by_name(model, where):
    part = model.unet.get_submodule(where)
    HookRegistry.check_if_exists_or_initialize(part).register_hook(ModelHook(), "mag_cache")
    with (
        pytest.raises(CaptureError, match=rf"{where or 'the network'} has the hook 'mag_cache'"),
        capture(model.unet, {"tap": f"{SELF}.to_q"}),
    ):
        pass
    assert hooked(model.unet) == []
    # a cache anywhere concerns all that contains it or comes after it
    with (
        pytest.raises(CaptureError, match=rf"{where or 'the network'} has the hook 'mag_cache'"),
        capture(model.unet, {"tap": UP}),
    ):
        pass


@pytest.mark.parametrize("name", ["group_offloading", "lazy_prefetch_group_offloading"])
def test_a_hook_that_only_moves_weights_is_no_cache(model, name):
    part = model.unet.mid_block
    HookRegistry.check_if_exists_or_initialize(part).register_hook(ModelHook(), name)
    with capture(model.unet, {"tap": "mid_block"}) as found:
        run(model)
    assert found["tap"].ndim == 4


def test_a_replaced_forward_around_a_tap_is_refused(model):
    block = model.unet.up_blocks[1]
    block.forward = lambda *given, **named: None
    with pytest.raises(CaptureError, match=rf"the forward of {UP} has been replaced"):
        refuse_stale(model.unet)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("up_blocks.9", "no submodule named 'up_blocks.9'; did you mean up_blocks"),
        ("", "no submodule named ''"),
        ("up_blocks.1:inn", "no side of a submodule named 'inn'; did you mean in"),
        ("up_blocks.1:skip", "no side of a submodule named 'skip'"),
    ],
)
def test_an_address_of_nothing_is_refused(model, address, message):
    with pytest.raises(UnknownNameError, match=message):
        attach(model.unet, address, lambda found: None)


def test_a_map_is_computed_and_not_read(model):
    with pytest.raises(CaptureError, match=r"must be computed to be read, .*use attention_maps"):
        attach(model.unet, f"{SELF}:map", lambda found: None)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("up_blocks.1:skip3", "must be given res_hidden_states_tuple to read skip3, got 3 of them"),
        ("mid_block:skip0", "must be given res_hidden_states_tuple to read skip0, got none"),
        ("down_blocks.0", r"'down_blocks\.0' must return a tensor .* got a tuple of 2"),
    ],
)
def test_a_side_that_a_module_does_not_have_is_refused_in_the_forward(model, address, message):
    with (
        pytest.raises(CaptureError, match=message),
        capture(model.unet, {"tap": address}),
    ):
        run(model)
    assert hooked(model.unet) == []


def test_an_input_that_is_named_is_found():
    class Named(nn.Module):
        def forward(self, hidden_states):
            return hidden_states + 1

    network = nn.ModuleDict({"part": Named()})
    handle = attach(network, "part:in", lambda found: found * 2)
    assert network["part"](hidden_states=torch.ones(1)).item() == 3
    assert network["part"](torch.ones(1)).item() == 3
    handle.remove()
    assert network["part"](torch.ones(1)).item() == 2
