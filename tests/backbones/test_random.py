"""The random backbone: the embedded model's shape, reproducible, and no trace in the global RNG."""

import pytest
import torch

from featurekit.backbones import embedded, random


def flat(model):
    networks = (model.unet, model.vae, model.text_encoder)
    return {
        f"{i}.{name}": weight
        for i, network in enumerate(networks)
        for name, weight in network.named_parameters()
    }


def test_equal_seeds_are_equal_weights_whatever_the_global_state():
    torch.default_generator.manual_seed(1)
    first = flat(random.load("cpu", seed=4))
    torch.default_generator.manual_seed(2)
    again, other = flat(random.load("cpu", seed=4)), flat(random.load("cpu", seed=5))
    assert all(torch.equal(weight, again[name]) for name, weight in first.items())
    assert not torch.equal(first["0.conv_in.weight"], other["0.conv_in.weight"])


def test_the_global_random_state_is_left_as_it_was():
    before = torch.get_rng_state()
    random.load("cpu")
    assert torch.equal(torch.get_rng_state(), before)


def test_it_has_the_embedded_models_shape():
    ours, theirs = random.load("cpu"), embedded.load("cpu")
    mine, trained = flat(ours), flat(theirs)
    assert {n: w.shape for n, w in mine.items()} == {n: w.shape for n, w in trained.items()}
    assert ours.taps == theirs.taps
    assert ours.tokenizer("a red face")["input_ids"] == theirs.tokenizer("a red face")["input_ids"]


def test_it_is_frozen_and_has_no_weight_files():
    model = random.load("cpu")
    assert not any(weight.requires_grad for weight in flat(model).values())
    assert not model.unet.training
    assert dict(model.weights) == {}
    assert model.name == "random"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_dtype_is_what_was_asked_for_and_nothing_is_printed(dtype, capfd):
    assert random.load("cpu", dtype).dtype == getattr(torch, dtype)
    assert capfd.readouterr() == ("", "")
