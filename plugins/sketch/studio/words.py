"""What errors of a run say, in words of the page: no settings of a command, no file's place."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from featurekit.core.errors import FeatureKitError, UnknownNameError

WORDS = (
    (re.compile(r"set plugin\.fit=true to have it mended"), "turn mending on"),
    (
        re.compile(r"image=FILE and plugin\.drawing=FILE are not swapped"),
        "the picture and its drawing are not swapped",
    ),
    (
        re.compile(r"styles that are mixed must read pictures alike and draw .*", re.DOTALL),
        "styles that are mixed must have been learnt with the same seed, settings and kind of "
        "ink, and these were not; choose others, or learn one of them again",
    ),
    (re.compile(r"styles that are mixed must be of plugin\.network=two_scales, got one of \w+.*"),
     "a style that the published network learnt cannot be mixed; choose it alone"),
    (re.compile(r"set backbone=(\S+), or"), r"open the studio with backbone=\1, or"),
    (re.compile(r"; run the same command with out=\S+ to go on"), "; start it again to go on"),
)  # fmt: skip


def in_words(sentence: str, names: Mapping[Path, str] | None = None) -> str:
    """Say a sentence without settings of a command.

    Args:
        sentence: of an error, or of what was mended.
        names: what a person calls the files that it may name.
    """
    for path, name in (names or {}).items():
        sentence = sentence.replace(str(path), name)
    for pattern, words in WORDS:
        sentence = pattern.sub(words, sentence)
    return sentence


@contextmanager
def spoken(names: Mapping[Path, str] | None = None) -> Iterator[None]:
    """Say a person's mistakes in the block in words of the page.

    Raises:
        FeatureKitError: of the same kind.
    """
    try:
        yield
    except FeatureKitError as error:
        said = in_words(str(error), names)
        if said == str(error):
            raise
        raise _alike(error, said) from error


def _alike(error: FeatureKitError, said: str) -> FeatureKitError:
    """An error of the same kind with another sentence."""
    if isinstance(error, UnknownNameError):  # it makes its own sentence
        return FeatureKitError(said)
    return type(error)(said)
