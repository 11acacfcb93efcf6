"""EDICT's steps: up undoes down whatever the network answers, and the mixing fits the run."""

import pytest
import torch

from featurekit.diffusion.methods.edict import MIX, edict_down, edict_latents, edict_up, mixing
from featurekit.diffusion.noise_schedule import NoiseTable, Schedule

SCHEDULE = Schedule.ddim(NoiseTable.scaled_linear(), steps=50)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rough(z, t):
    return torch.sin(30 * z + t)  # no contraction, no smoothness worth the name


@pytest.mark.parametrize("level", [1, 25, 50])
def test_up_undoes_down_and_down_undoes_up(level):
    pair = normal(4, 4, 3, 3)
    for first, second in ((edict_down, edict_up), (edict_up, edict_down)):
        back = second(rough, first(rough, pair, SCHEDULE, level), SCHEDULE, level)
        torch.testing.assert_close(back, pair, atol=1e-12, rtol=0)


def test_equal_states_under_a_network_that_sees_no_noise_stay_equal():
    pair = normal(1, 4, 3, 3).repeat(2, 1, 1, 1)
    x, y = edict_down(lambda z, t: 0 * z, pair, SCHEDULE, 30)
    torch.testing.assert_close(x, y)


def test_the_second_state_is_moved_by_the_moved_first_one():
    seen = []

    def spy(z, t):
        seen.append((z.clone(), t))
        return rough(z, t)

    pair = normal(2, 4, 3, 3)
    edict_down(spy, pair, SCHEDULE, 30)
    (first, t), (second, same) = seen
    assert t == same == SCHEDULE.timestep(30)
    assert torch.equal(first, pair[1:])
    assert not torch.equal(second, pair[:1])


def test_every_network_call_has_the_rows_of_one_state():
    rows = []
    edict_latents(lambda z, t: rows.append(len(z)) or 0 * z, normal(3, 4, 2, 2), SCHEDULE, 4)
    assert rows == [3] * 8


def test_a_run_mixes_no_more_in_all_than_the_papers():
    assert mixing(50) == mixing(10) == MIX == 0.93
    assert mixing(100) ** 100 == pytest.approx(MIX**50)
    assert mixing(1000) ** 1000 == pytest.approx(MIX**50)


@pytest.mark.parametrize("steps", [50, 500])
def test_the_states_of_a_long_run_stay_near_each_other(steps):
    schedule = Schedule.ddim(NoiseTable.scaled_linear(), steps)
    z0 = normal(1, 4, 3, 3)
    top = edict_latents(lambda z, t: torch.tanh(z), z0, schedule, steps)[-1]
    assert (top[0] - top[1]).abs().max() < 2
