"""Sampled pictures of captions: ever further from the source, mixed or by lot, kept on disk."""

import pytest
import torch
from small_text_encoders import with_text
from small_transformers import SMALL

import featurekit as fk
from featurekit.backbones.dit.diffusion_transformer import DiffusionTransformer
from featurekit.core.errors import ConfigError
from featurekit_sketch.sampling.caption_sampler import CaptionSampler
from featurekit_sketch.sampling.captions import Captions, takes_prior
from featurekit_sketch.sampling.cdst import source_weight
from featurekit_sketch.sampling.prior import fit_prior
from featurekit_sketch.sampling.sampled_pictures import SampledPictures
from featurekit_sketch.settings import Sampling

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
CAPTIONS = Captions(("a face", "stone of a face", "a stone"))
MIXED, BY_LOT = ["flux_schnell", "sd3", "flux2"], ["chroma", "qwen_image", "z_image"]


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch):
    monkeypatch.setattr(DiffusionTransformer, "sample_size", property(lambda self: (4, 4)))


def sampler_of(name, count=4, seed=3):
    backbone = with_text(name, SMALL[name]()).wrapped()
    sampling = Sampling(count, 1.0, 1.0)
    return CaptionSampler(backbone, CAPTIONS, backbone.embed("stone"), sampling, 16, seed)


def same(one, other):
    if not torch.equal(one.states, other.states):
        return False
    return all(torch.equal(value, other.extra[key]) for key, value in one.extra.items())


@pytest.mark.parametrize("name", MIXED)
def test_states_that_stand_beside_each_other_are_mixed(name):
    sampler = sampler_of(name)
    assert sampler.is_mixable
    assert same(sampler.condition(0), sampler.source)
    weight, found = source_weight(2, 4), sampler.condition(2)
    texts = [sampler.backbone.embed(text) for text in CAPTIONS.texts]
    mixes = [weight * sampler.source.states + (1 - weight) * one.states for one in texts]
    (number,) = (i for i, one in enumerate(mixes) if torch.allclose(one, found.states))
    for key, value in found.extra.items():
        wanted = weight * sampler.source.extra[key] + (1 - weight) * texts[number].extra[key]
        torch.testing.assert_close(value, wanted)


@pytest.mark.parametrize("name", BY_LOT)
def test_other_states_are_of_one_text_each_less_and_less_often_the_source(name):
    sampler = sampler_of(name, count=400)
    assert not sampler.is_mixable
    assert same(sampler.condition(0), sampler.source)
    texts = [sampler.backbone.embed(text) for text in CAPTIONS.texts]
    found = [sampler.condition(number) for number in range(100, 300, 2)]
    sources = sum(same(one, sampler.source) for one in found)
    assert all(any(same(one, text) for text in (*texts, sampler.source)) for one in found)
    assert 35 <= sources <= 65  # half of 100, of standard deviation 5


def test_pictures_are_kept_and_each_is_the_same_whatever_else_is_sampled(tmp_path):
    told = []
    samples = sampler_of("sd3")(tmp_path / "a", key="k", progress=lambda *at: told.append(at))
    assert told == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    (tmp_path / "a" / "0002.safetensors").unlink()
    again = sampler_of("sd3")(tmp_path / "a", key="k")
    for one, other in zip(samples, again, strict=True):
        assert torch.equal(one.noising.clean, other.noising.clean)
    assert len({one.noising.clean.sum().item() for one in samples}) == 4
    assert samples[0].noising.clean.shape == (1, 16, 4, 4)


def test_what_a_network_is_told_beside_states_is_kept(tmp_path):
    sampler = sampler_of("sd3", count=2)
    for _ in range(2):  # made, and read again
        for number, sample in enumerate(sampler(tmp_path, key="a")):
            assert sample.words.extra.keys() == {"pooled"}
            assert same(sample.words, sampler.condition(number))


def test_captions_decide_what_is_sampled():
    backbone = with_text("sd3", SMALL["sd3"]()).wrapped()
    words = backbone.embed("")
    one, other = (
        SampledPictures(backbone, captions, Sampling(2), 16, 0).key(words)
        for captions in (CAPTIONS, Captions(CAPTIONS.texts[:2]))
    )
    assert one != other


def test_a_prior_is_of_the_states_of_one_encoder_alone():
    assert takes_prior(fk.load_backbone("random"))
    backbone = with_text("flux2", SMALL["flux2"]()).wrapped()
    assert not takes_prior(backbone)
    with pytest.raises(ConfigError, match="small is told more, or in texts of any length"):
        fit_prior(backbone, ("a face", "a stone"))
