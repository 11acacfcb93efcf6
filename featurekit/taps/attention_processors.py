"""Processors of attentions: which can be shared or give maps, and the one that reads other rows."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from inspect import signature
from typing import Any

from torch import Tensor, nn

from featurekit.core.errors import CaptureError, UnknownNameError
from featurekit.core.shapes import expect
from featurekit.taps.hooks import opened
from featurekit.taps.parts import refuse_compiled
from featurekit.taps.recomputation import Block, kept_in_recomputations

# settings under which a processor treats encoder_hidden_states unlike its own hidden states
_UNLIKE = ("group_norm", "spatial_norm", "norm_cross")

Reference = Callable[[Tensor, Block], Tensor]
"""Rows that are read in the place of an attention's own, in a block."""

_PLAIN = {  # to_q of the rows; to_k, to_v of the rows or of the other states that they are given
    "AttnProcessor",
    "AttnProcessor2_0",
    "AttnProcessorNPU",
    "SlicedAttnProcessor",
    "XFormersAttnProcessor",
    "XLAFlashAttnProcessor2_0",
}
_OF_FAMILIES = {"SanaAttnProcessor2_0"}  # the same in a file of its own: its maps are known
_WORDS_APART = {  # the same for the words, and pictures beside them
    "IPAdapterAttnProcessor",
    "IPAdapterAttnProcessor2_0",
    "IPAdapterXFormersAttnProcessor",
}
_STATES = "encoder_hidden_states"
_ADVICE = "call set_default_attn_processor, or leave it out"


def refuse_unshareable(attention: nn.Module, path: str) -> None:
    """Refuse an attention whose processor would not read other rows as it reads its own.

    Args:
        attention: an attention of diffusers.
        path: where it is, for the message.

    Raises:
        CaptureError: its processor is another one of diffusers, or takes no other states.
    """
    processor = getattr(attention, "processor", None)
    if _is_other(processor, _PLAIN):
        raise CaptureError(
            f"{path} must attend with a plain processor to read other rows, but it has a "
            f"{type(processor).__name__}; {_ADVICE}"
        )
    if not callable(processor) or _STATES not in signature(processor).parameters:
        raise CaptureError(
            f"the processor of {path} must take {_STATES} to read other rows, but a "
            f"{type(processor).__name__} does not; {_ADVICE}"
        )


def refuse_unmapped(attention: nn.Module, path: str) -> None:
    """Refuse an attention whose map is not that of its projected queries and keys.

    Args:
        attention: an attention of diffusers.
        path: where it is, for the message.

    Raises:
        CaptureError: its processor is another one of diffusers.
    """
    processor = getattr(attention, "processor", None)
    if _is_other(processor, _PLAIN | _OF_FAMILIES | _WORDS_APART):
        raise CaptureError(
            f"{path} must attend with a plain processor for its map to be computed, but it has a "
            f"{type(processor).__name__}; {_ADVICE}"
        )


def _is_other(processor: object, known: set[str]) -> bool:
    """Of diffusers and not known; what a person wrote is taken by what it accepts."""
    kind = type(processor)
    return kind.__module__.partition(".")[0] == "diffusers" and kind.__name__ not in known


class _Referring:
    """A processor that hands its wrapped one other rows to read keys and values from."""

    def __init__(self, wrapped: Any, reference: Reference, block: Block) -> None:  # noqa: ANN401
        self.wrapped = wrapped  # any processor
        self.reference = reference
        self.block = block

    # diffusers reads this signature to decide what it may pass on
    def __call__(
        self,
        attn: nn.Module,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        given = {
            "encoder_hidden_states": encoder_hidden_states,
            "attention_mask": attention_mask,
            "temb": temb,
        }
        # not every processor takes all of them, and diffusers' attentions give them as None
        given = {name: value for name, value in given.items() if value is not None}
        if self.block.is_meant():
            if encoder_hidden_states is not None or attention_mask is not None:
                extra = "a mask" if attention_mask is not None else "other states to attend to"
                raise CaptureError(
                    f"a shared self-attention must be given its rows alone, got {extra}"
                )
            expect(hidden_states, "b n d", of="hidden states of a self-attention")
            given["encoder_hidden_states"] = self.reference(hidden_states, self.block)
        out: Tensor = self.wrapped(attn, hidden_states, **given)
        return out


@contextmanager
def reading_other_rows(unet: nn.Module, references: dict[str, Reference]) -> Iterator[None]:
    """Let self-attentions read keys and values of other rows while a block runs.

    Args:
        unet: a diffusers network.
        references: what makes the other rows from an attention's own (b n d), by its path.

    Yields:
        Nothing; the processors are restored at the end.

    Raises:
        UnknownNameError: a path names no self-attention.
        CaptureError: an attention cannot be shared, or a part of the network passed over.
    """
    opened(unet, references, of="references must be functions by path")
    known = self_attentions(unet)
    for path in references:
        if path not in known:
            raise UnknownNameError("self-attention", path, known)
        _check_shareable(unet, known[path], path)

    @contextmanager
    def sharing() -> Iterator[None]:
        with ExitStack() as undo:
            for path, reference in references.items():
                attention = known[path]
                undo.callback(attention.set_processor, attention.processor)
                attention.set_processor(_Referring(attention.processor, reference, block))
            yield

    with kept_in_recomputations(unet, sharing) as block, sharing():
        yield


def _check_shareable(unet: nn.Module, attention: Any, path: str) -> None:  # noqa: ANN401
    refuse_compiled(unet, path)
    # no default: a diffusers that renames one of these must be noticed
    unlike = [name for name in _UNLIKE if getattr(attention, name) not in (None, False)]
    # diffusers leaves this flag set when it is undone and puts the own processors back
    if attention.fused_projections and type(attention.processor).__name__ not in _PLAIN:
        unlike.append("fused_projections")
    if unlike:
        raise CaptureError(
            f"{path} must read plain hidden states to be shared, but it has {unlike[0]}; "
            f"unfuse its projections or leave it out"
        )
    if isinstance(attention.processor, _Referring):
        raise CaptureError(
            f"{path} must read its own rows to be shared, but it reads others already; "
            f"leave the block that shares it first"
        )
    refuse_unshareable(attention, path)


def self_attentions(unet: nn.Module) -> dict[str, Any]:
    """List the modules named attn1 that read their own rows.

    Args:
        unet: a diffusers network.

    Returns:
        Attentions by path; with only_cross_attention they read other rows and are none.
    """
    return {
        path: module
        for path, module in unet.named_modules()
        if path.rpartition(".")[2] == "attn1" and not getattr(module, "is_cross_attention", True)
    }
