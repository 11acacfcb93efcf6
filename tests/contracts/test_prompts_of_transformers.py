"""A prompt means to a backbone with a transformer what it means to its stock pipeline."""

import inspect

import pytest
import torch
from small_parts import as_tokens, drawn
from small_text_encoders import ENCODERS, with_text
from small_transformers import SMALL

import featurekit as fk
from featurekit.backbones.loaded.prompts import places_of
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


@pytest.mark.parametrize("name", [name for name in ENCODERS if not name.startswith("sd3")])
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
    states = [backbone.embed(text).states[0] for text in texts]
    found = backbone.token_indices("a stone of face", "stone")
    assert changed
    assert found == tuple(place - before_of(name, backbone) for place in changed)
    differ = (states[0] != states[1]).any(dim=1)
    assert found[0] == differ.nonzero().min() or name.startswith(("pixart", "flux_s", "chroma"))
    assert all(differ[place] for place in found)
    assert len(backbone.token_indices("a face of a stone", "a")) == 2
    with pytest.raises(UnknownNameError, match="no words of the prompt named 'cat'"):
        backbone.token_indices("a face", "cat")


def before_of(name, backbone):
    """Tokens of an instruction whose states are left out; Sana keeps the first one in their place.

    Its default instruction is many words, none of which the small tokenizer splits.
    """
    if name != "sana":
        return 4 if name == "qwen_image" else 0
    told = inspect.signature(type(backbone.prompts).__call__).parameters
    words = "\n".join(told["complex_human_instruction"].default).split()
    return len(words) + 1 - 2  # its encode adds an end


@pytest.mark.parametrize("name", ["sd3", "sd35"])
def test_words_of_sd3_are_found_among_the_states_of_its_clips_and_of_t5(name):
    """Another word in the place of one changes its own states and later ones, none before."""
    backbone = with_text(name, SMALL[name]()).wrapped()
    one, other = (backbone.embed(f"a face of {word}").states[0] for word in ("stone", "an"))
    found = backbone.token_indices("a face of stone", "stone")
    of_clip = places_of("stone", "a face of stone", backbone.text_encoder, backbone.tokenizer)
    assert found == (*of_clip, 77 + 3)
    differ = (one != other).any(dim=1)
    assert differ[:77].nonzero().min() == of_clip[0]
    assert differ[80]
    without = with_text(name, SMALL[name](), text_encoder_3=None, tokenizer_3=None).wrapped()
    assert without.token_indices("a face of stone", "stone") == of_clip
    long = "a " * 100 + "stone"  # beyond what the CLIPs read
    assert backbone.token_indices(long, "stone") == (77 + 100,)
    with pytest.raises(UnknownNameError, match=r"its first 256 tokens are read"):
        backbone.token_indices("a " * 300 + "stone", "stone")
    assert max(backbone.token_indices("a " * 300, "a")) == 77 + 254  # its end is the last one


def test_words_are_found_as_the_pipeline_writes_them():
    backbone = with_text("pixart_sigma", SMALL["pixart_sigma"]()).wrapped()
    assert backbone.token_indices("A Face of STONE ", "Stone") == (3,)


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
