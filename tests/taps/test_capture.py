"""capture: reads what a network computes, changes nothing, leaves early, leaves no hook."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from featurekit.backbones import random
from featurekit.backbones.unet import sd
from featurekit.core.errors import CaptureError, ConfigError, UnknownNameError
from featurekit.taps.capture import capture


class Pair(nn.Module):
    """Returns as many copies of its input as it is told, in a tuple."""

    def __init__(self, size):
        super().__init__()
        self.size = size

    def forward(self, x):
        return (x,) * self.size


class Greedy(nn.Module):
    """Calls its part and catches whatever an ordinary program may raise."""

    def __init__(self):
        super().__init__()
        self.part = nn.Linear(3, 3)

    def forward(self, x):
        try:
            return self.part(x)
        except Exception:
            return x


@pytest.fixture
def chain():
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).requires_grad_(False)


@pytest.fixture(scope="module")
def backbone():
    return random.load("cpu")


def hooks(module):
    return sum(len(part._forward_hooks) for part in module.modules())


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# laws


def test_outputs_are_the_modules_own_and_the_result_is_bit_identical(chain):
    x = normal(5, 3)
    with capture(chain, {"a": "0", "b": "1"}) as found:
        y = chain(x)
    assert torch.equal(y, chain(x))
    assert torch.equal(found["a"], chain[0](x))
    assert torch.equal(found["b"], chain[1](chain[0](x)))
    assert list(found) == ["a", "b"]
    assert len(found) == 2
    assert "a" in found
    assert "c" not in found


def test_a_loss_on_an_output_reaches_the_input(chain):
    x = normal(5, 3).requires_grad_()
    with capture(chain, {"a": "0"}) as found:
        chain(x)
    (gradient,) = torch.autograd.grad(found["a"].sum(), x)
    torch.testing.assert_close(gradient, chain[0].weight.sum(0).expand(5, 3))


def test_all_lists_every_call_in_order(chain):
    with capture(chain, {"a": "0"}) as found:
        assert found.all("a") == ()
        chain(normal(1, 3, seed=1))
        chain(normal(1, 3, seed=2))
    first, second = found.all("a")
    assert torch.equal(first, chain[0](normal(1, 3, seed=1)))
    assert torch.equal(second, chain[0](normal(1, 3, seed=2)))


def test_a_tuple_of_one_tensor_is_that_tensor():
    net, x = nn.Sequential(Pair(1)), normal(2, 3)
    with capture(net, {"a": "0"}) as found:
        net(x)
    assert found["a"] is x


def test_two_names_may_read_one_module(chain):
    with capture(chain, {"a": "0", "b": "0"}, stop_after=True) as found:
        chain(normal(1, 3))
    assert found["a"] is found["b"]


# leaving early


def test_early_exit_leaves_the_block_once_every_tap_has_fired(chain):
    reached = []
    chain[2].register_forward_hook(lambda *_: reached.append("last layer"))
    with capture(chain, {"b": "1", "a": "0"}, stop_after=True) as found:
        chain(normal(1, 3))
        reached.append("after the call")
    assert reached == []
    assert torch.equal(found["b"], chain[1](chain[0](normal(1, 3))))


def test_foreign_code_cannot_swallow_the_early_exit():
    net = Greedy()
    with capture(net, {"a": "part"}, stop_after=True):
        net(normal(1, 3))
        pytest.fail("the forward went on")


def test_an_inner_capture_leaves_no_further_than_its_own_block(chain):
    with capture(chain, {"b": "1"}) as outer:
        with capture(chain, {"a": "0"}, stop_after=True):
            chain(normal(1, 3))
        chain(normal(1, 3))
    assert len(outer.all("b")) == 1


def test_an_outer_capture_is_left_through_an_inner_one(chain):
    reached = []
    with capture(chain, {"a": "0"}, stop_after=True):
        with capture(chain, {"b": "1"}, stop_after=True) as inner:
            chain(normal(1, 3))
        reached.append("the outer block went on")
    assert reached == []
    assert inner.all("b") == ()


def test_early_features_and_their_gradient_are_those_of_the_full_forward(backbone):
    states, z = backbone.embed("a face").states, normal(1, backbone.latent_channels, 16, 16)
    features, gradients = [], []
    for stop_after in (False, True):
        given = z.clone().requires_grad_()
        with capture(backbone.unet, {"up2": "up_blocks.2"}, stop_after=stop_after) as found:
            backbone.unet(given, 681, encoder_hidden_states=states)
        gradients += torch.autograd.grad(found["up2"].abs().sum(), given)
        features.append(found["up2"])
    assert torch.equal(*features)
    worst = (gradients[0] - gradients[1]).abs().max() / gradients[0].abs().max()
    assert worst < 1e-6


def test_operations_of_stable_diffusion_are_the_counted_ones_and_no_weight_gets_a_gradient():
    # by hand: 0.8033 TFLOP at 64 x 64 latents, and at most 1.60 of them for a drag iteration
    model = sd.from_config("sd15", device="meta")
    z = torch.zeros(1, 4, 64, 64, device="meta", requires_grad=True)
    states = torch.zeros(1, 77, 768, device="meta")
    with FlopCounterMode(display=False) as full:
        model.unet(z, 681, encoder_hidden_states=states)
    with FlopCounterMode(display=False) as early:
        with capture(model.unet, {"up2": "up_blocks.2"}, stop_after=True) as found:
            model.unet(z, 681, encoder_hidden_states=states)
        found["up2"].sum().backward()
    assert full.get_total_flops() == pytest.approx(0.8033e12, rel=1e-3)
    assert early.get_total_flops() <= 1.60 * full.get_total_flops()
    assert z.grad is not None
    assert all(weight.grad is None for weight in model.unet.parameters())


# refusals


def test_an_unknown_path_is_refused_with_the_nearest_ones(backbone):
    with (
        pytest.raises(UnknownNameError, match=r"no submodule named 'up_block\.1'.*up_blocks\.1"),
        capture(backbone.unet, {"a": "up_block.1"}),
    ):
        pytest.fail("the block ran")


def test_the_network_itself_is_no_submodule(chain):
    with (
        pytest.raises(UnknownNameError, match="no submodule named ''"),
        capture(chain, {"a": ""}),
    ):
        pytest.fail("the block ran")


def test_a_tuple_of_several_is_refused_by_the_path_of_its_module(backbone):
    z, states = normal(1, backbone.latent_channels, 8, 8), backbone.embed("").states
    with (
        pytest.raises(CaptureError, match=r"'down_blocks\.0' must return a tensor.* a tuple of 2"),
        capture(backbone.unet, {"a": "down_blocks.0"}),
    ):
        backbone.unet(z, 1, encoder_hidden_states=states)


def test_an_empty_tuple_is_refused():
    net = nn.Sequential(Pair(0))
    with (
        pytest.raises(CaptureError, match=r"'0' must return a tensor.* a tuple of 0"),
        capture(net, {"a": "0"}),
    ):
        net(normal(1, 3))


def test_a_tap_that_fired_twice_or_never_cannot_be_read_by_name(chain):
    with capture(chain, {"a": "0"}) as found:
        with pytest.raises(CaptureError, match=r"tap 'a' .* fired 0 times; use \.all\('a'\)"):
            found["a"]
        chain(normal(1, 3))
        chain(normal(1, 3))
    with pytest.raises(CaptureError, match=r"tap 'a' .* fired 2 times"):
        found["a"]


class Fork(nn.Module):
    """Runs one of its two parts."""

    def __init__(self):
        super().__init__()
        self.run, self.rest = nn.Identity(), nn.Identity()

    def forward(self, x):
        return self.run(x)


def test_a_tap_that_never_fires_though_the_network_ran_is_no_silence():
    net = Fork()
    for stop_after in (False, True):
        with (
            pytest.raises(CaptureError, match="'b' never did; run it to that module"),
            capture(net, {"a": "run", "b": "rest"}, stop_after),
        ):
            net(normal(1, 3))
    with capture(net, {"b": "rest"}) as found:  # the network itself was not run
        net.run(normal(1, 3))
    assert found.all("b") == ()
    assert not net._forward_pre_hooks


class Broken(Fork):
    """Runs one of its two parts and stops there."""

    def forward(self, x):
        super().forward(x)
        raise ZeroDivisionError("ours")


def test_another_exception_is_not_covered_by_a_tap_that_never_fired():
    net = Broken()
    with pytest.raises(ZeroDivisionError, match="ours"), capture(net, {"b": "rest"}):
        net(normal(1, 3))
    assert not net._forward_pre_hooks


@pytest.mark.parametrize("taps", [["a"], "a", None])
def test_what_is_no_mapping_is_refused_with_the_way_to_one(chain, taps):
    with (
        pytest.raises(
            ConfigError, match=r"taps must be addresses by name, .*backbone\.addresses\("
        ),
        capture(chain, taps),
    ):
        pytest.fail("the block ran")


def test_a_backbone_is_no_network(backbone):
    with (
        pytest.raises(
            CaptureError, match=r"torch module, got Stable.*capture\(backbone\.denoiser, back"
        ),
        capture(backbone, {"a": "mid_block"}),
    ):
        pytest.fail("the block ran")


@pytest.mark.parametrize("word", ["up1", "cross_q", "up_blocks.*.resnets.*.conv2"])
def test_a_name_where_an_address_must_stand_is_refused_with_the_way_to_one(backbone, word):
    with (
        pytest.raises(UnknownNameError, match=r"no submodule .*addresses by backbone\.addresses\("),
        capture(backbone.unet, {"a": word}),
    ):
        pytest.fail("the block ran")


def test_a_name_that_was_not_asked_for_is_refused(chain):
    with (
        capture(chain, {"first": "0"}) as found,
        pytest.raises(UnknownNameError, match="no tap named 'frist'; did you mean first"),
    ):
        found["frist"]


def test_what_was_captured_is_shown_as_one_line_without_the_numbers(chain):
    with capture(chain, {"a": "0", "b": "1"}) as found:
        assert repr(found) == "Captured(a not yet, b not yet)"
        chain(normal(1, 3))
        chain(normal(2, 3))
    assert repr(found) == "Captured(a (1, 4) (2, 4), b (1, 4) (2, 4))"


def test_nothing_to_stop_after_is_refused(chain):
    with (
        pytest.raises(CaptureError, match="must have a tap to stop after"),
        capture(chain, {}, stop_after=True),
    ):
        pytest.fail("the block ran")


# no trace left


@pytest.mark.parametrize("stop_after", [False, True])
def test_no_hook_is_left_after_success(chain, stop_after):
    with capture(chain, {"a": "0", "b": "1"}, stop_after=stop_after):
        assert hooks(chain) == 2
        chain(normal(1, 3))
    assert hooks(chain) == 0


def test_no_hook_is_left_after_an_exception_which_is_passed_on(chain):
    with pytest.raises(ZeroDivisionError, match="ours"), capture(chain, {"a": "0"}):
        raise ZeroDivisionError("ours")
    assert hooks(chain) == 0


def test_no_hook_is_left_when_the_last_path_is_unknown(chain):
    with (
        pytest.raises(UnknownNameError, match="no submodule named 'zz'"),
        capture(chain, {"a": "0", "b": "zz"}),
    ):
        pytest.fail("the block ran")
    assert hooks(chain) == 0
