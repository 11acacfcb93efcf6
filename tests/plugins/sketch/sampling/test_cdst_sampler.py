"""Sampled pictures: kept on disk and found again, each by its number alone, and what they cost."""

from dataclasses import replace

import pytest
import torch

import featurekit as fk
from featurekit.core.file_bytes import read_metadata
from featurekit.core.sharding import Share
from featurekit.images.io import read_tensors, write_tensors
from featurekit_sketch.network.feature_taps import FeatureTaps
from featurekit_sketch.sampling import cdst_sampler as samples_module
from featurekit_sketch.sampling.cdst_sampler import KeptSamples, Sample, Sampler
from featurekit_sketch.sampling.feature_reading import read
from featurekit_sketch.sampling.noising_paths import NoisingPath
from featurekit_sketch.sampling.prior import fit_prior
from featurekit_sketch.settings import Sampling

STEPS, COUNT = 16, 3
CAPTIONS = ("a red circle", "two blue houses", "a face", "a car on a road")


@pytest.fixture(scope="module")
def backbone():
    return fk.load_backbone("random")


@pytest.fixture(scope="module")
def sampler(backbone):
    with torch.no_grad():
        source = backbone.embed("a face with a hat").states
    sampling = Sampling(count=COUNT, guidance=1.0, fade=0.7)
    return Sampler(backbone, fit_prior(backbone, CAPTIONS), source, sampling, STEPS, seed=5)


@pytest.fixture
def rows(backbone):
    """Rows of each call of the UNet so far."""
    counted = []
    hook = backbone.unet.register_forward_pre_hook(lambda _, given: counted.append(len(given[0])))
    yield counted
    hook.remove()


@pytest.fixture(scope="module")
def made(sampler, tmp_path_factory):
    """A folder of samples, and what was told while they were made."""
    folder, told = tmp_path_factory.mktemp("samples") / "new", []
    samples = sampler(folder, key="a", progress=lambda *at: told.append(at))
    return folder, samples, told


@pytest.fixture
def folder(made, tmp_path):
    """A copy of that folder."""
    for path in made[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def stamps(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def changed(before, folder):
    return sorted(name for name, at in stamps(folder).items() if before.get(name) != at)


def alike(a, b, tolerance=0.0):
    """Whether two samples are one, by default bit for bit."""
    pairs = (
        (a.noising.latents, b.noising.latents),
        (a.noising.clean, b.noising.clean),
        (a.states, b.states),
    )
    return a.noising.timesteps == b.noising.timesteps and all(
        (one - other).norm() <= tolerance * other.norm() for one, other in pairs
    )


def name_of(number):
    return f"{number:04d}.safetensors"


def test_samples_come_back_in_order_with_thirteen_latents_each(made, sampler):
    folder, samples, told = made
    assert sorted(path.name for path in folder.iterdir()) == [name_of(i) for i in range(COUNT)]
    assert told == [(0, COUNT), (COUNT, COUNT)]
    for i, sample in enumerate(samples):
        assert sample.noising.latents.shape == (13, 8, 16, 16)
        assert sample.noising.clean.shape == (1, 8, 16, 16)
        assert torch.equal(sample.states, sampler.condition(i))
    assert not alike(samples[0], samples[1], tolerance=0.1)


def test_conditions_drift_from_the_source_to_the_prior(sampler):
    first, second, last = (sampler.condition(i) for i in range(COUNT))
    assert torch.equal(first, sampler.source)
    drawn = 2 * second - sampler.source  # half way
    assert (drawn - sampler.source).norm() > 0.1 * sampler.source.norm()
    other = replace(sampler, source=-sampler.source)
    assert torch.equal(other.condition(2), last)
    assert not torch.equal(other.condition(1), second)


def test_what_is_kept_is_not_sampled_again(folder, made, sampler, rows):
    before, told = stamps(folder), []
    again = sampler(folder, key="a", progress=lambda *at: told.append(at))
    assert changed(before, folder) == []
    assert rows == []
    assert told == [(COUNT, COUNT)]
    for one, other in zip(again, made[1], strict=True):
        assert torch.equal(one.noising.latents, other.noising.latents)
        assert torch.equal(one.noising.clean, other.noising.clean)
        assert torch.equal(one.states, other.states)


def test_another_key_makes_all_anew(folder, sampler, rows):
    before = stamps(folder)
    sampler(folder, key="b")
    assert len(changed(before, folder)) == COUNT
    assert {read_metadata(path)["key"] for path in folder.iterdir()} == {"b"}
    assert sum(rows) == COUNT * STEPS


@pytest.mark.parametrize("kept", [0, -1])
def test_a_cut_file_alone_is_made_anew(folder, made, sampler, rows, kept):
    cut = folder / name_of(1)
    cut.write_bytes(cut.read_bytes()[:kept])
    before = stamps(folder)
    again = sampler(folder, key="a")
    assert changed(before, folder) == [cut.name]
    assert sum(rows) == COUNT * STEPS  # with the others of its batch, which are thrown away
    assert alike(again[1], made[1][1])


def test_a_sample_depends_on_its_number_and_not_on_what_is_sampled_with_it(folder, made, sampler):
    for number in (0, 2):
        (folder / name_of(number)).unlink()
    again = sampler(folder, key="a")
    assert all(alike(one, other) for one, other in zip(again, made[1], strict=True))
    other = replace(sampler, seed=6)(folder, key="b")
    assert not alike(other[1], made[1][1], tolerance=0.1)


@pytest.mark.parametrize(("lost", "drawn"), [(0, 2), (1, 2), (2, 1)])
def test_a_batch_is_always_of_the_same_samples(sampler, tmp_path, rows, monkeypatch, lost, drawn):
    monkeypatch.setattr(samples_module, "TOGETHER", 2)
    whole = sampler(tmp_path, key="a")
    (tmp_path / name_of(lost)).unlink()
    rows.clear()
    again = sampler(tmp_path, key="a")
    assert rows == [drawn] * STEPS
    assert all(alike(one, other) for one, other in zip(again, whole, strict=True))


@pytest.mark.parametrize("last", [0, 1, 2])
def test_sampling_that_broke_off_while_writing_ends_like_one_that_did_not(
    sampler, made, tmp_path, monkeypatch, last
):
    written = []

    def full(tensors, path, words):
        if len(written) == last:
            raise KeyboardInterrupt
        written.append(write_tensors(tensors, path, words))

    with monkeypatch.context() as patched:
        patched.setattr(samples_module, "write_tensors", full)
        with pytest.raises(KeyboardInterrupt):
            sampler(tmp_path, key="a")
    assert len(list(tmp_path.iterdir())) == last
    again = sampler(tmp_path, key="a")
    assert all(alike(one, other) for one, other in zip(again, made[1], strict=True))


def test_a_kept_picture_costs_26_rows_of_the_unet_to_read(backbone, folder, sampler, rows):
    (sample, *_) = sampler(folder, key="a")
    feature_taps = FeatureTaps.of(backbone.unet.config, backbone.vae.config)
    read(backbone, feature_taps, sample.noising, sample.states)
    assert sum(rows) == 26


def test_no_samples_are_asked_for_and_none_made(sampler, tmp_path, rows):
    none = replace(sampler, sampling=replace(sampler.sampling, count=0))
    assert none(tmp_path / "none", key="a") == ()
    assert rows == []


def test_a_file_of_other_tensors_under_the_same_name_is_made_anew(folder, made, sampler):
    path = folder / name_of(2)
    write_tensors({"a": torch.zeros(2)}, path)
    again = sampler(folder, key="a")
    assert set(read_tensors(path)) == {"latents", "clean", "states", "timesteps"}
    assert alike(again[2], made[1][2])


class Stub:
    together = 2

    def sampled(self, numbers):
        path = NoisingPath(torch.zeros(1, 4, 1, 1), (1,), torch.zeros(1, 4, 1, 1))
        return [Sample(path, torch.zeros(1, 1, 1)) for _ in numbers]


def test_a_worker_makes_the_batches_of_its_share(tmp_path):
    kept, told = KeptSamples(tmp_path, 7, "k"), []
    kept.fill(Stub(), share=Share(1, 2), progress=lambda *one: told.append(one))
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["0002", "0003", "0006"]
    assert told == [(0, 3), (2, 3), (3, 3)]
    kept.fill(Stub(), share=Share(0, 2))
    assert len(kept.read()) == 7
