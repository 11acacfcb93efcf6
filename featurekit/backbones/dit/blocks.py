"""What can be read from a transformer on tokens, from its config alone. Imports no torch."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from featurekit.core.types import Tap


class Part(NamedTuple):
    """Something to be read in every block of a stack."""

    name: str  # behind that of the block, "" of its output
    path: str  # inside the block, "" of the block itself
    role: str
    channels: int
    form: str = "tokens"  # of the picture; "words" of the text; "heads" of an attention map
    side: str = "out"  # "out0", "out1": which of the tensors that a module returns
    place: str = "all"  # of the picture's tokens in a tensor with those of the text: first, last


class Stack(NamedTuple):
    """Blocks of one kind, one behind the other."""

    name: str  # of a block, before its number
    path: str  # of the list that they are in
    numbers: range  # of its blocks
    parts: tuple[Part, ...]  # the output of the block first


def block_taps(stacks: Iterable[Stack], stride: int) -> Iterator[Tap]:
    """List the maps that the blocks give, in the order of a forward.

    Args:
        stacks: in the order of a forward.
        stride: pixels of the input image per token.

    Yields:
        A tap for each block of the picture; blocks of words give no maps.
    """
    for stack in stacks:
        for number in stack.numbers:
            if stack.parts[0].form != "words":
                yield _tap(stack, number, stack.parts[0], stride)


def inner_taps(stacks: Iterable[Stack], stride: int) -> Iterator[Tap]:
    """List what lies inside the blocks, in the order of a forward.

    Args:
        stacks: in the order of a forward.
        stride: pixels of the input image per token.

    Yields:
        A tap for each part but those of ``block_taps``.
    """
    for stack in stacks:
        for number in stack.numbers:
            for part in stack.parts[stack.parts[0].form != "words" :]:
                yield _tap(stack, number, part, stride)


def _tap(stack: Stack, number: int, part: Part, stride: int) -> Tap:
    block, path = f"{stack.name}{number}", f"{stack.path}.{number}"
    return Tap(
        name=f"{block}.{part.name}" if part.name else block,
        path=f"{path}.{part.path}" if part.path else path,
        role=part.role,
        channels=part.channels,
        stride=0 if part.form == "words" else stride,
        side=part.side,
        form=part.form,
        place=part.place,
    )
