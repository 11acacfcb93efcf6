"""A filter as the style: its truth is known for every picture. Learnt, generalised, on photos.

On the embedded model, from one picture that it samples and that picture's XDoG.
"""

from dataclasses import dataclass

import pytest
import torch

import featurekit as fk
from featurekit.backbones import open_clip
from featurekit.core.metrics import pearson, ssim
from featurekit.measures.held_out import scenes_of
from featurekit.measures.perceptual.distances import ClipPerceptual
from featurekit.scenes import TRAINED_KINDS
from featurekit_sketch.drawing.xdog import xdog
from featurekit_sketch.losses.sketch_loss import SketchLoss
from featurekit_sketch.network.features import Features
from featurekit_sketch.network.sketch_network import SketchNetwork
from featurekit_sketch.sampling.feature_reading import read
from featurekit_sketch.sampling.noising_paths import SampledRun, generated_paths
from featurekit_sketch.settings import Learning, Reading
from featurekit_sketch.training.published_course import Examples, PublishedCourse
from featurekit_sketch.training.sketcher import Reader, Sketcher
from featurekit_sketch.training.trainer import Trainer

SEED, STEPS, UNSEEN = 0, 16, 20
LEARNING = Learning(iterations=100, learning_rate=1e-3, cool_down=0.5)


@dataclass
class Taught:
    """What was learnt, from what, and what it was like before."""

    sketcher: Sketcher
    features: list[Features]  # of the picture that was learnt and of those that were not
    source: object  # way of the picture that was learnt
    states: torch.Tensor  # that it was sampled with
    before: torch.Tensor  # its sketch by the first weights

    def drawn(self, features):
        with torch.no_grad():
            return self.sketcher.draw(features, 64, 64)


def truth(features):
    return xdog(features.image.clamp(-1, 1))


def gap(drawn, wanted):
    return float((drawn - wanted).abs().mean())


def captions():
    """Of a face, then of scenes of every kind in turn."""
    kinds = [scenes_of(kind, -(-UNSEEN // len(TRAINED_KINDS)), skip=1) for kind in TRAINED_KINDS]
    others = [scene.caption() for row in zip(*kinds, strict=True) for scene in row]
    return [scenes_of("face", 1)[0].caption(), *others[:UNSEEN]]


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    backbone = fk.load_backbone("embedded", device="cpu")
    with torch.no_grad():
        states = torch.cat([backbone.embed(caption).states for caption in captions()])
        seeds = range(1000 * SEED, 1000 * SEED + len(states))
        ways = generated_paths(backbone, states, SampledRun(STEPS, 5.0), seeds=seeds)
        reader = Reader.of(backbone, Reading(steps=STEPS, seed=SEED))
        rows = zip(ways, states, strict=True)
        features = [read(backbone, reader.feature_taps, way, own[None]) for way, own in rows]
    network = SketchNetwork(reader.feature_taps, seed=SEED)
    sketcher, clip = Sketcher(reader, network), open_clip.load(device="cpu")
    with torch.no_grad():
        before = sketcher.draw(features[0], 64, 64)
    loss = SketchLoss(
        clip,
        ClipPerceptual(clip),
        source_image=features[0].image.clamp(-1, 1),
        drawing=truth(features[0]),
    )
    examples = Examples(lambda _: features[0], [loss], lambda _: features[0], [])
    path = tmp_path_factory.mktemp("taught") / "training.safetensors"
    Trainer(network, PublishedCourse(examples, LEARNING, SEED), path, "key")()
    return Taught(sketcher, features, ways[0], states[:1], before)


def test_one_picture_is_learnt_by_heart(taught):
    own = taught.features[0]
    found, wanted = taught.drawn(own), truth(own)
    assert gap(found, wanted) <= 0.2 * gap(taught.before, wanted)
    assert ssim(2 * found - 1, 2 * wanted - 1).item() >= 0.8


def test_pictures_that_were_not_learnt_are_drawn_far_better_than_by_any_constant(taught):
    unseen = taught.features[1:]
    found = torch.cat([taught.drawn(one) for one in unseen])
    wanted = torch.cat([truth(one) for one in unseen])
    assert len(found) == UNSEEN
    assert gap(found, wanted) <= 0.6 * gap(wanted.median(), wanted)  # no constant has a lower gap
    assert pearson(found, wanted).mean().item() >= 0.6


def test_a_photograph_of_the_learnt_picture_is_drawn_nearly_as_well(taught):
    own, wanted = taught.features[0], truth(taught.features[0])
    photo = taught.sketcher(own.image.clamp(-1, 1))  # as a user's picture: without its caption
    assert not torch.equal(photo, taught.drawn(own))
    assert gap(photo, wanted) <= 2 * gap(taught.drawn(own), wanted)
