"""The networks that are compared: each reads a picture once, whatever the number of drawings."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from two_scale_runs import counted, drawn, samples_of

import featurekit as fk
from featurekit.core.types import Job, silent
from featurekit_sketch.config import SketchConfig, reading_of
from featurekit_sketch.sampling.prior import fit_prior, save_prior
from featurekit_sketch.tasks.rivals import HEADLINE, rivals_of
from featurekit_sketch.training.style_training import pictures_of

ROWS = {
    "two_scales": {
        "trained": {HEADLINE, "vae alone"},
        "random": {"random unet"},
        "published": {"paper's network and sum"},
        "released": {"as released"},
    },
    "published": {
        "trained": {HEADLINE, "vae alone"},
        "random": {"random unet"},
        "released": {"as released"},
    },
    "released": {"trained": {HEADLINE, "vae alone"}, "random": {"random unet"}},
}


@pytest.fixture(scope="module")
def backbone():
    return fk.load_backbone("random")


@pytest.fixture(scope="module")
def prior(backbone, tmp_path_factory):
    path = tmp_path_factory.mktemp("prior") / "prior.safetensors"
    return str(save_prior(fit_prior(backbone, ("a red circle", "a face")), path))


def job(backbone, prior, folder, network="two_scales"):
    config = SketchConfig(
        network=network, side_px=64, iterations=2, views=2, steps=16, prior=prior, samples=1
    )
    config.tile_px, config.overlap_px = 64, 16
    words = {"task": "evaluate", "image": None, "prompt": "", "seed": 0, "out": folder}
    return Job(backbone=backbone, settings=config, stage=lambda _: nullcontext(silent), **words)


def rivals(job):
    """Rows by what they read, for pictures that are sampled as the job says."""
    return rivals_of(job, pictures_of(job), reading_of(job.settings, job.seed))


@pytest.fixture
def pictures(backbone):
    return samples_of(backbone, 1)


@pytest.mark.parametrize("network", sorted(ROWS))
def test_rows_are_named_by_what_they_read(backbone, prior, tmp_path, network):
    made = rivals(job(backbone, prior, tmp_path, network))
    assert {name: set(make()) for name, make in made.items()} == ROWS[network]


@pytest.mark.parametrize("reading", ["trained", "published", "released"])
def test_a_rival_reads_no_picture_twice(backbone, prior, tmp_path, pictures, reading):
    made = rivals(job(backbone, prior, tmp_path))[reading]()
    subject, other = drawn(), drawn(2, "vehicle").image
    styles = {"first": subject, "second": replace(subject, ink=subject.ink.flip(-1))}
    counts = []
    for name, one in styles.items():
        for row, rival in made.items():
            folder = tmp_path / f"{name} {row}"
            folder.mkdir()
            with counted(backbone) as rows:
                draw = rival.learnt(one, pictures, folder)
                inks = [draw(image) for image in (subject.image, other)]
            assert inks[0].shape == inks[1].shape == (1, 1, 64, 64)
            counts.append(sum(rows))
    assert counts[0] > 0
    assert counts[1:] == [0] * (len(counts) - 1)


def test_what_is_remembered_is_what_would_be_read(backbone, prior, tmp_path):
    made = rivals(job(backbone, prior, tmp_path))
    image = drawn().image
    two_scales = made["trained"]()[HEADLINE].training.reader
    first = two_scales(image, seed=1)
    assert two_scales(image.clone(), seed=1) is first
    assert two_scales(image, seed=2) is not first
    assert two_scales(image.flip(-1), seed=1) is not first
    published = made["published"]()["paper's network and sum"].training.reader
    found = published.features(image)
    assert published.features(image.clone()) is found
    assert published.features(image.flip(-1)) is not found
    noising = published.noising(backbone.encode(image).detach())
    assert (
        published.of_path(noising, replace(published.words, states=published.states + 1))
        is not found
    )


def test_rows_have_keys_of_their_own(backbone, prior, tmp_path):
    given = job(backbone, prior, tmp_path)
    made = [(name, one) for name, make in rivals(given).items() for one in make().values()]
    subject = drawn()
    other = replace(subject, ink=subject.ink.flip(-1))
    assert len({(name, rival.key(subject)) for name, rival in made}) == len(made) == 5
    for _, rival in made:
        assert rival.key(subject) == rival.key(subject)
        assert rival.key(other) != rival.key(subject)


def test_the_papers_network_draws_a_larger_picture_at_the_models_size_and_enlarges_it(
    backbone, prior, tmp_path
):
    (rival,) = rivals(job(backbone, prior, tmp_path))["published"]().values()
    subject = drawn(side=128)
    with counted(backbone) as rows:
        draw = rival.learnt(subject, [], tmp_path)
        ink = draw(subject.image)
    assert ink.shape == (1, 1, 128, 128)
    assert ink.min() >= 0
    assert ink.max() <= 1
    assert sum(rows) == 2 * 13  # the picture as it is, and one view
    assert torch.equal(ink, draw(subject.image))
