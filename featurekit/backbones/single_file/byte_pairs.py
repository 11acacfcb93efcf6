"""CLIP's tokenizer, which every Stable Diffusion reads words by, from open_clip's own list."""

import gzip
from importlib.metadata import PackageNotFoundError, distribution
from itertools import product
from pathlib import Path
from typing import Any

from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer

from featurekit.core.errors import BackboneError

END, EXCLAMATION = "<|endoftext|>", "!"  # what families fill a prompt up with; the latter is 0
LENGTH = 77  # tokens that every CLIP reads
_BEGIN = "<|startoftext|>"
_PACKAGE, _LIST = "open_clip_torch", "open_clip/bpe_simple_vocab_16e6.txt.gz"
_MERGES = 49152 - 256 - 2  # of the longer list that CLIP was trained with, behind its first line


def clip_tokenizer(padding: str) -> Any:  # noqa: ANN401 - transformers is untyped
    """Build CLIP's tokenizer.

    Args:
        padding: ``END`` as Stable Diffusion 1 and the first encoder of an XL have it, or
            ``EXCLAMATION`` as 2 and the second have it.

    Returns:
        A ``CLIPTokenizer`` of 49408 words.

    Raises:
        BackboneError: open_clip's list is not where its package is.
    """
    merges = _merges()
    signs = sorted(ByteLevel.alphabet())  # bytes that can be printed, then the others
    words = [sign + end for end, sign in product(("", "</w>"), signs)]
    words += ["".join(pair) for pair in merges]
    words += [_BEGIN, END]
    return CLIPTokenizer(
        vocab={word: number for number, word in enumerate(words)},
        merges=merges,
        pad_token=padding,
        model_max_length=LENGTH,
    )


def _merges() -> list[tuple[str, str]]:
    try:
        packed = Path(str(distribution(_PACKAGE).locate_file(_LIST))).read_bytes()
        lines = gzip.decompress(packed).decode("utf-8").split("\n")[1 : _MERGES + 1]
        return [(first, second) for first, second in (line.split() for line in lines)]
    except (PackageNotFoundError, OSError, ValueError) as error:
        raise BackboneError(
            f"the words of CLIP must lie beside open_clip as {_LIST}, got "
            f"{type(error).__name__}; install {_PACKAGE} again"
        ) from error
