"""A LoRA comes back from its file to the last bit, and another file is refused in a sentence."""

import pytest
import torch

from featurekit.backbones.lora import Lora, LoraRecipe
from featurekit.backbones.lora_file import load_lora, save_lora
from featurekit.core.errors import ConfigError
from featurekit.images.io import write_tensors

RECIPE = LoraRecipe(rank=2, alpha=3.5, learning_rate=1e-3, steps=2, batch=5, targets=("to_q",))


def lora():
    draw = torch.Generator().manual_seed(0)
    weights = {
        "a.to_q.lora_A.weight": torch.randn(2, 5, generator=draw),
        "a.to_q.lora_B.weight": torch.randn(7, 2, generator=draw),
    }
    return Lora(weights, RECIPE, (0.1, 1 / 3))


def test_it_comes_back_to_the_last_bit(tmp_path):
    found = load_lora(save_lora(lora(), tmp_path / "lora.safetensors"))
    assert found.recipe == RECIPE
    assert found.losses == (0.1, 1 / 3)
    assert set(found.weights) == set(lora().weights)
    for name, weight in lora().weights.items():
        assert torch.equal(found.weights[name], weight)


def test_an_update_without_steps_has_no_losses(tmp_path):
    found = load_lora(save_lora(Lora(lora().weights, RECIPE), tmp_path / "lora.safetensors"))
    assert found.losses == ()


@pytest.mark.parametrize(
    ("tensors", "metadata", "message"),
    [
        ({"losses": torch.zeros(1)}, None, "is of format None"),
        ({"losses": torch.zeros(1)}, {"format": "featurekit.lora"}, "'recipe'"),
        ({"x": torch.zeros(1)}, {"format": "featurekit.lora", "recipe": "{}"}, "'losses'"),
        ({"losses": torch.zeros(1)}, {"format": "featurekit.lora", "recipe": "{}"}, "'targets'"),
        ({"losses": torch.zeros(1)}, {"format": "featurekit.lora", "recipe": "{"}, "damaged"),
    ],
)
def test_another_file_is_refused(tmp_path, tensors, metadata, message):
    path = write_tensors(tensors, tmp_path / "other.safetensors", metadata)
    with pytest.raises(ConfigError, match=f"must be a whole file of save_lora.*{message}"):
        load_lora(path)


def test_half_a_file_is_refused(tmp_path):
    path = save_lora(lora(), tmp_path / "lora.safetensors")
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ConfigError, match=r"whole \.safetensors file"):
        load_lora(path)
