"""Where words of a prompt stand among the states that a pipeline makes of a longer text."""

import re
from typing import Any, NamedTuple

from featurekit.core.errors import BackboneError


class Spelling(NamedTuple):
    """A text that a pipeline makes states of."""

    tokenizer: Any  # a fast one of transformers
    text: str  # the prompt and what the pipeline puts around it
    before: int = 0  # tokens in front, of which no states are kept
    first: int = 0  # place of its first state among all of the prompt
    length: int | None = None  # states that are kept of it; None: all that there are


def places_in(spelling: Spelling, prompt: str, words: str, length: int) -> tuple[int, ...]:
    """Find words of a prompt among the states of a text that a pipeline makes of it.

    Args:
        spelling: the text.
        prompt: as it stands in the text.
        words: one word of it or several in their order, wherever they stand in it, written as
            there.
        length: states that are kept.

    Returns:
        The place of every token that shares a letter with them, counted from 0; none where they
        are not in the prompt, or beyond what is read of it.

    Raises:
        BackboneError: the tokenizer does not say which letters a token is of.
    """
    tokenizer, text = spelling.tokenizer, spelling.text
    if not getattr(tokenizer, "is_fast", False):
        raise BackboneError(
            f"the tokenizer must say where its tokens are for words to be found, but a "
            f"{type(tokenizer).__name__} does not; load the pipeline with a fast one"
        )
    begin = text.rfind(prompt)
    sought = re.compile(rf"(?<!\w){re.escape(words.strip())}(?!\w)")
    spans = [(begin + at.start(), begin + at.end()) for at in sought.finditer(prompt)]
    spans = spans if words.strip() and begin >= 0 else []
    most = spelling.before + length
    offsets = tokenizer(text, return_offsets_mapping=True, truncation=True, max_length=most)
    return tuple(
        number - spelling.before + spelling.first
        for number, (first, last) in enumerate(offsets["offset_mapping"])
        if number >= spelling.before and any(first < end and start < last for start, end in spans)
    )
