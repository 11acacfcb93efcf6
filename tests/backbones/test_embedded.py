"""The embedded model: loads from the package alone, and was really trained."""

import torch

from featurekit.backbones import embedded, random
from featurekit.backbones.folder import embedded_folder
from featurekit.core.metrics import psnr
from featurekit.diffusion.steps import noised
from featurekit.images.io import load_image
from featurekit.scenes import HELD_OUT_SEEDS, scene


def picture(place):
    """A picture of the world that it was trained on, from seeds that it never saw."""
    return load_image(scene(HELD_OUT_SEEDS[place], "face").image(64))


def test_it_loads_from_the_package_with_a_hash_for_every_weight_file():
    model = embedded.load("cpu")
    assert model.name == "embedded"
    assert len(model.weights) == 3
    assert all((embedded_folder() / name).is_file() for name in model.weights)
    assert all(len(digest) == 64 for digest in model.weights.values())


def test_half_precision_files_are_cast_to_what_was_asked_for():
    single, half = embedded.load("cpu"), embedded.load("cpu", "bfloat16")
    assert single.dtype == single.vae.dtype == single.text_encoder.dtype == torch.float32
    assert half.dtype == half.vae.dtype == half.text_encoder.dtype == torch.bfloat16


def test_decoding_gives_back_the_picture_that_was_encoded():
    model, image = embedded.load("cpu"), picture(0)
    with torch.no_grad():
        again = model.decode(model.encode(image))
    assert psnr(again, image) > 24  # a flat picture of the mean colour has about 15


def test_it_predicts_noise_better_than_chance_and_than_random_weights():
    model, control = embedded.load("cpu"), random.load("cpu")
    generator = torch.Generator().manual_seed(0)
    z0 = torch.cat([model.encode(picture(place)) for place in range(4)])
    eps = torch.randn(z0.shape, generator=generator)
    t = torch.tensor([100, 300, 500, 700])
    z = noised(z0, eps, alpha_bar=model.noise.level(t))
    errors = [
        float((each.predictor(each.embed("a face"))(z, t) - eps).square().mean())
        for each in (model, control)
    ]
    assert errors[0] < 0.5
    assert errors[1] > 0.9
