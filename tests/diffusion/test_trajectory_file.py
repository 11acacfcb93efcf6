"""A trajectory on disk is the trajectory to the last bit, and nothing else is taken for one."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from featurekit.core.errors import ConfigError, OutputError
from featurekit.core.file_bytes import read_metadata
from featurekit.diffusion.backbone import Predictor
from featurekit.diffusion.invert import invert
from featurekit.diffusion.methods.kinds import METHODS
from featurekit.diffusion.noise_schedule import NoiseTable, Schedule
from featurekit.diffusion.sample import sample
from featurekit.diffusion.trajectory import Trajectory
from featurekit.diffusion.trajectory_file import load_trajectory, save_trajectory
from featurekit.images.io import write_tensors
from featurekit.testing import MixtureDenoiser

SCHEDULE = Schedule.ddim(NoiseTable.scaled_linear(), steps=10)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(scope="module")
def denoiser():
    return MixtureDenoiser(normal(4, 4, 4, 4), 0.3)


def climb(denoiser, method, until=None):
    draws = torch.Generator().manual_seed(3) if method == "edit_friendly" else None
    return invert(
        Predictor(denoiser, lambda: "abc"), denoiser.templates[:2], SCHEDULE, method=method,
        until=until, generator=draws,
    )  # fmt: skip


@pytest.fixture
def saved(denoiser, tmp_path):
    return save_trajectory(climb(denoiser, "ddim"), tmp_path / "way.safetensors")


@pytest.mark.parametrize("method", METHODS)
def test_a_trajectory_of_every_method_comes_back_from_disk_as_it_was(denoiser, tmp_path, method):
    path = tmp_path / "way.safetensors"
    before = climb(denoiser, method)
    assert save_trajectory(before, path) == path
    after = load_trajectory(path)
    assert (after.method, after.fingerprint, after.states) == (method, "abc", before.states)
    assert after.schedule.timesteps == SCHEDULE.timesteps
    assert torch.equal(after.schedule.alpha_bars, SCHEDULE.alpha_bars)
    for one, other in zip(before.latents, after.latents, strict=True):
        assert torch.equal(one, other)
    assert (after.arrivals is None) == (before.arrivals is None)
    assert after.fixed_point_rms == before.fixed_point_rms
    assert (after.fixed_point_rms is not None) == (method == "anderson")
    back = [sample(denoiser, way.at(10), SCHEDULE, trajectory=way) for way in (before, after)]
    assert torch.equal(*back)


def test_part_of_a_way_and_no_way_at_all_are_kept(denoiser, tmp_path):
    for until in (0, 3):
        path = save_trajectory(climb(denoiser, "ddim", until), tmp_path / f"{until}.safetensors")
        after = load_trajectory(path)
        assert after.until == until
        assert len(after.arrivals) == until


def test_without_residuals_there_are_none_afterwards(denoiser, tmp_path):
    bare = invert(denoiser, denoiser.templates[:1], SCHEDULE, keep_residuals=False)
    assert load_trajectory(save_trajectory(bare, tmp_path / "way.safetensors")).arrivals is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_dtype_of_the_latents_is_kept(tmp_path, dtype):
    way = Trajectory((torch.ones(1, 4, 2, 2, dtype=dtype),), SCHEDULE)
    after = load_trajectory(save_trajectory(way, tmp_path / "way.safetensors"))
    assert after.at(0).dtype == dtype
    assert after.schedule.alpha_bars.dtype == torch.float64


def test_the_file_says_what_it_is(saved):
    assert read_metadata(saved) == {
        "format": "featurekit.trajectory",
        "version": "2",
        "method": "ddim",
        "fingerprint": "abc",
        "schedule": SCHEDULE.fingerprint,
        "residuals": "kept",
    }


def test_equal_schedules_have_one_fingerprint_and_other_ones_another():
    table = NoiseTable.scaled_linear()
    of = Schedule.ddim(table, 50).fingerprint
    assert of == Schedule.ddim(NoiseTable.scaled_linear(), 50).fingerprint
    to_one = NoiseTable.scaled_linear(set_alpha_to_one=True)
    others = (
        Schedule.ddim(table, 49),
        Schedule.ddim(table, 50, steps_offset=0),
        Schedule.ddim(to_one, 50),
    )
    assert of not in {other.fingerprint for other in others}


# refusals


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_file_is_refused(saved, share):
    whole = saved.read_bytes()
    saved.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ConfigError, match=r"must be in a whole .safetensors file, but '.*way"):
        load_trajectory(saved)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"must be in a whole .safetensors file, but '.*nowhere"):
        load_trajectory(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize(
    ("metadata", "words"),
    [(None, "names no format"), ({"format": "pt"}, "is of format 'pt'")],
)
def test_other_tensors_are_refused(tmp_path, metadata, words):
    path = write_tensors({"latents": torch.zeros(1)}, tmp_path / "x.safetensors", metadata)
    with pytest.raises(
        ConfigError, match=f"a whole file of save_trajectory, got .*, but it {words}"
    ):
        load_trajectory(path)


def tampered(path, tensors=None, **metadata):
    words = {**read_metadata(path), **metadata}
    save_file({**load_file(path), **(tensors or {})}, path, metadata=words)
    return path


def test_another_version_is_refused_with_what_to_do(saved):
    with pytest.raises(ConfigError, match=r"of version 2, but .* is of '1'; invert the picture"):
        load_trajectory(tampered(saved, version="1"))


def test_a_schedule_that_is_not_its_own_is_refused(saved):
    timesteps = torch.tensor([t - 1 for t in SCHEDULE.timesteps])
    with pytest.raises(ConfigError, match="schedule is not the one that its hash was taken of"):
        load_trajectory(tampered(saved, {"timesteps": timesteps}))


def test_parts_that_do_not_belong_together_are_refused(saved):
    with pytest.raises(
        ConfigError, match=r"save_trajectory, got .*, but no inversion method named"
    ):
        load_trajectory(tampered(saved, method="dims"))
    with pytest.raises(ConfigError, match="but a trajectory of edict must hold no arrivals"):
        load_trajectory(tampered(saved, method="edict"))
    with pytest.raises(ConfigError, match="must hold 1 to 11 latents"):
        load_trajectory(tampered(saved, {"latents": torch.zeros(12, 1, 4, 2, 2)}, method="ddim"))


def test_a_file_that_lacks_a_tensor_is_refused_by_its_name(saved):
    save_file({"latents": torch.zeros(1)}, saved, metadata=read_metadata(saved))
    with pytest.raises(ConfigError, match="but it has no alpha_bars, timesteps"):
        load_trajectory(saved)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(saved, denoiser):
    before = saved.read_bytes()
    with pytest.raises(OutputError, match="must be writable to"):
        save_trajectory(climb(denoiser, "ddim"), saved / "below")
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]
