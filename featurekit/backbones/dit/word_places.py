"""Where words of a prompt stand among the states that a pipeline makes of a longer text."""

import re
from typing import Any

from featurekit.core.errors import BackboneError, UnknownNameError


def places_in(tokenizer: Any, text: str, prompt: str, words: str) -> tuple[int, ...]:  # noqa: ANN401
    """Find words of a prompt among the tokens of the text that a pipeline makes of it.

    Args:
        tokenizer: a fast one of transformers.
        text: the prompt and what the pipeline puts around it.
        prompt: as it was asked for.
        words: one word of it or several in their order, wherever they stand in it.

    Returns:
        Every token that shares a letter with them, counted from 0.

    Raises:
        UnknownNameError: they are not in the prompt.
        BackboneError: the tokenizer does not say which letters a token is of.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise BackboneError(
            f"the tokenizer must say where its tokens are for words to be found, but a "
            f"{type(tokenizer).__name__} does not; load the pipeline with a fast one"
        )
    begin = text.rfind(prompt)
    sought = re.compile(rf"(?<!\w){re.escape(words.strip())}(?!\w)")
    spans = [(begin + at.start(), begin + at.end()) for at in sought.finditer(prompt)]
    spans = spans if words.strip() and begin >= 0 else []
    offsets = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    found = [
        number
        for number, (first, last) in enumerate(offsets)
        if any(first < end and start < last for start, end in spans)
    ]
    if not found:
        raise UnknownNameError("words of the prompt", words, prompt.split())
    return tuple(found)
