"""Words of a prompt as token numbers, and where they stand among them."""

from itertools import count, takewhile
from typing import Any

from torch import Tensor

from featurekit.core.errors import UnknownNameError


def read_length(encoder: Any, tokenizer: Any) -> int:  # noqa: ANN401 - untyped libraries
    """Count the tokens that are read of a prompt.

    Args:
        encoder: ``CLIPTextModel``.
        tokenizer: its ``CLIPTokenizer``.

    Returns:
        The smaller of what both take.
    """
    return int(min(encoder.config.max_position_embeddings, tokenizer.model_max_length))


def written_out(text: str, tokenizer: Any) -> str:  # noqa: ANN401
    """Write out words that textual inversion has given several vectors, as the pipelines do.

    Args:
        text: any text.
        tokenizer: ``CLIPTokenizer``, to which a word of n vectors was added as WORD, WORD_1, ...

    Returns:
        The text with all of them in the place of such a word.
    """
    added = getattr(tokenizer, "added_tokens_encoder", {})
    for word in sorted(one.removesuffix("_1") for one in added if one.endswith("_1")):
        if word in added and word in tokenizer.tokenize(text):
            more = takewhile(added.__contains__, (f"{word}_{number}" for number in count(1)))
            text = text.replace(word, " ".join((word, *more)))
    return text


def padded_ids(prompt: str, encoder: Any, tokenizer: Any) -> tuple[Tensor, int]:  # noqa: ANN401
    """Turn a prompt into token numbers.

    Args:
        prompt: any text.
        encoder: ``CLIPTextModel``.
        tokenizer: its ``CLIPTokenizer``.

    Returns:
        Numbers (1 n), padded or cut to what is read; and how many tokens the whole prompt has.
    """
    prompt = written_out(prompt, tokenizer)
    found = len(tokenizer(prompt, truncation=False, verbose=False)["input_ids"])
    ids: Tensor = tokenizer(
        prompt,
        padding="max_length",
        max_length=read_length(encoder, tokenizer),
        truncation=True,
        return_tensors="pt",
    )["input_ids"]
    return ids, found


def places_of(words: str, prompt: str, encoder: Any, tokenizer: Any) -> tuple[int, ...]:  # noqa: ANN401
    """Find words of a prompt among the states that it becomes.

    Args:
        words: one word of it or several in their order, wherever they stand in it.
        prompt: any text.
        encoder: ``CLIPTextModel``.
        tokenizer: its ``CLIPTokenizer``.

    Returns:
        Every place, counted from 0 as the states are; a word may have several.

    Raises:
        UnknownNameError: they are not in the prompt, or beyond what is read of it.
    """
    length, prompt = read_length(encoder, tokenizer), written_out(prompt, tokenizer)
    padded = tokenizer(prompt, padding="max_length", max_length=length, truncation=True)
    ids = [  # padding may have the number of a word
        one if read else None
        for one, read in zip(padded["input_ids"], padded["attention_mask"], strict=True)
    ]
    sought = tokenizer(written_out(words, tokenizer), add_special_tokens=False)["input_ids"]
    starts = range(len(ids) - len(sought) + 1)
    found = [start for start in starts if ids[start : start + len(sought)] == sought]
    if not sought or not found:
        raise UnknownNameError(
            "words of the prompt", words, prompt.split(), f"its first {length} tokens are read"
        )
    return tuple(dict.fromkeys(at + more for at in found for more in range(len(sought))))
