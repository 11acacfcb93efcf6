"""What a drag holds at once on SD 1.5 at 512 px: live bytes of tensors, weights apart, counted."""

import pytest
import torch
from drag_calls import rows_of
from live_bytes import peak_bytes
from omegaconf import OmegaConf

import featurekit as fk
from featurekit.backbones import load
from featurekit.backbones.unet import sd
from featurekit.core.types import Conditioning
from featurekit.taps.attention_sharing import self_attention_paths, share_attention
from featurekit.taps.capture import capture
from featurekit_drag.config import settings_of
from featurekit_drag.engine.unet_features import feature_and_step_reader

PARTS = ("up_blocks.2", "up_blocks.3")


@pytest.fixture(scope="module")
def meta():
    return sd.from_config("sd15", device="meta")


@pytest.fixture(scope="module")
def latent():
    return torch.zeros(1, 4, 64, 64, device="meta")


@pytest.fixture(scope="module")
def predict(meta):
    states = torch.zeros(1, 77, 768, device="meta")
    return meta.predictor(Conditioning(states=states, prompt=""))


@pytest.fixture(scope="module")
def balanced(meta, latent, predict):
    """Peaks of the calls of one drag by ``drag_balanced``, with as many rows as it gives them."""
    most = rows_of(load("random", device="cpu"), "drag_balanced")[2]

    def encode():
        meta.encode(torch.zeros(most["encode"], 3, 512, 512, device="meta"))

    def features():
        with capture(meta.unet, {"up2": meta.taps["up2"].path}, stop_after=True):
            predict(latent.expand(most["features"], -1, -1, -1), 201)

    def redraw():
        paths = self_attention_paths(meta.unet, PARTS)
        with share_attention(meta.unet, paths, rows=most["redraw"]):
            predict(latent.expand(most["redraw"], -1, -1, -1), 201)

    def decode():
        meta.decode(latent.expand(most["decode"], -1, -1, -1))

    with torch.no_grad():
        return {one.__name__: peak_bytes(one) for one in (encode, features, redraw, decode)}


@pytest.fixture(scope="module")
def published(meta, latent, predict):
    """Peaks of an update of ``drag_dragdiffusion`` and of a step of its LoRA, layers apart."""
    words = ["plugin=drag", "experiment=drag_dragdiffusion", "backbone=sd15"]
    config = OmegaConf.to_object(fk.compose(words).plugin)
    read = feature_and_step_reader(meta, settings_of(config), predict)

    def update():
        with torch.no_grad():
            first = read(latent)
        found = read(latent.clone().requires_grad_(True))
        apart = (found.field - first.field).abs().sum()
        (apart + (found.next_latent - first.next_latent).abs().sum()).backward()

    def fit():
        rows = latent.repeat(config.lora_batch, 1, 1, 1).requires_grad_(True)
        (predict(rows, 201) ** 2).mean().backward()

    return {one.__name__: peak_bytes(one) for one in (update, fit)}


def test_a_planned_drag_holds_at_most_half_of_the_published_one(balanced, published):
    plan = 4 * 640 * 256**2  # features at every unit, which stay while the hole is redrawn
    assert max(balanced.values()) + plan <= 0.5 * max(published.values())


def test_on_the_device_it_holds_half_of_a_published_update_alone(balanced, published):
    # what the autoencoder holds of one picture is the most; a plan's features lie on the CPU
    assert max(balanced, key=balanced.get) == "decode"
    assert max(balanced.values()) <= 0.5 * published["update"]
