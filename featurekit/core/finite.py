"""Latents that no arithmetic can go on with: of whole numbers, or with NaN or infinity inside."""

from torch import Tensor

from featurekit.core.errors import NotFiniteError, ShapeError
from featurekit.core.shapes import expect


def check_latent(z: Tensor, *, of: str = "latent") -> dict[str, int]:
    """Refuse what is no latent before anything is computed with it.

    Args:
        z: what was given.
        of: what it is, for the message.

    Returns:
        Size by axis, as ``expect`` gives it.

    Raises:
        ShapeError: it is not (b c h w), or not of a floating dtype.
        NotFiniteError: it holds NaN or infinity.
    """
    sizes = expect(z, "b c h w", of=of)
    check_floating(z, of=of)
    check_finite(z, of=of, where="where it was given")
    return sizes


def check_floating(z: Tensor, *, of: str = "latent") -> None:
    """Refuse whole numbers, which every step would round.

    Args:
        z: any tensor.
        of: what it is, for the message.

    Raises:
        ShapeError: its dtype is not floating.
    """
    if not z.is_floating_point():
        raise ShapeError(f"{of} must be of a floating dtype, got {z.dtype}; convert with .float()")


def check_finite(z: Tensor, *, of: str = "latent", where: str) -> None:
    """Refuse NaN and infinity; one look at the numbers, which on a GPU waits for them.

    Args:
        z: any tensor.
        of: what it is, for the message.
        where: at what point of a run it was looked at, for the message.

    Raises:
        NotFiniteError: it holds NaN or infinity.
    """
    finite = z.isfinite()
    if not bool(finite.all()):
        rows = (~finite.flatten(1).all(1)).nonzero().flatten().tolist()
        raise NotFiniteError(
            f"{of} must be finite, got NaN or infinity {where}, in rows {rows} of {len(z)}"
        )


def at_level(level: int, t: float | None) -> str:
    """Say where in a run a latent is.

    Args:
        level: noise level.
        t: train timestep of the level, None of the clean end.
    """
    return f"at level {level} ({'the clean end' if t is None else f'timestep {t:g}'})"
