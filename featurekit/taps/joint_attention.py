"""Attentions of picture and text together: what they attend with, and which token is what.

Queries and keys are turned by their place (rope) after the last module that touches them, so they
are seen where torch's attention is called.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from featurekit.core.errors import CaptureError
from featurekit.taps.hooks import first_input

_ATTENDS = "scaled_dot_product_attention"
_GIVEN = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale", "enable_gqa")
_PATCH = 2  # of a transformer that may have several, Z-Image's, the one that its pipeline takes


class _Order(NamedTuple):
    """How a processor joins its tokens."""

    picture_first: bool
    multiple: int = 1  # that the picture is filled up to
    before: int = 0  # tokens before the words that are none
    ragged: bool = False  # where a mask leaves words out, the picture begins elsewhere in each row


_ORDERS: Mapping[str, _Order] = {
    "FluxAttnProcessor": _Order(picture_first=False),  # Chroma too
    "Flux2AttnProcessor": _Order(picture_first=False),
    "Flux2ParallelSelfAttnProcessor": _Order(picture_first=False),
    "QwenDoubleStreamAttnProcessor2_0": _Order(picture_first=False),
    "AuraFlowAttnProcessor2_0": _Order(picture_first=False, before=8),  # registers
    "Lumina2AttnProcessor2_0": _Order(picture_first=False, ragged=True),
    "JointAttnProcessor2_0": _Order(picture_first=True),
    "ZSingleStreamAttnProcessor": _Order(picture_first=True, multiple=32),
}
_OWN = ("norm_q", "add_k_proj")  # parts of which a joint attention has one at least
_OF_WORDS = ("context_refiner",)  # stacks whose attentions have the processor but no picture
_NO_SOFTMAX = ("SanaLinearAttnProcessor2_0", "SanaMultiscaleAttnProcessor2_0")


@dataclass(frozen=True)
class JointTokens:
    """Which queries and keys of a joint attention are of the picture, and which of the text."""

    total: int
    picture: slice  # rows of the picture, one after another
    words: slice  # states of the text in their order; for some families padding behind them
    grid: tuple[int, int]  # rows and columns of the picture's tokens


@dataclass(frozen=True)
class Attended:
    """What one call of torch's attention was given."""

    q: Tensor  # (b heads q d)
    k: Tensor  # (b heads k d)
    mask: Tensor | None
    scale: float


def is_joint(attention: nn.Module) -> bool:
    """Tell whether an attention joins picture and text in a known way.

    Args:
        attention: any module.
    """
    # the same processor on a UNet's attention would attend to one kind of tokens
    own = any(getattr(attention, part, None) is not None for part in _OWN)
    return own and _processor(attention) in _ORDERS


def refuse_linear(attention: nn.Module, path: str) -> None:
    """Refuse an attention that computes no softmax.

    Args:
        attention: any module.
        path: where it is, for the message.

    Raises:
        CaptureError: its attention is linear.
    """
    if _processor(attention) in _NO_SOFTMAX:
        raise CaptureError(
            f"{path} must attend with a plain processor that takes a softmax to be mapped, "
            f"but its {_processor(attention)} is linear; read its output with capture"
        )


def _processor(attention: nn.Module) -> str:
    return type(getattr(attention, "processor", None)).__name__


class Watch(TorchFunctionMode):
    """Sees what torch's attention is called with while one of some modules runs."""

    def __init__(self) -> None:
        """Begin outside of all modules."""
        super().__init__()
        self._seen: list[Attended] | None = None

    def begin(self, *call: object) -> None:
        """Keep what follows; a pre-hook of a module."""
        self._seen = []

    def end(self) -> list[Attended]:
        """Give what was kept since ``begin``, and keep no more."""
        seen, self._seen = self._seen or [], None
        return seen

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the function gives
        """Call the function, and keep what it was given if it is the attention."""
        named = kwargs or {}
        if self._seen is not None and getattr(func, "__name__", "") == _ATTENDS:
            self._seen.append(_attended(dict(zip(_GIVEN, args, strict=False)) | dict(named)))
        return func(*args, **named)


def _attended(given: Mapping[str, Any]) -> Attended:
    q, k = given["query"], given["key"]
    if given.get("is_causal") or given.get("dropout_p") or k.shape[1] != q.shape[1]:
        raise CaptureError(
            "an attention must see every key, drop none and have a key for each query's head for "
            "its map to be computed; its map cannot be computed"
        )
    scale = given.get("scale")
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    return Attended(q, k, given.get("attn_mask"), scale)


def the_one(seen: list[Attended], attention: nn.Module, path: str) -> Attended:
    """Take the one call of torch's attention of a module.

    Args:
        seen: all of them.
        attention: the module.
        path: where it is, for the message.

    Returns:
        The call.

    Raises:
        CaptureError: there was none, since another backend attends, or there were several.
    """
    if len(seen) != 1:
        raise CaptureError(
            f"{path} must attend once by torch's {_ATTENDS} for its map to be computed, its "
            f"{_processor(attention)} did {len(seen)} times; call "
            f"set_attention_backend('native') on the network"
        )
    return seen[0]


def joint_tokens(
    attention: nn.Module, path: str, seen: Attended, grid: tuple[int, int] | None
) -> JointTokens | None:
    """Say which token of a joint attention is what.

    Args:
        attention: it.
        path: where it is.
        seen: what it attended with.
        grid: rows and columns of tokens that its network was given; None where that is unknown.

    Returns:
        The places, or None where they are unknown, differ by row, or are of the text alone.
    """
    order, total = _ORDERS[_processor(attention)], seen.k.shape[2]
    if grid is None or any(part in _OF_WORDS for part in path.split(".")):
        return None
    cells = grid[0] * grid[1]
    filled = -(-cells // order.multiple) * order.multiple
    elsewhere = order.ragged and seen.mask is not None and not bool(seen.mask.all())
    if elsewhere or total < filled:
        return None
    if order.picture_first:
        return JointTokens(total, slice(0, cells), slice(filled, total), grid)
    before = min(order.before, total - cells)
    return JointTokens(total, slice(total - cells, total), slice(before, total - cells), grid)


def grid_of(
    network: nn.Module, given: tuple[Any, ...], named: Mapping[str, Any]
) -> tuple[int, int] | None:
    """Find the rows and columns of tokens of the picture that a transformer is called with.

    Args:
        network: of diffusers.
        given: what it is called with by position.
        named: and by name.

    Returns:
        Rows and columns, or None where the call does not say them.
    """
    ids, shapes = named.get("img_ids"), named.get("img_shapes")
    if isinstance(ids, Tensor):  # (n 3) or (b n 4): time, row, column
        places = ids.reshape(-1, *ids.shape[-2:])[0]
        rows, columns = (int(side) + 1 for side in places[:, 1:3].amax(dim=0).tolist())
        return (rows, columns) if rows * columns == len(places) else None
    if shapes is not None:
        return (shapes[0][0][1], shapes[0][0][2]) if len(shapes[0]) == 1 else None
    latent = named.get("x", first_input(given, named))
    latent = latent[0] if isinstance(latent, list) else latent
    if not isinstance(latent, Tensor) or latent.ndim != 4:
        return None
    patch = getattr(getattr(network, "config", None), "patch_size", None) or _PATCH
    return latent.shape[-2] // patch, latent.shape[-1] // patch
