"""Trajectory: latents by level, and parts that do not belong together are refused."""

import pytest
import torch

from featurekit.errors import NoiseLevelError, ShapeError
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
    path = Trajectory(latents(n), schedule, residuals=latents(n - 1))
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
def test_another_number_of_residuals_than_steps_is_refused(schedule, n):
    with pytest.raises(ShapeError, match=f"residuals must be 3, one per step back, got {n}"):
        Trajectory(latents(4), schedule, residuals=latents(n))


def test_latents_of_different_shape_are_refused(schedule):
    mixed = (*latents(3), torch.zeros(1, 4, 2, 3))
    with pytest.raises(ShapeError, match=r"one shape, got \(1, 4, 2, 2\) and \(1, 4, 2, 3\)"):
        Trajectory(mixed, schedule)


def test_residuals_of_another_shape_than_the_latents_are_refused(schedule):
    with pytest.raises(ShapeError, match=r"one shape, got \(1, 4, 2, 2\) and \(2, 4, 2, 2\)"):
        Trajectory(latents(4), schedule, residuals=latents(3, 2, 4, 2, 2))
