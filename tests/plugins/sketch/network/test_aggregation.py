"""Mixing layers and timesteps: the mean itself, what it holds at once, and pairs that are one."""

from types import SimpleNamespace

import pytest
import torch
from invented import Held, configs, feature_taps, features, one_half
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from featurekit_sketch.network import aggregation as levels
from featurekit_sketch.network.aggregation import Levels
from featurekit_sketch.network.feature_taps import FeatureTaps

TENTH = {"block_out_channels": [32, 64, 128, 128], "norm_num_groups": 8}
GROUPS = {"whole": 2**30, "as at full size": levels.GROUP // 40, "one by one": 1}


@pytest.fixture(scope="module")
def tenth():
    """SD's blocks with a tenth of its channels, and maps of a picture of half its side."""
    found = configs("sd15")
    maps = FeatureTaps.of(found["unet"] | TENTH, found["vae"])
    return SimpleNamespace(maps=maps, given=features(maps, 256, 256).unet)


def made(maps, *, timesteps=13, checkpointed=False, seed=3):
    """Levels whose weights are not the first ones: every layer and timestep counts differently."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        found = Levels(maps, timesteps=timesteps, checkpointed=checkpointed)
        for parameter in found.parameters():
            if parameter.ndim < 3:
                parameter.data += 0.3 * torch.randn(parameter.shape)
    return found


def resized(x, size):
    size = tuple(size)
    folded = functional.interpolate(
        x.flatten(0, 2), size=size, mode="bilinear", align_corners=False
    )
    return folded.unflatten(0, x.shape[:3])


def joined(level, given, size):
    """Everything resized and joined, every block's answers joined, then one weighted sum."""
    together = torch.cat([resized(one, size).flatten(1, 3) for one in given], dim=1)
    parts = together.split([one.shape[1:4].numel() for one in given], dim=1)
    answers = []
    for block, part, one in zip(level.blocks, parts, given, strict=True):
        rows = part.unflatten(1, one.shape[1:4])
        answers.append(block(rows.flatten(0, 2), size).unflatten(0, rows.shape[:3]))
    every = torch.cat(answers, dim=1)
    weights = torch.softmax(level.logits.flatten(), 0)
    return (every * weights.view(1, -1, 1, 1, 1, 1)).sum(dim=1)


def naive(found, maps, given):
    """Both levels with all of a level's maps at once."""
    size = given[maps.low[-1].name].shape[-2:]
    low = joined(found.low, [given[tap.name] for tap in maps.low], tuple(size))
    size = given[maps.top[0].name].shape[-2:]
    shares = resized(low[:, None], size).chunk(len(maps.top), dim=3)
    top = [
        torch.cat([given[tap.name], share], dim=1)
        for tap, share in zip(maps.top, shares, strict=True)
    ]
    return joined(found.top, top, tuple(size)).flatten(1, 2)


def gradients(found, given):
    found.zero_grad()
    answer = found(given)
    answer.square().sum().backward()
    return answer, [one.grad.clone() for one in found.parameters()]


def test_the_mean_is_that_of_everything_joined_in_all_groupings(monkeypatch):
    maps = feature_taps("narrow")
    given, found = features(maps, 128, 64, rows=2).unet, made(maps)
    with torch.no_grad():
        expected = naive(found, maps, given)
        for group in GROUPS.values():
            monkeypatch.setattr(levels, "GROUP", group)
            assert (found(given) - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert expected.shape == (2, 2 * maps.top_width, 16, 8)


@pytest.mark.parametrize("group", GROUPS)
def test_it_holds_at_most_35_percent_of_what_joining_holds(tenth, group, monkeypatch):
    found = made(tenth.maps)
    with torch.no_grad(), Held() as all_at_once:
        expected = naive(found, tenth.maps, tenth.given)
    monkeypatch.setattr(levels, "GROUP", GROUPS[group])
    with torch.no_grad(), Held() as streaming:
        answer = found(tenth.given)
    assert (answer - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert all_at_once.now == streaming.now == answer.nbytes
    assert 0 < streaming.peak <= 0.35 * all_at_once.peak


def test_what_counts_held_memory_counts_it():
    with Held() as held:
        one = torch.zeros(1000)
        two = one[:10].view(2, 5) + 1
        one += 1
        assert (held.now, held.peak) == (4040, 4040)
        del one
        assert (held.now, held.peak) == (40, 4040)
    assert two.shape == (2, 5)


def test_groups_of_the_full_size_are_of_few_timesteps_and_small_ones_whole():
    found = Levels(feature_taps("narrow"), timesteps=13, checkpointed=False).low
    full = torch.empty(1, 13, 2, 320, 32, 32, device="meta")
    found.width = 960
    assert [one.shape[1] for one in found._groups([full], (32, 32))] == [2] * 6 + [1]
    found.width = 128
    assert [one.shape[1] for one in found._groups([full], (8, 8))] == [13]


@pytest.mark.parametrize("group", GROUPS)
def test_computing_again_changes_neither_result_nor_gradient_and_keeps_less(group, monkeypatch):
    monkeypatch.setattr(levels, "GROUP", GROUPS[group])
    maps = feature_taps("narrow")
    given = features(maps, 64, 64, timesteps=4).unet
    kept, again = (made(maps, timesteps=4, checkpointed=again) for again in (False, True))
    for one, other in zip(
        _flat(gradients(kept, given)), _flat(gradients(again, given)), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    with Held() as much:
        answer = kept(given)
        many = much.now
    with Held() as little:
        answer = again(given)
        few = little.now
    assert answer.requires_grad
    assert few < 0.2 * many


def test_without_gradients_nothing_is_prepared_to_be_computed_again(monkeypatch):
    def refused(*_, **__):
        raise AssertionError

    monkeypatch.setattr(levels, "checkpoint", refused)
    maps = feature_taps("narrow")
    with torch.no_grad():
        made(maps, checkpointed=True)(features(maps, 64, 64).unet)


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("name", ["narrow", "embedded"])
def test_a_pair_that_is_one_map_gives_the_same_for_half_the_work(name, rows):
    maps = feature_taps(name)
    once = one_half(features(maps, 64, 64, rows=rows)).unet
    twice = {tap: one.contiguous() for tap, one in once.items()}
    found, answers, works = made(maps), [], []
    for given in (once, twice):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            answers.append(found(given))
        works.append(counter.get_total_flops())
    # torch chooses kernels by the number of rows, and these may round differently
    torch.testing.assert_close(*answers, rtol=1e-5, atol=1e-6)
    assert works[0] > 0
    assert works[0] / works[1] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("name", ["narrow", "embedded"])
def test_where_kernels_do_not_depend_on_rows_it_is_the_same_to_the_last_bit(name, rows):
    maps = feature_taps(name)
    once = one_half(features(maps, 64, 64, rows=rows, dtype=torch.float64)).unet
    twice = {tap: one.contiguous() for tap, one in once.items()}
    found = made(maps).double()
    with torch.no_grad():
        assert torch.equal(found(once), found(twice))


def test_one_pair_of_two_maps_is_enough_to_compute_both_halves():
    maps = feature_taps("narrow")
    given = one_half(features(maps, 64, 64, timesteps=3, dtype=torch.float64)).unet
    found = made(maps, timesteps=3).double()
    with torch.no_grad():
        same, other = found(given).chunk(2, dim=1)
        assert torch.equal(same, other)
        for tap in maps.unet:
            pair = given[tap.name].clone()
            pair[:, :, 1] *= -1
            first, second = found({**given, tap.name: pair}).chunk(2, dim=1)
            torch.testing.assert_close(first, same, rtol=1e-12, atol=1e-12)
            assert (second - same).abs().max() > 1e-6, tap.name


def test_weights_begin_equal_and_sum_to_1_at_any_time():
    first = Levels(feature_taps("narrow"), timesteps=13, checkpointed=False)
    assert first.low.logits.shape == (9, 13)
    assert first.top.logits.shape == (3, 14)
    torch.testing.assert_close(first.low.weights(), torch.full((9, 13), 1 / 117))
    torch.testing.assert_close(first.top.weights(), torch.full((3, 14), 1 / 42))
    drawn = made(feature_taps("narrow"))
    for level in (drawn.low, drawn.top):
        assert level.weights().std() > 1e-4
        assert float(level.weights().sum().detach()) == pytest.approx(1, abs=1e-6)


def test_the_report_names_each_tap_and_timestep():
    maps = feature_taps("narrow")
    found = made(maps)
    report = found.mixing()
    assert list(report) == ["low", "top"]
    assert list(report["low"]) == [tap.name for tap in maps.low]
    assert list(report["top"]) == [tap.name for tap in maps.top]
    assert {len(row) for row in report["low"].values()} == {13}
    assert {len(row) for row in report["top"].values()} == {14}
    for level in report.values():
        assert sum(sum(row) for row in level.values()) == pytest.approx(1, abs=1e-6)
    assert report["low"]["u1.2"][4] == pytest.approx(float(found.low.weights()[5, 4].detach()))


def _flat(answer):
    return [answer[0], *answer[1]]
