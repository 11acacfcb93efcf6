"""The recipe of 128 px, which a GPU is to train: its own networks through every stage."""

from dataclasses import replace

import pytest
import torch

from featurekit.backbones.open_clip import load as load_clip
from featurekit.backbones.unet.sd import load_folder
from featurekit.cli.router import main
from featurekit.measures import (
    measure_correspondence,
    measure_inversion,
    measure_reconstruction,
    measure_samples,
)
from featurekit.measures.model import samples
from featurekit.measures.model.card import folder_mb
from featurekit.training import recipe, stages
from featurekit.training.loop import loop
from featurekit.training.networks import clip
from featurekit.training.recipe import LARGE, RUNS
from featurekit.training.retrieval import measure_retrieval

FEW = {name: replace(getattr(LARGE, name), samples=4, batch=4, warm_up=1) for name in RUNS}
WATCHED = {"scenes,vae,latents,unet": 2, "clip": 64}  # held-out scenes, by stages


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a training of one step a stage."""
    folder = tmp_path_factory.mktemp("large")
    with pytest.MonkeyPatch.context() as patch:
        few = replace(LARGE, scenes=6, drawings=4, **FEW)
        patch.setattr(recipe, "RECIPES", {LARGE.name: few})
        patch.setattr(clip, "SETTLED", 1)
        patch.setattr(loop, "_trusted", lambda task, device: ("fp32",))  # no race of precisions
        for names, count in WATCHED.items():
            patch.setattr(stages, "WATCHED", count)
            words = [f"recipe={LARGE.name}", f"folder={folder}", "workers=1", f"stages=[{names}]"]
            assert main(["train-embedded", *words]) == 0
    return folder


@pytest.fixture(scope="module")
def backbone(trained):
    return load_folder(trained / "embedded", name="embedded", device="cpu", dtype="float32")


def test_both_models_keep_to_the_sizes_that_may_ship(trained):
    assert folder_mb(trained / "embedded") <= 25
    assert folder_mb(trained / "open_clip") <= 12


def test_a_latent_has_the_proportions_of_stable_diffusion(backbone):
    with torch.no_grad():
        latent = backbone.encode(torch.zeros(1, 3, 128, 128))
    assert latent.shape == (1, LARGE.latent_channels, 32, 32)
    assert backbone.unet.config.sample_size == 32
    assert backbone.taps["up2"].stride == 4


@pytest.mark.filterwarnings("ignore:the prompt has")  # six scenes teach few whole words
def test_every_measure_of_the_report_takes_pictures_of_this_size(trained, backbone, monkeypatch):
    monkeypatch.setattr(samples, "CALIBRATED", 12)
    monkeypatch.setattr(samples, "SHEET_GUIDANCES", (3.0,))
    judge = load_clip(trained / "open_clip", "cpu")
    assert judge.size == (128, 128)
    reconstructed = measure_reconstruction(backbone, count=1)
    inverted = measure_inversion(backbone, count=1, steps=2)
    matched = measure_correspondence(backbone, pairs=1, taps=("up2",), timesteps=(201,), ensemble=1)
    sampled = measure_samples(backbone, clip=judge, count=5, steps=2)
    found = measure_retrieval(judge, progress=lambda done, total: None)
    assert reconstructed.figures["trained"]["psnr"] > 0
    assert inverted.figures["trained"]["psnr"] > 0
    assert 0 <= matched.figures["network"]["up2 t=201"]["trained"] <= 1
    assert sampled.figures["trained"]["true"]["colour"] > 0.5  # true pictures have their colours
    assert 0 <= found.figures["retrieval"] <= 1
