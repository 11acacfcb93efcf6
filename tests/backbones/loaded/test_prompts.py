"""Words of a prompt stand where the states say, whatever side is padded."""

import pytest

from featurekit.backbones import load
from featurekit.core.errors import UnknownNameError


@pytest.fixture(scope="module")
def model():
    return load("random", "cpu")


@pytest.mark.parametrize("side", ["right", "left"])
def test_words_are_found_among_the_tokens_that_the_encoder_reads(model, side, monkeypatch):
    monkeypatch.setattr(model.tokenizer, "padding_side", side)
    ids = model.token_ids("a red face", model.text_encoder, model.tokenizer)[0].tolist()
    (at,) = model.token_indices("a red face", "red")
    assert model.tokenizer.decode([ids[at]]).strip() == "red"
    assert (at > len(ids) // 2) is (side == "left")


def test_padding_with_the_number_of_a_word_is_no_word_of_the_prompt():
    model = load("random", "cpu")
    model.tokenizer.pad_token = ".</w>"  # as ! is in Stable Diffusion 2 and XL
    (point,) = model.tokenizer(".", add_special_tokens=False)["input_ids"]
    assert model.token_ids("a red face", model.text_encoder, model.tokenizer)[0, -1] == point
    with pytest.raises(UnknownNameError, match=r"no words of the prompt named '\.'"):
        model.token_indices("a red face", ".")
    assert len(model.token_indices("a red . face", ".")) == 1
