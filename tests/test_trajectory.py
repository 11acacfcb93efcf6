"""Trajectory: latents by level, and parts that do not belong together are refused."""

import pytest
import torch

from featurekit.errors import ConfigError, NoiseLevelError, ShapeError, UnknownNameError
from featurekit.noise import NoiseTable, Schedule
from featurekit.trajectory import Trajectory


@pytest.fixture(scope="module")
def schedule():
    return Schedule.ddim(NoiseTable.scaled_linear(), 5)


def latents(n, *shape):
    return tuple(torch.full(shape or (1, 4, 2, 2), float(level)) for level in range(n))


def test_a_level_gives_the_latent_that_was_stored_for_it(schedule):
    path = Trajectory(latents(6), schedule)
    assert [float(path.at(level).mean()) for level in range(6)] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("n", [1, 4, 6])
def test_until_is_the_highest_stored_level(schedule, n):
    path = Trajectory(latents(n), schedule, arrivals=latents(n - 1))
    assert path.until == n - 1
    assert path.at(path.until) is path.latents[-1]


@pytest.mark.parametrize("level", [-1, 4, 5])
def test_a_level_that_is_not_stored_is_refused(schedule, level):
    with pytest.raises(NoiseLevelError, match=rf"level must lie in \[0, 3\] .*, got {level};"):
        Trajectory(latents(4), schedule).at(level)


@pytest.mark.parametrize("n", [0, 7])
def test_another_number_of_latents_than_levels_is_refused(schedule, n):
    with pytest.raises(NoiseLevelError, match=rf"must hold 1 to 6 latents .*, got {n}"):
        Trajectory(latents(n), schedule)


@pytest.mark.parametrize("n", [0, 2, 4])
def test_another_number_of_arrivals_than_steps_is_refused(schedule, n):
    with pytest.raises(ShapeError, match=f"arrivals must be 3, one per step back, got {n}"):
        Trajectory(latents(4), schedule, arrivals=latents(n))


def test_latents_of_different_shape_are_refused(schedule):
    mixed = (*latents(3), torch.zeros(1, 4, 2, 3))
    with pytest.raises(ShapeError, match=r"one shape, got \(1, 4, 2, 2\) and \(1, 4, 2, 3\)"):
        Trajectory(mixed, schedule)


def test_arrivals_of_another_shape_than_the_latents_are_refused(schedule):
    with pytest.raises(ShapeError, match=r"one shape, got \(1, 4, 2, 2\) and \(2, 4, 2, 2\)"):
        Trajectory(latents(4), schedule, arrivals=latents(3, 2, 4, 2, 2))


def test_residuals_are_what_the_arrivals_miss(schedule):
    path = Trajectory(latents(4), schedule, arrivals=tuple(z + 0.5 for z in latents(3)))
    assert [float(residual.mean()) for residual in path.residuals] == [-0.5, -0.5, -0.5]
    assert Trajectory(latents(4), schedule).residuals is None


def test_an_edit_reaches_the_one_state_or_both_of_a_pair(schedule):
    edit = torch.arange(4.0).view(1, 4, 1, 1).expand(1, 4, 2, 2)
    single = Trajectory(latents(3), schedule)
    pair = Trajectory(latents(3, 2, 4, 2, 2), schedule, method="edict")
    assert (single.states, pair.states) == (1, 2)
    assert torch.equal(single.edited(2, edit), single.at(2) + edit)
    assert torch.equal(pair.edited(2, edit), pair.at(2) + torch.cat([edit, edit]))


def test_an_edit_of_another_shape_is_refused(schedule):
    pair = Trajectory(latents(3, 4, 4, 2, 2), schedule, method="edict")
    with pytest.raises(ShapeError, match=r"an edit must be \(2, 4, 2, 2\), .* got \(4, 4, 2, 2\)"):
        pair.edited(1, torch.zeros(4, 4, 2, 2))


def test_half_a_pair_is_refused(schedule):
    with pytest.raises(ShapeError, match="a pair must have an even number of rows, got 3"):
        Trajectory(latents(3, 3, 4, 2, 2), schedule, method="edict")


def test_a_method_and_its_arrivals_belong_together(schedule):
    with pytest.raises(UnknownNameError, match=r"no inversion method named 'edic'; .* edict"):
        Trajectory(latents(3), schedule, method="edic")
    with pytest.raises(ConfigError, match="a trajectory of residual must hold arrivals, got none"):
        Trajectory(latents(3), schedule, method="residual")
    with pytest.raises(ConfigError, match=r"of edict must hold no arrivals, .* got 2"):
        Trajectory(latents(3, 2, 4, 2, 2), schedule, latents(2, 2, 4, 2, 2), method="edict")
