"""Words of a prompt stand where the states say, whatever side is padded."""

import pytest

from featurekit.backbones import load


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
