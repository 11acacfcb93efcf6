"""Small text encoders with random weights, put into small pipelines."""

from dataclasses import replace

from small_parts import of_seed
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    Gemma2Config,
    Gemma2Model,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3Model,
    T5Config,
    T5EncoderModel,
)

from featurekit.backbones.folder import embedded_folder
from featurekit.backbones.sources.folder_parts import read_tokenizer

WORDS = ("<pad>", "</s>", "<unk>", "a", "face", "of", "stone", "an", "assistant", "prompt")


def word_tokenizer():
    """A number for each word that it knows, and one behind the last."""
    plain = Tokenizer(WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="<unk>"))
    plain.pre_tokenizer = WhitespaceSplit()
    plain.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=plain,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=512,
    )


def t5(width=12):
    """T5's encoder."""
    config = T5Config(
        vocab_size=len(WORDS), d_model=width, d_kv=4, d_ff=16, num_layers=2, num_heads=2
    )
    return of_seed(T5EncoderModel, config)


def gemma(width=12):
    """Gemma 2."""
    config = Gemma2Config(
        vocab_size=len(WORDS),
        hidden_size=width,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=6,
        max_position_embeddings=1024,
    )
    return of_seed(Gemma2Model, config)


def clip(width, projected, make=CLIPTextModelWithProjection):
    """CLIP's text encoder with the shipped tokenizer."""
    tokenizer = read_tokenizer(embedded_folder(), length=77)
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        projection_dim=projected,
        max_position_embeddings=77,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )
    return of_seed(make, config), tokenizer


def _sd3():
    first, tokenizer = clip(4, 5)
    second, tokenizer_2 = clip(6, 5)
    return {
        "text_encoder": first,
        "tokenizer": tokenizer,
        "text_encoder_2": second,
        "tokenizer_2": tokenizer_2,
        "text_encoder_3": t5(),
        "tokenizer_3": word_tokenizer(),
    }


def _flux():
    first, tokenizer = clip(10, 10, CLIPTextModel)
    return {
        "text_encoder": first,
        "tokenizer": tokenizer,
        "text_encoder_2": t5(),
        "tokenizer_2": word_tokenizer(),
    }


def _one(encoder):
    return {"text_encoder": encoder(), "tokenizer": word_tokenizer()}


def _qwen(width=12, layers=2):
    """A language model, whose tokenizer puts prompts into a conversation."""
    config = Qwen3Config(
        vocab_size=len(WORDS),
        hidden_size=width,
        intermediate_size=8,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=4,
        max_position_embeddings=1024,
    )
    tokenizer = word_tokenizer()
    tokenizer.chat_template = "{% for one in messages %}of {{ one.content }} {% endfor %}assistant"
    return {"text_encoder": of_seed(Qwen3Model, config), "tokenizer": tokenizer}


ENCODERS = {
    "flux_schnell": _flux,
    "sd3": _sd3,
    "sd35": _sd3,
    "pixart_sigma": lambda: _one(t5),
    "pixart_alpha": lambda: _one(t5),
    "sana": lambda: _one(gemma),
    "lumina2": lambda: _one(gemma),
    "flux2": lambda: _qwen(width=4, layers=28),
    "qwen_image": _qwen,
    "z_image": _qwen,
    "chroma": lambda: _one(t5),
}


def with_text(name, small, **other):
    """The same small pipeline, which can read prompts."""
    parts = {**small.pipeline.components, **ENCODERS[name](), **other}
    pipeline = type(small.pipeline)(**parts)
    if name == "qwen_image":  # of the instruction this tokenizer makes fewer tokens than Qwen's
        pipeline.prompt_template_encode_start_idx = 4
    return replace(small, pipeline=pipeline)
