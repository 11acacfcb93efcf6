"""Diffusers folders with standard names, written by diffusers itself."""

import shutil

import pytest
from diffusers import DDIMScheduler, PNDMScheduler, StableDiffusionPipeline
from reduced import reduced_configs

from featurekit.backbones.unet import sd

SCHEDULERS = {"sd15": PNDMScheduler, "sd21": DDIMScheduler}


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """Write a narrow model of a family as a diffusers folder; do not change it."""
    made = {}

    def write(name):
        if name not in made:
            configs = reduced_configs(name)
            model = sd.build(name, configs, device="cpu", seed=1)
            pipe = StableDiffusionPipeline(
                vae=model.vae,
                text_encoder=model.text_encoder,
                tokenizer=model.tokenizer,
                unet=model.unet,
                scheduler=SCHEDULERS[name].from_config(configs["scheduler"]),
                safety_checker=None,
                feature_extractor=None,
                requires_safety_checker=False,
            )
            pipe.set_progress_bar_config(disable=True)
            made[name] = tmp_path_factory.mktemp("models") / name
            pipe.save_pretrained(made[name])
        return made[name]

    return write


@pytest.fixture
def folder(written, tmp_path):
    """A narrow SD 1.5 folder that a test may damage."""
    return shutil.copytree(written("sd15"), tmp_path / "model")
