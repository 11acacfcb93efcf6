"""Trajectory: latents by level, and parts that do not belong together are refused."""

import pytest
import torch

from featurekit.core.errors import ConfigError, NoiseLevelError, ShapeError, UnknownNameError
from featurekit.diffusion.noise_schedule import NoiseTable, Schedule
from featurekit.diffusion.trajectory import Trajectory


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


def test_a_timestep_gives_the_latent_of_its_level(schedule):
    path = Trajectory(latents(6), schedule)
    assert schedule.timesteps == (801, 601, 401, 201, 1)
    assert [float(path.at_timestep(t).mean()) for t in (1, 201, 401, 601, 801)] == [1, 2, 3, 4, 5]


def test_a_timestep_gives_both_states_of_a_pair(schedule):
    pair = Trajectory(latents(3, 2, 4, 2, 2), schedule, method="edict")
    assert pair.at_timestep(201) is pair.at(2)


@pytest.mark.parametrize(
    ("t", "nearest"),
    [
        (400, r"401 \(level 3\), 201 \(level 2\), 1 \(level 1\)"),
        (0, r"1 \(level 1\), 201 \(level 2\), 401 \(level 3\)"),
        (3, r"1 \(level 1\), 201 \(level 2\), 401 \(level 3\)"),
        (601, r"401 \(level 3\), 201 \(level 2\), 1 \(level 1\)"),
    ],
)
def test_a_timestep_that_is_not_stored_is_refused_with_the_nearest(schedule, t, nearest):
    with pytest.raises(NoiseLevelError, match=f"stored, got {t}; nearest: {nearest}$"):
        Trajectory(latents(4), schedule).at_timestep(t)


def test_where_only_the_clean_level_is_stored_no_timestep_is(schedule):
    with pytest.raises(NoiseLevelError, match="got 1; nearest: none, only the clean level 0"):
        Trajectory(latents(1), schedule).at_timestep(1)


def test_a_timestep_taken_for_a_level_is_told_who_takes_timesteps(schedule):
    with pytest.raises(NoiseLevelError, match=r"got 401; .* name a train timestep to at_timestep"):
        Trajectory(latents(6), schedule).at(401)


def test_it_prints_one_line_that_says_what_an_edit_must_reach(schedule):
    single = Trajectory(latents(4), schedule, arrivals=latents(3), fingerprint="x" * 500)
    assert repr(single) == (
        "Trajectory(ddim, levels 0..3 t=401 of n=5, (1, 4, 2, 2) float32, with residuals, "
        "an edit reaches one state)"
    )
    large = tuple(torch.zeros(2, 16, 1, 1).expand(2, 16, 2000, 2000) for _ in range(6))
    pair = repr(Trajectory(large, schedule, method="edict"))
    assert "an edit reaches both states of a pair" in pair
    assert len(pair) < 200
    assert "t=" not in repr(Trajectory(latents(1), schedule))


def test_what_iterations_left_is_one_number_a_step(schedule):
    assert Trajectory(latents(3), schedule, fixed_point_rms=(0.1, 0.2)).fixed_point_rms == (
        0.1,
        0.2,
    )
    with pytest.raises(ShapeError, match="must be 2 numbers, one per step up, got 3"):
        Trajectory(latents(3), schedule, fixed_point_rms=(0.1, 0.2, 0.3))


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
