"""Recipes: what each step keeps, how exact the numbers are, what they refuse."""

import weakref

import pytest
import torch

from featurekit.core.errors import ConfigError, ShapeError, UnknownNameError
from featurekit.store.recipe import NUMBERS, parse_recipe
from featurekit.store.reduction import SCALE, Reduction, dtype_of, fit, restored

NAME = "up1/261"


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def reduced(words, feature, samples=()):
    seen = [{NAME: one} for one in samples or [feature]]
    return fit(parse_recipe(words), seen).apply(NAME, feature)


def test_no_recipe_stores_what_it_is_given():
    feature = normal(3, 4, 5)
    assert torch.equal(reduced([], feature)[NAME], feature)
    assert reduced([], feature.bfloat16())[NAME].dtype == torch.bfloat16


def test_pooling_is_the_mean_of_squares_and_of_what_is_left_at_the_border():
    feature = torch.arange(15.0).reshape(1, 3, 5)
    expected = torch.tensor([[[3.0, 5.0, 6.5], [10.5, 12.5, 14.0]]])
    torch.testing.assert_close(reduced(["pool:2"], feature)[NAME], expected)


def test_pca_keeps_a_plane_that_the_samples_lie_in():
    basis = torch.linalg.qr(normal(6, 2, seed=1)).Q
    samples = [(basis @ normal(2, 20, seed=n)).reshape(6, 4, 5) + 3 for n in range(3)]
    reduction = fit(parse_recipe(["pca:2"]), [{NAME: one} for one in samples])
    kept = reduction.fitted
    for sample in samples:
        flat = reduction.apply(NAME, sample)[NAME].flatten(1)
        back = kept[f"{NAME}:0:axes"] @ flat + kept[f"{NAME}:0:mean"][:, None]
        torch.testing.assert_close(back, sample.flatten(1), atol=1e-5, rtol=0)


def test_the_first_direction_of_pca_is_the_strongest():
    feature = normal(3, 8, 8) * torch.tensor([1.0, 5.0, 2.0])[:, None, None]
    spread = reduced(["pca:3"], feature)[NAME].flatten(1).std(1)
    assert spread.tolist() == sorted(spread.tolist(), reverse=True)
    assert spread[0] > 4


@pytest.mark.parametrize("words", [["pca:4"], ["pool:2", "pca:4"], ["random:5:1", "pca:3"]])
def test_pca_of_samples_one_by_one_is_that_of_all_at_once(words):
    samples = [normal(6, 4, 5 + n, seed=n) + 100 * n for n in range(3)]  # of several sizes
    recipe = parse_recipe(words)
    reduction = fit(recipe, [{NAME: one} for one in samples])
    last = len(words) - 1
    cells = torch.cat([reduction.before(last, NAME, one).double().flatten(1) for one in samples], 1)
    mean = cells.mean(1, keepdim=True)
    torch.testing.assert_close(reduction.fitted[f"{NAME}:{last}:mean"], mean[:, 0].float())
    axes = reduction.fitted[f"{NAME}:{last}:axes"].double()
    _, _, right = torch.linalg.svd((cells - mean).T, full_matrices=False)
    kept = right[: axes.shape[1]].T
    torch.testing.assert_close(axes @ axes.T, kept @ kept.T, atol=1e-6, rtol=0)


def test_two_steps_that_see_samples_see_each_what_is_left():
    samples = [{NAME: normal(6, 4, 5, seed=n)} for n in range(3)]
    recipe = parse_recipe(["pca:4", "pool:2", "pca:2"])
    assert (recipe.passes, recipe.sees) == (2, True)
    reduction = fit(recipe, samples)
    left = [{NAME: reduction.before(2, NAME, sample[NAME])} for sample in samples]
    again = fit(parse_recipe(["pca:2"]), left)
    torch.testing.assert_close(
        reduction.fitted[f"{NAME}:2:axes"], again.fitted[f"{NAME}:0:axes"], atol=1e-6, rtol=0
    )


def test_fitting_holds_one_sample_at_a_time():
    alive = weakref.WeakSet()

    class Samples:
        def __iter__(self):
            for n in range(9):
                feature = normal(16, 8, 8, seed=n)
                alive.add(feature)
                most.append(len(alive))
                yield {NAME: feature}
                del feature

    most = []
    fit(parse_recipe(["pca:4", "fp16"]), Samples())
    assert max(most) <= 2  # the one before is let go when the next is there


def test_random_directions_keep_distances_and_are_one_set_for_a_tap():
    recipe = parse_recipe(["random:256:7"])
    sample = {name: normal(1280, 4, 4) for name in ("up1/261", "up1/1", "up2/261")}
    reduction = fit(recipe, [sample])
    one, other = normal(1280, 4, 4, seed=1), normal(1280, 4, 4, seed=2)
    near = (reduction.apply(NAME, one)[NAME] - reduction.apply(NAME, other)[NAME]).norm()
    assert near / (one - other).norm() == pytest.approx(1, abs=0.05)
    axes = {name: reduction.fitted[f"{name}:0:axes"] for name in sample}
    assert torch.equal(axes["up1/261"], axes["up1/1"])
    assert not torch.equal(axes["up1/261"], axes["up2/261"])


def test_int8_is_off_by_half_a_step_of_its_channel_at_most():
    feature = normal(5, 6, 7) * torch.tensor([1e-3, 1.0, 50.0, 1e4, 0.0])[:, None, None]
    stored = reduced(["int8"], feature)
    assert stored[NAME].dtype == torch.int8
    back = restored(stored)[NAME]
    assert back.dtype == torch.float32
    steps = feature.abs().amax((1, 2)) / 127
    assert ((back - feature).abs().amax((1, 2)) <= 0.5001 * steps).all()
    assert stored[NAME].abs().amax((1, 2)).tolist() == [127, 127, 127, 127, 0]


def test_int8_holds_numbers_below_the_normal_ones():
    feature = torch.tensor([1e-42, -1e-42, 0.0])[None]
    assert (restored(reduced(["int8"], feature))[NAME].sign() == feature.sign()).all()


def test_steps_follow_each_other_and_the_outline_tells_what_comes_out():
    for words in (["pool:2", "pca:3", "int8"], ["random:4", "pool:3"], ["pca:5", "bf16"], ["fp16"]):
        feature = normal(8, 5, 7)
        recipe = parse_recipe(words)
        stored = fit(recipe, [{NAME: feature}, {NAME: normal(8, 5, 7, seed=2)}]).apply(
            NAME, feature
        )
        told = Reduction(recipe, {}).outline(NAME, (8, 5, 7), torch.float32)
        assert {k: (tuple(v.shape), v.dtype) for k, v in stored.items()} == told
        numbers = dtype_of(words[-1]) if words[-1] in NUMBERS else torch.float32
        assert stored[NAME].dtype == numbers
        assert (NAME + SCALE in stored) == (words[-1] == "int8")


def test_a_step_says_what_it_will_keep():
    recipe = parse_recipe(["pool:2", "pca:3", "random:2"])
    reduction = fit(recipe, [{NAME: normal(8, 6, 6)}])
    shape, told = (8, 6, 6), {}
    for index, step in enumerate(recipe.steps):
        told |= {f"{NAME}:{index}:{part}": size for part, size in step.keeps(shape).items()}
        shape = step.shape(shape)
    assert {name: tuple(kept.shape) for name, kept in reduction.fitted.items()} == told
    assert recipe.fits
    assert not parse_recipe(["pool:2", "fp16"]).fits


def test_a_pass_through_a_vector_of_channels_works():
    feature = normal(6)
    back = restored(reduced(["int8"], feature))[NAME]
    torch.testing.assert_close(back, feature, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "words", [["pool"], ["pool:0"], ["pool:2:3"], ["pca:x"], ["pca:-1"], ["random:1:2:3"]]
)
def test_a_malformed_step_is_refused(words):
    with pytest.raises(ConfigError, match=r"a step of a recipe must be one of pool:CELLS.*got"):
        parse_recipe(words)


def test_an_unknown_step_is_refused_by_name():
    with pytest.raises(UnknownNameError, match=r"no step of a recipe named 'fp61'; did you mean"):
        parse_recipe(["fp61"])


def test_a_dtype_that_is_not_last_is_refused():
    with pytest.raises(ConfigError, match="must end with its dtype, got 'fp16' before its end"):
        parse_recipe(["fp16", "pool:2"])


def test_numbers_that_fp16_cannot_hold_are_refused():
    with pytest.raises(ConfigError, match=r"fp16 must hold every feature.*7e\+04; end the recipe"):
        reduced(["fp16"], torch.full((1, 2, 2), 7e4))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_features_that_are_not_finite_are_refused(bad):
    with pytest.raises(ConfigError, match="features must be finite, got NaN or infinity in 'up1"):
        reduced([], torch.full((1, 2, 2), bad))


def test_more_channels_than_there_are_are_refused():
    with pytest.raises(ShapeError, match=r"pca:9 needs a feature .* at least 9 channels"):
        reduced(["pca:9"], normal(8, 2, 2))


def test_another_number_of_channels_in_a_later_sample_is_refused():
    with pytest.raises(ShapeError, match="one number of channels in all samples, got 4 and 5"):
        fit(parse_recipe(["pca:2"]), [{NAME: normal(4, 3, 3)}, {NAME: normal(5, 3, 3)}])


def test_pooling_tokens_is_refused():
    with pytest.raises(ShapeError, match=r"pooling needs a feature \(c h w\), got \(77, 768\)"):
        reduced(["pool:2"], normal(77, 768))


def test_a_tensor_that_the_recipe_has_not_seen_is_refused():
    reduction = fit(parse_recipe(["pca:2"]), [{NAME: normal(4, 3, 3)}])
    with pytest.raises(ConfigError, match="fitted to every tensor, but not to 'up2/261'"):
        reduction.apply("up2/261", normal(4, 3, 3))
