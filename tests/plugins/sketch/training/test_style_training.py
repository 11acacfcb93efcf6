"""A study: what decides its samples, and how often it asks the UNet for one of them."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch

import featurekit as fk
from featurekit.core.types import silent
from featurekit_sketch.inputs import Subject
from featurekit_sketch.sampling.cdst_sampler import Sample
from featurekit_sketch.sampling.noising_paths import SampledRun, generated_paths
from featurekit_sketch.sampling.prior import fit_prior
from featurekit_sketch.sampling.sampled_pictures import SampledPictures
from featurekit_sketch.settings import Learning, Reading, Sampling
from featurekit_sketch.training.framing import Corner, corners, framed
from featurekit_sketch.training.sketcher import Reader
from featurekit_sketch.training.style_training import StyleTraining

STEPS = 16


@pytest.fixture(scope="module")
def study():
    backbone = fk.load_backbone("random", device="cpu")
    prior = fit_prior(backbone, ("a red circle", "two blue houses", "a face"))
    reader = Reader.of(backbone, Reading(steps=STEPS))
    pictures = SampledPictures(backbone, prior, Sampling(), STEPS, 0)
    return StyleTraining(reader, pictures, Learning(), None, None, seed=0)


@pytest.fixture(scope="module")
def sample(study):
    with torch.no_grad():
        states = study.backbone.embed("a face").states
    (way,) = generated_paths(study.backbone, states, SampledRun(STEPS, 1), seeds=(0,))
    return Sample(way, states)


def changed(study, kind):
    return replace(study, reader=replace(study.reader, reading=Reading(kind, STEPS)))


@pytest.mark.parametrize(("kind", "calls", "one"), [("noise", [13], 1), ("inversion", [13, 13], 0)])
def test_a_sample_costs_13_rows_by_noise_and_26_by_its_own_path(study, sample, kind, calls, one):
    rows, unet = [], study.backbone.unet
    hook = unet.register_forward_pre_hook(lambda _, given: rows.append(len(given[0])))
    features = changed(study, kind)._of_sample(sample)
    hook.remove()
    assert rows == calls
    for maps in features.unet.values():
        assert maps.shape[1:3] == (13, 2)
        assert (maps.stride(2) == 0) == bool(one)  # by noise the pair is one map twice
        assert torch.equal(maps[:, :, 0], maps[:, :, 1]) == bool(one)


def test_every_part_of_the_prior_decides_the_samples(study):
    source, pictures = study.backbone.embed("a face"), study.pictures
    prior = pictures.prior
    keys = [pictures.key(source)]
    for name in ("mean", "axes", "deviations"):
        other = replace(prior, **{name: getattr(prior, name).flip(0)})
        keys.append(replace(pictures, prior=other).key(source))
    assert len(set(keys)) == 4
    assert pictures.key(source) == keys[0]


class Clip:
    """An encoder that sees mean colours."""

    def encode_image(self, image):
        return image.mean((2, 3))


class MeanSquare:
    def prepared(self, reference):
        return lambda a: (a - reference).square().mean()


@pytest.mark.parametrize(("height", "width", "places"), [(32, 32, 1), (32, 27, 2), (20, 27, 4)])
def test_the_picture_and_its_views_lie_in_every_corner_of_the_frame(study, height, width, places):
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1
    subject = Subject(image, torch.ones(1, 1, height, width), "a face", "noise")
    learning = Learning(views=6)
    training = replace(study, clip=Clip(), perceptual=MeanSquare(), learning=learning)
    read = []

    def features(reader, image):
        read.append(image)
        raise KeyboardInterrupt  # the networks are of no interest here

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reader, "features", features)
        examples = training.examples(subject, (), lambda _: nullcontext(silent))
        with pytest.raises(KeyboardInterrupt):
            examples.views(0)
    assert torch.equal(read[0], framed(image, Corner(), 32))
    assert len(examples.losses) == len(examples.corners) == places + 5
    assert examples.drawings == places
    assert examples.corners[:places] == list(corners(height, width, 32))
    assert all(loss is examples.losses[0] for loss in examples.losses[:places])
    assert set(examples.corners[places:]) == set(corners(height, width, 32))
    assert examples.views(places).image.shape == (1, 3, 32, 32)
