"""A capture reads the network as it is now, however it was changed since the one before."""

from collections import OrderedDict
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from accelerate.hooks import AlignDevicesHook, add_hook_to_module, remove_hook_from_module
from diffusers.hooks import HookRegistry, ModelHook, apply_layerwise_casting
from diffusers.models.attention_processor import AttnProcessor
from peft import LoraConfig, inject_adapter_in_model
from reduced import reduced_configs
from torch import nn

from featurekit.backbones.unet import sd
from featurekit.core.errors import CaptureError, UnknownNameError
from featurekit.taps.capture import capture

UP, LAST = "up_blocks.1", "up_blocks.1.resnets.1"
SELF = "up_blocks.1.attentions.0.transformer_blocks.0.attn1"
VALUE = f"{SELF}.to_v"
TAPS = (UP, LAST, SELF, VALUE)


@pytest.fixture(scope="module")
def built():
    return sd.build("sd15", reduced_configs("sd15"), device="cpu")


@pytest.fixture
def model(built):
    """A model that a test may change."""
    return replace(built, unet=deepcopy(built.unet))


@torch.no_grad()
def run(model):
    z = torch.randn(1, 4, 8, 16, generator=torch.Generator().manual_seed(0))
    return model.predictor(model.embed("a face"))(z, 261)


def read(model, paths=TAPS):
    with capture(model.unet, {path: path for path in paths}) as found:
        run(model)
    return [found[path] for path in paths]


def hooked(model, paths=TAPS):
    """What plain hooks see that are put on the modules now."""
    seen, handles = {}, []
    for path in paths:

        def keep(module, given, out, path=path):
            seen[path] = out[0] if isinstance(out, tuple) else out

        handles.append(model.unet.get_submodule(path).register_forward_hook(keep))
    run(model)
    for handle in handles:
        handle.remove()
    return [seen[path] for path in paths]


def other(module, seed=1):
    """A module like another one, with weights of its own."""
    drawn = deepcopy(module)
    generator = torch.Generator().manual_seed(seed)
    for weight in drawn.parameters():
        weight.data = weight.data + 0.05 * torch.randn(weight.shape, generator=generator)
    return drawn


def same(some, others):
    return [torch.equal(a, b) for a, b in zip(some, others, strict=True)]


# what is read all the same: each change, and how it is undone


def put(unet, path, module):
    """Set a module by its attribute, and give back the way to undo it."""
    around, _, name = path.rpartition(".")
    own = unet.get_submodule(path)
    setattr(unet.get_submodule(around), name, module)
    return lambda: setattr(unet.get_submodule(around), name, own)


def replaced(unet):
    return put(unet, UP, other(unet.up_blocks[1]))


def replaced_deep_inside(unet):
    return put(unet, VALUE, other(unet.get_submodule(VALUE)))


def replaced_in_the_dictionary_of_parts(unet):
    parts, own = unet.up_blocks._modules, unet.up_blocks[1]
    parts["1"] = other(own)
    return lambda: parts.update({"1": own})


def another_dictionary_of_parts(unet):
    blocks, own = unet.up_blocks, unet.up_blocks._modules
    blocks._modules = OrderedDict({**own, "1": other(own["1"])})
    return lambda: blocks.__dict__.update(_modules=own)


def parts_that_changed_places(unet):
    one, two = unet.up_blocks[1].resnets[0], unet.up_blocks[1].resnets[1]
    undo = put(unet, LAST, one), put(unet, "up_blocks.1.resnets.0", two)
    return lambda: [each() for each in reversed(undo)]


def taken_out_and_put_back_in(unet):
    blocks, own = unet.up_blocks, list(unet.up_blocks)
    del blocks[1:]  # which gives it another dictionary of parts
    blocks.extend([other(own[1]), *own[2:]])
    return lambda: blocks.__setitem__(1, own[1])


def an_adapter_of_peft(unet):
    own = unet.get_submodule(VALUE)
    inject_adapter_in_model(LoraConfig(target_modules=[VALUE]), unet)
    halves = unet.get_submodule(VALUE)
    with torch.no_grad():
        halves.lora_B["default"].weight.fill_(0.1)

    def undo():
        unet.set_submodule(VALUE, own)
        del unet.peft_config

    return undo


def another_processor(unet):
    attention = unet.get_submodule(SELF)
    own = attention.processor
    attention.set_processor(Doubling())
    return lambda: attention.set_processor(own)


class Doubling(AttnProcessor):
    def __call__(self, attn, hidden_states, *given, **named):
        return 2 * super().__call__(attn, hidden_states, *given, **named)


def offloaded(unet):
    add_hook_to_module(unet.up_blocks[1], AlignDevicesHook())
    return lambda: remove_hook_from_module(unet.up_blocks[1])


def a_part_inside_a_leaf(unet):
    leaf = unet.get_submodule(VALUE)
    leaf.extra = other(leaf)
    leaf.register_forward_hook(lambda module, given, out: module.extra(given[0]))
    hook = next(reversed(leaf._forward_hooks))

    def undo():
        del leaf._forward_hooks[hook]
        del leaf.extra

    return undo


def freeu(unet):
    unet.enable_freeu(s1=0.9, s2=0.2, b1=1.5, b2=1.6)
    return unet.disable_freeu


FELT = (  # each of them changes what the taps give
    replaced,
    replaced_deep_inside,
    replaced_in_the_dictionary_of_parts,
    another_dictionary_of_parts,
    parts_that_changed_places,
    taken_out_and_put_back_in,
    an_adapter_of_peft,
    another_processor,
    a_part_inside_a_leaf,
    freeu,
)


@pytest.mark.parametrize("change", FELT, ids=lambda change: change.__name__)
def test_what_changed_between_two_captures_is_read_as_it_is_now(model, change):
    before = read(model)
    undo = change(model.unet)
    changed = read(model)
    assert all(same(changed, hooked(model)))
    assert not all(same(changed, before))
    undo()
    assert all(same(read(model), before))


def test_an_offloading_that_came_and_went_is_read_through(model):
    before = read(model)
    undo = offloaded(model.unet)
    assert all(same(read(model), before))
    undo()
    assert all(same(read(model), before))


def test_a_cast_is_read_in_what_it_computes_in(model):
    before = read(model)
    apply_layerwise_casting(model.unet, torch.float8_e4m3fn, torch.float32)
    cast = read(model)
    assert all(same(cast, hooked(model)))
    assert not all(same(cast, before))


def test_a_path_that_came_is_found_and_one_that_went_is_unknown(model):
    unet, own = model.unet, model.unet.conv_act
    read(model)
    undo = put(unet, "conv_act", nn.Sequential(own, nn.Identity()))
    assert all(same(read(model, ["conv_act.1"]), hooked(model, ["conv_act.1"])))
    undo()
    with (
        pytest.raises(UnknownNameError, match=r"no submodule named 'conv_act\.1'"),
        capture(unet, {"new": "conv_act.1"}),
    ):
        pytest.fail("the block ran")


# what is refused as long as it is there


def a_replaced_forward(unet, path):
    part = unet.get_submodule(path)
    own = part.forward
    part.forward = lambda *given, **named: own(*given, **named)
    return lambda: vars(part).pop("forward")


def a_replaced_forward_of_a_part_that_came(unet, path):
    undo = put(unet, path, other(unet.get_submodule(path)))
    a_replaced_forward(unet, path)
    return undo


def a_cache(unet, path):
    registry = HookRegistry.check_if_exists_or_initialize(unet.get_submodule(path))
    registry.register_hook(ModelHook(), "mag_cache")
    return lambda: registry.remove_hook("mag_cache")


def a_compiled_part(unet, path):
    part = unet.get_submodule(path)
    part.compile(backend="eager")
    return lambda: setattr(part, "_compiled_call_impl", None)


def a_part_wrapped_by_the_compiler(unet, path):
    return put(unet, path, torch.compile(unet.get_submodule(path), backend="eager"))


def fused_projections(unet, path):
    unet.fuse_qkv_projections()
    return unet.unfuse_qkv_projections


REFUSED = (  # what came, where, what is read, and what is said
    (a_replaced_forward, "", UP, "the forward of the network has been replaced"),
    (a_replaced_forward, "up_blocks.3", UP, "the forward of up_blocks.3 has been replaced"),
    (a_replaced_forward, VALUE, UP, f"the forward of {VALUE} has been replaced"),
    (a_replaced_forward_of_a_part_that_came, VALUE, UP, f"the forward of {VALUE} has been repl"),
    (a_cache, "mid_block", UP, "mid_block has the hook 'mag_cache'"),
    (a_compiled_part, UP, VALUE, "but up_blocks.1 is compiled"),
    (a_part_wrapped_by_the_compiler, UP, UP, "but up_blocks.1 is compiled"),
    (fused_projections, "", VALUE, "call unfuse_qkv_projections first"),
)


@pytest.mark.parametrize(
    ("change", "where", "path", "message"), REFUSED, ids=lambda one: getattr(one, "__name__", one)
)
def test_what_came_between_two_captures_is_refused_until_it_is_undone(
    model, change, where, path, message
):
    before = read(model)
    undo = change(model.unet, where)
    with pytest.raises(CaptureError, match=message), capture(model.unet, {"tap": path}):
        pytest.fail("the block ran")
    undo()
    assert all(same(read(model), before))


def test_a_network_in_the_place_of_another_is_read_as_itself():
    for number in range(20):  # an address in memory is soon used again
        network = nn.Sequential(nn.Identity(), nn.Linear(1, 1, bias=False))
        nn.init.constant_(network[1].weight, number)
        with capture(network, {"tap": "1"}) as found:
            network(torch.ones(1, 1))
        assert found["tap"].item() == number
        del network
