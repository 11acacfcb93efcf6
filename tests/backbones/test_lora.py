"""Low-rank adaptation: starts as the identity, learns, and leaves the network as it was."""

import math

import pytest
import torch
from diffusers import UNet2DConditionModel
from peft import LoraConfig, inject_adapter_in_model
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import mse_loss
from torch.utils.flop_counter import FlopCounterMode

from featurekit.backbones.lora import Lora, LoraRecipe, applied, fit_lora
from featurekit.backbones.unet import sd
from featurekit.core.errors import (
    BackboneError,
    ConfigError,
    NoiseLevelError,
    ShapeError,
    TrainingError,
    UnknownNameError,
)
from featurekit.diffusion.noise_schedule import NoiseTable
from featurekit.diffusion.steps import noised

SMALL = LoraRecipe(rank=4, alpha=4, steps=3, learning_rate=3e-3)
KEY = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed))


@pytest.fixture
def unet():
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        net = UNet2DConditionModel(
            block_out_channels=(32, 32),
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            layers_per_block=1,
            norm_num_groups=8,
            attention_head_dim=4,
            cross_attention_dim=16,
        )
    net.requires_grad_(False).eval()
    net.conv_in.weight.requires_grad_(True)  # one flag that must survive
    return net


def run(net, z, t=10):
    return net(z, t, encoder_hidden_states=normal(1, 3, 16).expand(len(z), -1, -1)).sample


@pytest.fixture
def objective(unet):
    table, x0, eps = NoiseTable.scaled_linear(), normal(4, 4, 8, 8), normal(4, 4, 8, 8, seed=1)
    t = torch.tensor([100, 300, 500, 900])
    z = noised(x0, eps, alpha_bar=table.level(t))
    return lambda generator: mse_loss(run(unet, z, t), eps)


@pytest.fixture
def lora(unet, objective):
    return fit_lora(unet, objective, recipe=SMALL, generator=seeded())


def state_of(net):
    return {
        "modules": [(path, id(part)) for path, part in net.named_modules()],
        "flags": [(path, id(p), p.requires_grad) for path, p in net.named_parameters()],
        "attributes": set(vars(net)),
        "training": [part.training for part in net.modules()],
    }


# laws


def test_an_update_starts_as_the_identity_bit_for_bit(unet, objective):
    lora = fit_lora(unet, objective, recipe=LoraRecipe(steps=0), generator=seeded())
    ups = [weight for name, weight in lora.weights.items() if name.endswith("lora_B.weight")]
    downs = [weight for name, weight in lora.weights.items() if name.endswith("lora_A.weight")]
    z = normal(2, 4, 8, 8)
    expected = run(unet, z)
    with applied(unet, lora):
        assert torch.equal(run(unet, z), expected)
    assert all(not weight.any() for weight in ups)
    assert all(weight.any() for weight in downs)
    assert lora.losses == ()


def test_the_first_numbers_are_pefts_own_distribution(unet, objective):
    lora = fit_lora(unet, objective, recipe=LoraRecipe(rank=64, steps=0), generator=seeded())
    for name, weight in lora.weights.items():
        if name.endswith("lora_A.weight"):
            bound = 1 / math.sqrt(weight.shape[1])
            assert 0.9 * bound < weight.abs().max() <= bound
            assert weight.std() == pytest.approx(bound / math.sqrt(3), rel=0.1)


def test_the_update_is_the_product_scaled_by_alpha_over_rank_and_strength():
    net = nn.Sequential(nn.Linear(5, 7))
    down, up = normal(2, 5), normal(7, 2, seed=1)
    lora = Lora({"0.lora_A.weight": down, "0.lora_B.weight": up}, LoraRecipe(rank=2, alpha=3))
    x = normal(4, 5, seed=2)
    with applied(net, lora, strength=0.5):
        out = net(x)
    torch.testing.assert_close(out, net(x) + 0.5 * 3 / 2 * x @ down.T @ up.T)


def test_no_strength_is_the_network_itself(unet, lora):
    z = normal(1, 4, 8, 8)
    with applied(unet, lora, 0.0):
        out = run(unet, z)
    assert torch.equal(out, run(unet, z))


def test_a_convolution_can_be_adapted():
    net, x = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1)), normal(1, 2, 6, 6)
    recipe = LoraRecipe(rank=2, alpha=2, targets=("0",), steps=40, learning_rate=1e-2)
    lora = fit_lora(net, lambda _: net(x).square().mean(), recipe=recipe, generator=seeded())
    assert lora.weights["0.lora_A.weight"].shape == (2, 2, 3, 3)
    with applied(net, lora):
        assert net(x).square().mean() < 0.8 * lora.losses[0]


def test_only_layers_at_the_end_of_a_path_are_targets(unet, objective):
    lora = fit_lora(unet, objective, recipe=LoraRecipe(steps=0), generator=seeded())
    layers = {name.rsplit(".lora_", 1)[0] for name in lora.weights}
    kinds = ("to_q", "to_k", "to_v", "to_out.0")
    assert layers == {path for path, _ in unet.named_modules() if path.endswith(kinds)}
    assert len(layers) == 32  # 4 transformer blocks, 2 attentions each, 4 layers each


def test_a_top_level_layer_does_not_stand_for_deeper_ones_of_its_name():
    net = nn.ModuleDict({"to_q": nn.Linear(2, 2), "deep": nn.ModuleDict({"to_q": nn.Linear(2, 2)})})
    weights = {"to_q.lora_A.weight": normal(1, 2), "to_q.lora_B.weight": normal(2, 1)}
    deep, top = net["deep"]["to_q"].weight, net["to_q"].weight
    with applied(net, Lora(weights, LoraRecipe(rank=1))):
        assert net["deep"]["to_q"].weight is deep
        assert net["to_q"].weight is not top


# learning


def test_a_fixed_set_is_learned_to_less_than_half_its_loss(unet, objective):
    recipe = LoraRecipe(learning_rate=1e-2)
    lora = fit_lora(unet, objective, recipe=recipe, generator=seeded())
    assert len(lora.losses) == 80
    with applied(unet, lora), torch.no_grad():
        after = objective(None)
    assert after < 0.5 * lora.losses[0]


def test_stable_diffusion_has_the_published_number_of_trained_parameters():
    unet = sd.from_config("sd15", device="meta").unet
    lora = fit_lora(unet, lambda _: None, recipe=LoraRecipe(steps=0), generator=seeded())
    assert (
        sum(weight.numel() for weight in lora.weights.values()) == 3_188_736
    )  # q, k, v, out of 32 attentions


def test_equal_generators_give_equal_updates_whatever_the_global_state(unet):
    z = normal(2, 4, 8, 8)

    def noisy(generator):
        return run(unet, z + torch.randn(z.shape, generator=generator)).square().mean()

    loras = []
    for seed in (1, 2):
        torch.default_generator.manual_seed(seed)
        loras.append(fit_lora(unet, noisy, recipe=SMALL, generator=seeded(7)))
    other = fit_lora(unet, noisy, recipe=SMALL, generator=seeded(8))
    assert loras[0].losses == loras[1].losses
    assert all(torch.equal(w, loras[1].weights[name]) for name, w in loras[0].weights.items())
    assert not torch.equal(
        loras[0].weights[f"{KEY}.lora_A.weight"], other.weights[f"{KEY}.lora_A.weight"]
    )


def test_a_fit_draws_nothing_from_the_global_state(unet, objective):
    before = torch.get_rng_state()
    fit_lora(unet, objective, recipe=SMALL, generator=seeded())
    assert torch.equal(torch.get_rng_state(), before)


def test_progress_is_told_after_every_update(unet, objective):
    told = []
    fit_lora(
        unet, objective, recipe=SMALL, generator=seeded(), progress=lambda *got: told.append(got)
    )
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_fit_inside_no_grad_still_learns(unet, objective):
    with torch.no_grad():
        lora = fit_lora(unet, objective, recipe=SMALL, generator=seeded())
    assert lora.losses[-1] < lora.losses[0]


def test_an_update_of_a_half_precision_network_is_fitted_in_single_precision(unet):
    unet.to(torch.bfloat16)
    z, states = normal(1, 4, 8, 8).bfloat16(), normal(1, 3, 16).bfloat16()
    lora = fit_lora(
        unet,
        lambda _: unet(z, 1, encoder_hidden_states=states).sample.square().mean(),
        recipe=SMALL,
        generator=seeded(),
    )
    assert {weight.dtype for weight in lora.weights.values()} == {torch.float32}
    exact = unet.get_submodule(KEY).weight.float() + (  # alpha is the rank
        lora.weights[f"{KEY}.lora_B.weight"] @ lora.weights[f"{KEY}.lora_A.weight"]
    )
    with applied(unet, lora):
        assert torch.equal(unet.get_submodule(KEY).weight, exact.bfloat16())


def test_an_update_that_few_bits_would_swallow_is_refused_before_any_step(unet, lora):
    unet.get_submodule(KEY).to(torch.float8_e4m3fn)
    message = r"16 bits or more to take an update, those of down_blocks.*to_q are float8_e4m3fn;"
    with pytest.raises(BackboneError, match=message):
        fit_lora(unet, lambda _: pytest.fail("a step"), recipe=SMALL, generator=seeded())
    with pytest.raises(BackboneError, match=message), applied(unet, lora):
        pytest.fail("the block ran")


def test_a_grouped_convolution_is_no_layer_for_an_update():
    net = nn.Sequential(nn.Conv2d(4, 4, 3, groups=2), nn.Conv2d(4, 4, 3))
    weights = {"0.lora_A.weight": normal(1, 4, 3, 3), "0.lora_B.weight": normal(4, 1, 1, 1)}
    with (
        pytest.raises(UnknownNameError, match="linear or convolution layer named '0'"),
        applied(net, Lora(weights, LoraRecipe(rank=1))),
    ):
        pytest.fail("the block ran")


def test_the_update_is_plain_tensors_that_a_file_gives_back(unet, lora, tmp_path):
    save_file(dict(lora.weights), tmp_path / "lora.safetensors")
    again = Lora(load_file(tmp_path / "lora.safetensors"), lora.recipe)
    z = normal(1, 4, 8, 8)
    with applied(unet, lora):
        expected = run(unet, z)
    with applied(unet, again):
        assert torch.equal(run(unet, z), expected)
    assert not torch.equal(run(unet, z), expected)
    assert not any(weight.requires_grad for weight in lora.weights.values())


# reference


def test_peft_itself_reads_the_update(unet, lora):
    z = normal(1, 4, 8, 8)
    with applied(unet, lora):
        expected = run(unet, z)
    config = LoraConfig(r=4, lora_alpha=4, target_modules=list(SMALL.targets))
    inject_adapter_in_model(config, unet)
    named = {n.replace(".weight", ".default.weight"): w for n, w in lora.weights.items()}
    result = unet.load_state_dict(named, strict=False)
    assert not result.unexpected_keys
    torch.testing.assert_close(run(unet, z), expected, rtol=0, atol=1e-6)


# refusals


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"rank": 0}, "rank must be at least 1, got 0"),
        ({"steps": -1}, "steps must be at least 0, got -1"),
        ({"batch": 0}, "batch must be at least 1, got 0"),
        ({"alpha": 0}, "alpha must be positive, got 0"),
        ({"learning_rate": math.nan}, "learning_rate must be positive, got nan"),
        ({"learning_rate": math.inf}, "learning_rate must be positive, got inf"),
        ({"targets": ()}, "targets must name at least one module"),
    ],
)
def test_a_recipe_that_fits_nothing_is_refused(setting, message):
    with pytest.raises(ConfigError, match=message):
        LoraRecipe(**setting)


def test_a_target_that_is_no_layer_is_refused(unet, objective):
    recipe = LoraRecipe(targets=("to_q", "to_qq"))
    with pytest.raises(UnknownNameError, match="no linear or convolution layer named 'to_qq'"):
        fit_lora(unet, objective, recipe=recipe, generator=seeded())


def test_an_objective_without_the_network_is_refused(unet):
    z = normal(1).requires_grad_(False)
    with pytest.raises(
        TrainingError, match=r"must run the network that is fitted.* depends on none"
    ):
        fit_lora(unet, lambda _: z.sum(), recipe=SMALL, generator=seeded())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_leaves_the_numbers_ends_the_fit_with_the_step(unet, objective, bad):
    before, calls = state_of(unet), []

    def breaking(generator):
        calls.append(None)
        return objective(generator) * (bad if len(calls) == 2 else 1)

    with pytest.raises(TrainingError, match=f"must stay finite, got {bad} at step 2 of 3"):
        fit_lora(unet, breaking, recipe=SMALL, generator=seeded())
    assert state_of(unet) == before


def test_an_update_that_leaves_the_numbers_in_its_last_step_is_refused(unet, objective):
    def finite_with_an_infinite_slope(generator):
        return (0 * objective(generator)).sqrt()

    recipe = LoraRecipe(steps=1)
    with pytest.raises(TrainingError, match="the update must stay finite for 1 steps"):
        fit_lora(unet, finite_with_an_infinite_slope, recipe=recipe, generator=seeded())


@pytest.mark.parametrize("strength", [math.nan, math.inf])
def test_a_strength_that_is_no_number_is_refused(unet, lora, strength):
    with (
        pytest.raises(ConfigError, match=f"strength must be finite, got {strength}"),
        applied(unet, lora, strength),
    ):
        pytest.fail("the block ran")


def test_an_update_for_another_network_is_refused(unet, lora):
    before = state_of(unet)
    weights = {name.replace("up_blocks.1", "up_blocks.7"): w for name, w in lora.weights.items()}
    with (
        pytest.raises(
            UnknownNameError, match=r"no linear or convolution layer named 'up_blocks\.7"
        ),
        applied(unet, Lora(weights, lora.recipe)),
    ):
        pytest.fail("the block ran")
    assert state_of(unet) == before


def test_an_update_of_another_size_is_refused_and_leaves_no_trace(unet, lora):
    before = state_of(unet)
    weights = dict(lora.weights) | {f"{KEY}.lora_B.weight": normal(31, 4)}
    with (
        pytest.raises(ShapeError, match=r"the update of .*to_q must be \(32, 4\), got \(31, 4\)"),
        applied(unet, Lora(weights, lora.recipe)),
    ):
        pytest.fail("the block ran")
    assert state_of(unet) == before


@pytest.mark.parametrize("change", [{}, {"x.lora_A.weight": torch.zeros(1)}])
def test_half_an_update_or_none_is_refused(unet, change):
    with (
        pytest.raises(
            ConfigError, match=r"must hold PATH\.lora_A\.weight and PATH\.lora_B\.weight"
        ),
        applied(unet, Lora(change, SMALL)),
    ):
        pytest.fail("the block ran")


def test_a_network_with_an_adapter_of_peft_is_refused_and_keeps_it(unet, lora, objective):
    inject_adapter_in_model(LoraConfig(r=4, target_modules=["to_q"]), unet)
    before = state_of(unet)
    with (
        pytest.raises(BackboneError, match="must carry no adapter yet, found one at down_blocks"),
        applied(unet, lora),
    ):
        pytest.fail("the block ran")
    assert state_of(unet) == before


def test_updates_inside_each_other_add_up(unet, lora):
    z = normal(1, 4, 8, 8)
    with applied(unet, lora, 0.75):
        once = run(unet, z)
        with applied(unet, lora, 0.5), applied(unet, lora, -0.5):
            torch.testing.assert_close(run(unet, z), once, rtol=0, atol=1e-5)
        assert torch.equal(run(unet, z), once)
    with applied(unet, lora, 0.5), applied(unet, lora, 0.25):
        torch.testing.assert_close(run(unet, z), once, rtol=0, atol=1e-5)


def test_a_network_with_an_update_has_the_modules_and_calls_of_one_without(unet, lora):
    calls = []
    before = [(path, id(part)) for path, part in unet.named_modules()]
    with applied(unet, lora):
        assert [(path, id(part)) for path, part in unet.named_modules()] == before
        with FlopCounterMode(display=False) as counted:
            run(unet, normal(1, 4, 8, 8))
        calls.append(counted.get_total_flops())
    with FlopCounterMode(display=False) as counted:
        run(unet, normal(1, 4, 8, 8))
    assert calls == [counted.get_total_flops()]


# no trace left


def test_a_fit_leaves_the_network_as_it_was(unet, objective):
    before, z = state_of(unet), normal(1, 4, 8, 8)
    expected = run(unet, z)
    fit_lora(unet, objective, recipe=SMALL, generator=seeded())
    assert state_of(unet) == before
    assert torch.equal(run(unet, z), expected)
    assert not hasattr(unet, "peft_config")
    assert all(weight.grad is None for weight in unet.parameters())


def test_an_applied_update_leaves_the_network_as_it_was(unet, lora):
    before, z = state_of(unet), normal(1, 4, 8, 8)
    expected = run(unet, z)
    with applied(unet, lora):
        assert not torch.equal(run(unet, z), expected)
        assert not any(weight.requires_grad for weight in unet.parameters())
    assert state_of(unet) == before
    assert torch.equal(run(unet, z), expected)


def test_an_interrupted_fit_leaves_the_network_as_it_was(unet, objective):
    before = state_of(unet)

    def interrupting(done, total):
        raise KeyboardInterrupt("ours")

    with pytest.raises(KeyboardInterrupt, match="ours"):
        fit_lora(unet, objective, recipe=SMALL, generator=seeded(), progress=interrupting)
    assert state_of(unet) == before


def test_an_exception_under_an_applied_update_leaves_the_network_as_it_was(unet, lora):
    before = state_of(unet)
    with pytest.raises(NoiseLevelError, match="ours"), applied(unet, lora):
        raise NoiseLevelError("ours")
    assert state_of(unet) == before
