"""What can be read from a transformer on tokens, from its config alone. Imports no torch."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

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


def double_and_single(
    config: Mapping[str, Any], double: tuple[Part, ...], single: tuple[Part, ...]
) -> tuple[Stack, Stack]:
    """Stack blocks with text and picture apart, and then blocks with both together.

    Args:
        config: of a transformer that names ``num_layers`` and ``num_single_layers``.
        double: parts of the first.
        single: parts of the others.

    Returns:
        Both stacks.
    """
    return (
        Stack("double", "transformer_blocks", range(config["num_layers"]), double),
        Stack("single", "single_transformer_blocks", range(config["num_single_layers"]), single),
    )


def double_parts(width: int, heads: int, norm: Part) -> tuple[Part, ...]:
    """List the parts of a block that returns text and picture and attends to both.

    Args:
        width: channels of its tokens.
        heads: of its attention.
        norm: where its modulated picture is read.

    Returns:
        The output of the block first.
    """
    return (
        Part("", "", "double", width, side="out1"),
        Part("in", "", "double_in", width, side="in"),
        Part("words", "", "words", width, "words", side="out0"),
        norm,
        Part("attn", "attn", "joint_attention", width, side="out0"),
        *(Part(f"attn.{one}", f"attn.to_{one}", f"joint_{one}", width) for one in "qkv"),
        *(
            Part(f"words.{one}", f"attn.add_{one}_proj", f"words_{one}", width, "words")
            for one in "qkv"
        ),
        Part("attn.map", "attn", "joint_map", heads, "heads", side="map"),
        Part("ff", "ff", "ff", width),
    )


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
