"""A drawing is learnt with a transformer of random weights: its autoencoder knows pictures."""

import pytest
import torch
from diffusers import DDIMScheduler, PixArtSigmaPipeline, PixArtTransformer2DModel
from small_parts import of_seed
from small_text_encoders import ENCODERS
from two_scale_runs import drawn, stage

import featurekit as fk
from featurekit_sketch.metrics.figures import scores
from featurekit_sketch.sampling.captions import Captions
from featurekit_sketch.sampling.sampled_pictures import SampledPictures
from featurekit_sketch.settings import Reading, Sampling
from featurekit_sketch.training.sketcher import Reader
from featurekit_sketch.two_scales.reading import TwoScaleReader
from featurekit_sketch.two_scales.training import RANKS, TwoScaleTraining

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
SIDE = 64


@pytest.fixture(scope="module")
def backbone():
    """A small PixArt with the embedded model's autoencoder."""
    vae = fk.load_backbone("embedded").vae
    channels = vae.config.latent_channels
    transformer = of_seed(
        PixArtTransformer2DModel,
        num_attention_heads=3,
        attention_head_dim=8,
        in_channels=channels,
        out_channels=2 * channels,
        num_layers=6,
        cross_attention_dim=24,
        sample_size=16,
        caption_channels=12,
        use_additional_conditions=False,
    )
    scheduler = DDIMScheduler(clip_sample=False, set_alpha_to_one=False)
    parts = {"vae": vae, "transformer": transformer, "scheduler": scheduler}
    return fk.wrap(PixArtSigmaPipeline(**parts, **ENCODERS["pixart_sigma"]()), "small")


def test_a_drawing_is_redrawn(backbone, tmp_path):
    """Most of its lines, with about as much ink: F1 of blank paper is 0."""
    reader = TwoScaleReader(Reader.of(backbone, Reading(steps=20)), RANKS)
    pictures = SampledPictures(backbone, Captions(("a face",)), Sampling(0), 20, 0)
    training = TwoScaleTraining(reader, pictures, 80, 2e-3, 1, SIDE, 0)
    subject = drawn(0)
    (read,) = training.read([subject.image], stage)
    path = tmp_path / "training.safetensors"
    drawer, trace = training.learn(
        [(subject, read)], training.read_samples([], stage), path, stage=stage
    )
    assert trace[-1]["drawn"] < 0.5 * trace[0]["drawn"]
    redrawn = drawer(subject.image)
    found = scores(redrawn, subject.ink)
    assert found["f1"] > 0.8
    assert found["ink"] == pytest.approx(found["ink_true"], rel=0.2)
    assert torch.equal(redrawn, drawer(subject.image))
