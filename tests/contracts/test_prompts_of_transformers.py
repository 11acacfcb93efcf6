"""A prompt means to a backbone with a transformer what it means to its stock pipeline."""

import pytest
import torch
from small_parts import as_tokens, drawn
from small_text_encoders import ENCODERS, with_text
from small_transformers import SMALL

import featurekit as fk
from featurekit.core.errors import BackboneError, UnknownNameError
from featurekit.diffusion.flow_schedule import schedule_of

TRUE = {"true_cfg_scale": 3.0, "negative_prompt": ""}
GUIDED = {"flux_schnell": TRUE, "qwen_image": TRUE}  # others by default
LESS = {"z_image": 1.0}  # of the guidance that the stock pipeline is told
KEPT = ("use_resolution_binning",)


@pytest.fixture(scope="module", params=list(ENCODERS))
def name(request):
    return request.param


@pytest.fixture(scope="module")
def small(name):
    return with_text(name, SMALL[name]())


@pytest.fixture(scope="module")
def backbone(small):
    return small.wrapped()


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_a_run_from_a_prompt_is_that_of_the_stock_pipeline(name, small, backbone, guidance):
    rows, columns = (side * backbone.multiple // backbone.stride for side in (3, 5))
    z = drawn(1, backbone.latent_channels, rows, columns)
    asked = {"guidance_scale": guidance - LESS.get(name, 0.0)}
    asked |= GUIDED.get(name, {}) if guidance > 1 else {}
    theirs = small.pipeline(
        prompt="A face of stone",
        **{key: value for key, value in small.named.items() if key in KEPT},
        **asked,
        latents=(as_tokens(z) if small.packed else z).clone(),
        height=rows * backbone.stride,
        width=columns * backbone.stride,
        num_inference_steps=3,
        output_type="latent",
    ).images
    theirs = small.ours(theirs, z.shape)
    with torch.no_grad():
        predict = backbone.predictor(backbone.embed("A face of stone"), guidance)
        ours = fk.sample(predict, z, schedule_of(backbone.noise, 3, cells=(rows, columns)))
        other = backbone.predictor(backbone.embed("a face"), guidance)
        assert not torch.allclose(predict(z, 261), other(z, 261), atol=1e-6)
    assert (ours - theirs).norm() <= 1e-5 * theirs.norm()


def test_the_conditioning_says_its_prompt_and_has_what_the_network_is_told(small, backbone):
    encoders = [one for part, one in backbone.networks.items() if part.startswith("text_encoder")]
    for encoder in encoders:
        encoder.requires_grad_(True)
    found = backbone.embed("a face")
    assert all(weight.requires_grad for one in encoders for weight in one.parameters())
    assert found.prompt == "a face"
    assert found.extra.keys() == small.words.extra.keys() == set(backbone.EXTRA)
    assert len(found.states) == 1
    assert not any(one.requires_grad for one in (found.states, *found.extra.values()))


SPELT = ["flux_schnell", "flux2", "qwen_image", "z_image", "chroma"]


@pytest.mark.parametrize("name", SPELT)
def test_words_are_found_where_their_states_are(name):
    """Another word in the place of one changes the token that was found for it."""
    backbone = with_text(name, SMALL[name]()).wrapped()
    tokens = []
    encoder = getattr(backbone, "text_encoder_2", None) or backbone.text_encoder
    hook = encoder.register_forward_pre_hook(
        lambda module, given, named: tokens.append((given or [named["input_ids"]])[0][0]),
        with_kwargs=True,
    )
    texts = "a stone of face", "a face of face"
    lengths = [backbone.embed(text).states.shape[1] for text in texts]
    hook.remove()
    assert lengths[0] == lengths[1]
    changed = (tokens[0] != tokens[1]).nonzero().flatten().tolist()
    before = 4 if name == "qwen_image" else 0
    found = backbone.token_indices("a stone of face", "stone")
    assert changed
    assert found == tuple(place - before for place in changed)
    assert len(backbone.token_indices("a face of a stone", "a")) == 2
    with pytest.raises(UnknownNameError, match="no words of the prompt named 'cat'"):
        backbone.token_indices("a face", "cat")


def test_places_among_states_of_several_texts_are_not_said():
    backbone = with_text("sd3", SMALL["sd3"]()).wrapped()
    with pytest.raises(BackboneError, match="places of words are known where one text is read"):
        backbone.token_indices("a face", "face")


def test_without_t5_prompts_of_sd3_are_read_as_the_pipeline_reads_them():
    small = with_text("sd3", SMALL["sd3"](), text_encoder_3=None, tokenizer_3=None)
    found = small.wrapped().embed("a face")
    assert found.states.shape == (1, 77 + 256, 12)
    assert found.states[:, :77].any()
    assert not found.states[:, 77:].any()


@pytest.mark.parametrize("part", ["text_encoder_2", "tokenizer_2"])
@pytest.mark.parametrize("name", ["sd3", "flux_schnell"])
def test_a_second_encoder_that_is_missing_is_named(part, name):
    small = with_text(name, SMALL[name](), **{part: None})
    with pytest.raises(BackboneError, match=rf"small has no {part}"):
        small.wrapped().embed("a face")
