"""The prior over conditions: draws are as what was fitted, and a file is of one text encoder."""

from dataclasses import replace

import pytest
import torch
from safetensors import safe_open

import featurekit as fk
from featurekit.core.errors import BackboneError, ConfigError, OutputError, ShapeError
from featurekit.images.io import write_tensors
from featurekit.scenes import TRAIN_SEEDS, scene
from featurekit_sketch.sampling.prior import (
    Prior,
    fingerprint,
    fit_prior,
    load_prior,
    save_prior,
    world_captions,
)

COUNT = 40


@pytest.fixture(scope="module")
def random():
    return fk.load_backbone("random", device="cpu")


@pytest.fixture(scope="module")
def embedded():
    return fk.load_backbone("embedded", device="cpu")


@pytest.fixture(scope="module")
def captions():
    return world_captions(COUNT)


@pytest.fixture(scope="module")
def fitted(embedded, captions):
    return fit_prior(embedded, captions)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def embeddings(backbone, captions):
    with torch.no_grad():
        return torch.cat([backbone.embed(one).states for one in captions])


def planted(n=4, d=16, k=24):
    axes = torch.linalg.qr(torch.randn(n * d, k, generator=seeded(1)))[0].T.contiguous()
    deviations = torch.logspace(1, -1, k)
    mean = torch.randn(n, d, generator=seeded(2))
    return Prior(mean, axes, deviations, source="nothing", encoder="", kept=1.0)


# draws


def test_twenty_thousand_draws_have_the_planted_mean_variances_and_trace():
    prior, count = planted(), 20_000
    draws = (prior.draw(seeded(), count) - prior.mean).flatten(1)
    expected = (prior.deviations[:, None] ** 2 * prior.axes**2).sum(dim=0)
    assert (draws.mean(dim=0).abs() < 4 * (expected / count).sqrt()).all()
    variances = (draws @ prior.axes.T).var(dim=0)
    assert (variances / prior.deviations**2 - 1)[:20].abs().max() < 0.05
    assert abs(draws.var(dim=0).sum() / prior.deviations.square().sum() - 1) < 0.01
    outside = draws - draws @ prior.axes.T @ prior.axes
    assert outside.abs().max() < 1e-4


def test_draws_of_a_fitted_prior_have_the_captions_mean_and_variances(embedded, captions, fitted):
    states, count = embeddings(embedded, captions).flatten(1), 2_000
    scores = (fitted.draw(seeded(), count).flatten(1) - states.mean(dim=0)) @ fitted.axes.T
    truth = ((states - states.mean(dim=0)) @ fitted.axes.T).var(dim=0)
    assert (scores.mean(dim=0).abs() < 4 * (truth / count).sqrt()).all()
    assert (scores.var(dim=0) / truth - 1).abs().max() < 0.2
    whole = states.var(dim=0).sum()
    assert abs(scores.var(dim=0).sum() / whole - 1) < 0.05


def test_equal_generators_give_equal_draws_and_others_do_not():
    prior = planted()
    one, same, other = (prior.draw(seeded(seed), 3) for seed in (5, 5, 6))
    assert one.shape == (3, 4, 16)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_generator_gives_another_draw_each_time_and_none_if_none_is_asked_for():
    prior, generator = planted(), seeded()
    assert prior.draw(generator).shape == (1, 4, 16)
    assert not torch.equal(prior.draw(generator), prior.draw(generator))
    assert prior.draw(generator, 0).shape == (0, 4, 16)


def test_draws_leave_the_global_random_state_alone():
    before = torch.get_rng_state()
    planted().draw(seeded(), 2)
    assert torch.equal(torch.get_rng_state(), before)


# fitting


def test_the_mean_is_the_captions_mean_embedding(embedded, captions, fitted):
    mean = embeddings(embedded, captions).mean(dim=0)
    assert fitted.mean.shape == mean.shape
    assert (fitted.mean - mean).abs().max() < 1e-4
    # and so is what the mean of the scores, which is 0, gives back
    scores = (embeddings(embedded, captions).flatten(1) - fitted.mean.flatten()) @ fitted.axes.T
    back = fitted.mean.flatten() + scores.mean(dim=0) @ fitted.axes
    assert (back - mean.flatten()).abs().max() < 1e-4


def test_all_axes_give_every_caption_back(embedded, captions, fitted):
    states = embeddings(embedded, captions).flatten(1)
    centred = states - fitted.mean.flatten()
    assert len(fitted.axes) == COUNT - 1
    assert fitted.kept == pytest.approx(1, abs=1e-6)
    assert (centred @ fitted.axes.T @ fitted.axes - centred).abs().max() < 1e-3
    gram = fitted.axes @ fitted.axes.T
    torch.testing.assert_close(gram, torch.eye(COUNT - 1), rtol=0, atol=1e-5)


def test_fewer_axes_are_the_first_of_all(embedded, captions, fitted):
    few = fit_prior(embedded, captions, components=5)
    torch.testing.assert_close(few.axes, fitted.axes[:5])
    torch.testing.assert_close(few.deviations, fitted.deviations[:5])
    shares = fitted.deviations.square()
    assert few.kept == pytest.approx(float(shares[:5].sum() / shares.sum()), rel=1e-5)


def test_the_deviations_fall_and_the_record_says_of_what_they_are(embedded, captions, fitted):
    assert (fitted.deviations.diff() <= 0).all()
    assert fitted.source == f"{COUNT} captions of a list"
    assert fit_prior(embedded, captions[:3], name="a.txt").source == "3 captions of a.txt"
    assert len(fitted.encoder) == 64


def test_only_the_text_encoders_weights_make_the_fingerprint(embedded, random):
    files = dict(embedded.weights)
    (name,) = (one for one in files if "text_encoder" in one)

    class Other:
        weights = files

    assert fingerprint(random) == ""
    assert fingerprint(Other) == fingerprint(embedded)
    Other.weights = {**files, "unet/diffusion_pytorch_model.safetensors": "0" * 64}
    assert fingerprint(Other) == fingerprint(embedded)
    Other.weights = {**files, name: "0" * 64}
    assert fingerprint(Other) != fingerprint(embedded)


def test_fitting_twice_gives_the_same_bits_and_no_gradient(random, captions):
    encoder = random.text_encoder
    before = torch.get_rng_state()
    try:
        encoder.requires_grad_(True)
        one, two = (fit_prior(random, captions[:20]) for _ in range(2))
    finally:
        encoder.requires_grad_(False)
    for name in ("mean", "axes", "deviations"):
        assert torch.equal(getattr(one, name), getattr(two, name))
        assert not getattr(one, name).requires_grad
    assert not one.draw(seeded()).requires_grad
    assert torch.equal(torch.get_rng_state(), before)
    assert all(weight.grad is None for weight in encoder.parameters())


def test_progress_ends_at_the_number_of_captions(random, captions):
    told = []
    fit_prior(random, captions, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (COUNT, COUNT)
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert {total for _, total in told} == {COUNT}


def test_captions_beyond_the_encoder_are_cut_as_embed_does_with_one_warning():
    backbone = fk.load_backbone("random", device="cpu")
    backbone.tokenizer.model_max_length = 99  # more than the encoder reads
    long = [f"{start} " + "red circle " * 60 for start in ("left", "right")]
    with pytest.warns(UserWarning, match="2 of 4 captions are longer than the 40 tokens") as seen:
        prior = fit_prior(backbone, ["a red star", "a face", *long])
    assert len(seen) == 1
    with pytest.warns(UserWarning, match="reads the first 40"):
        mean = embeddings(backbone, ["a red star", "a face", *long]).mean(dim=0)
    assert (prior.mean - mean).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("captions", "components", "message"),
    [
        (["a"], 3, "a prior needs at least 2 captions, got 1"),
        ([], 3, "a prior needs at least 2 captions, got 0"),
        (["a", "b"], 0, "components must be at least 1, got 0"),
        (["a face"] * 20, 3, "captions that differ, but all are one to the text encoder"),
    ],
)
def test_what_fits_nothing_is_refused(random, captions, components, message):
    with pytest.raises(ConfigError, match=message):
        fit_prior(random, captions, components=components)


def test_an_encoder_that_overflows_is_refused(captions):
    broken = fk.load_backbone("random", device="cpu")
    broken.text_encoder.get_input_embeddings().weight.data.fill_(float("inf"))
    with pytest.raises(BackboneError, match="must give finite numbers, got NaN or infinity"):
        fit_prior(broken, captions[:4])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"mean": torch.zeros(64)}, ShapeError, r"mean must be \(n d\), got \(64,\)"),
        ({"mean": torch.zeros(4, 15)}, ShapeError, r"axes must be \(k s=60\)"),
        ({"deviations": torch.zeros(23)}, ShapeError, r"deviations must be \(k=24\)"),
        ({"mean": torch.zeros(4, 16).double()}, ShapeError, "the mean of a prior must be float32"),
        ({"mean": torch.full((4, 16), torch.nan)}, ConfigError, "mean of a prior must be finite"),
        ({"deviations": -torch.ones(24)}, ConfigError, "and no negative deviation, got 24 axes"),
        (
            {"axes": torch.zeros(0, 64), "deviations": torch.zeros(0)},
            ConfigError,
            "must have an axis",
        ),
    ],
)
def test_tensors_that_make_no_gaussian_are_refused(change, error, message):
    with pytest.raises(error, match=message):
        replace(planted(), **change)


def test_a_negative_number_of_draws_is_refused():
    with pytest.raises(ConfigError, match="draws must be 0 or more, got -1"):
        planted().draw(seeded(), -1)


# files


def test_a_prior_comes_back_from_its_file_bit_for_bit(embedded, fitted, tmp_path):
    path = save_prior(fitted, tmp_path / "p.safetensors")
    found = load_prior(path, embedded)
    for name in ("mean", "axes", "deviations"):
        assert torch.equal(getattr(found, name), getattr(fitted, name))
    assert (found.source, found.encoder) == (fitted.source, fitted.encoder)
    assert found.kept == fitted.kept
    with safe_open(path, "pt") as file:
        assert file.metadata()["format"] == "featurekit.prior/1"


def test_random_encoders_of_one_shape_share_priors(random, captions, tmp_path):
    path = save_prior(fit_prior(random, captions[:4]), tmp_path / "p.safetensors")
    assert load_prior(path, random).encoder == ""


def test_a_prior_of_other_weights_is_refused(embedded, random, fitted, tmp_path):
    path = save_prior(fitted, tmp_path / "p.safetensors")
    with pytest.raises(ConfigError, match="is of other weights; fit one with backbone=random"):
        load_prior(path, random)
    save_prior(replace(fitted, encoder="0" * 64), path)
    with pytest.raises(ConfigError, match="is of other weights; fit one with backbone=embedded"):
        load_prior(path, embedded)


def test_a_prior_of_another_shape_is_refused_with_both(random, tmp_path):
    path = save_prior(planted(), tmp_path / "p.safetensors")
    with pytest.raises(ConfigError, match="is of 4x16 states, where random has 40x128; fit one"):
        load_prior(path, random)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (None, "must be a file of featurekit.prior/1, but .* is no prior; fit it"),
        ({"format": "featurekit.lora/1"}, "is no prior; fit it with featurekit fit-prior"),
        ({"format": "featurekit.prior/2"}, "is of version 2; fit it with featurekit fit-prior"),
        ({"format": "featurekit.prior/1"}, "as featurekit fit-prior wrote it, but .* 'source' is"),
    ],
)
def test_another_format_or_version_is_refused(random, tmp_path, words, message):
    prior = planted()
    tensors = {"mean": prior.mean, "axes": prior.axes, "deviations": prior.deviations}
    path = write_tensors(tensors, tmp_path / "p.safetensors", metadata=words)
    with pytest.raises(ConfigError, match=message):
        load_prior(path, random)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"axes": None}, "'axes' is missing; fit it again"),
        ({"axes": torch.zeros(3, 5)}, r"axes must be \(k s=64\), got \(3, 5\); fit it again"),
        ({"mean": torch.full((4, 16), torch.nan)}, "must be finite, got NaN or infinity; fit it"),
    ],
)
def test_a_file_with_other_tensors_is_refused(random, tmp_path, change, message):
    prior = planted()
    tensors = {"mean": prior.mean, "axes": prior.axes, "deviations": prior.deviations} | change
    words = {"format": "featurekit.prior/1", "source": "x", "encoder": "", "kept": "1"}
    given = {name: one for name, one in tensors.items() if one is not None}
    path = write_tensors(given, tmp_path / "p.safetensors", metadata=words)
    with pytest.raises(ConfigError, match=message):
        load_prior(path, random)


def test_a_file_that_is_missing_cut_or_none_of_ours_is_refused(random, tmp_path):
    path = save_prior(planted(), tmp_path / "p.safetensors")
    whole = path.read_bytes()
    for broken in (b"", whole[:5], whole[:100], whole[:-1], b"no tensors at all"):
        path.write_bytes(broken)
        with pytest.raises(ConfigError, match=r"must be in a whole .safetensors file"):
            load_prior(path, random)
    for gone in (tmp_path, tmp_path / "gone.safetensors"):
        with pytest.raises(ConfigError, match=r"a prior must be a file, but .* is no such file"):
            load_prior(gone, random)


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(
        OutputError, match=r"must be writable to .*gone/p\.safetensors'.* make its folder"
    ):
        save_prior(planted(), tmp_path / "gone" / "p.safetensors")
    assert list(tmp_path.iterdir()) == []


# the world


def test_the_worlds_captions_are_distinct_in_the_order_of_training_seeds(captions):
    assert len(set(captions)) == len(captions) == COUNT
    seeds = iter(TRAIN_SEEDS)
    for caption in captions:  # each is that of a later seed
        assert any(scene(seed).caption() == caption for seed in seeds)
    assert world_captions(7) == captions[:7]


def test_a_caption_that_comes_again_is_skipped(monkeypatch):
    monkeypatch.setattr("featurekit_sketch.sampling.prior.scene", lambda seed: scene(seed // 3))
    assert world_captions(5) == [scene(seed).caption() for seed in range(5)]


def test_no_more_captions_than_the_training_seeds_give(monkeypatch):
    monkeypatch.setattr("featurekit_sketch.sampling.prior.TRAIN_SEEDS", range(6))
    assert len(world_captions(6)) == 6
    for count in (7, 0, -1):
        with pytest.raises(ConfigError, match=f"1 to what 6 scenes give, got {count}"):
            world_captions(count)
