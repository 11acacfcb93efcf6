"""One-step maps of flow matching, where ``z = (1 - sigma) x0 + sigma eps`` and ``v = eps - x0``.

Sigmas are 0-dim float64 on the CPU, or (b 1 1 1) for one level per image. A 0-dim one never changes
the dtype of a latent; one per image is rounded to it. ``steps.py`` has diffusion's maps.
"""

from torch import Tensor

from featurekit.core.errors import NoiseLevelError
from featurekit.diffusion.steps import check_pair, fitted


def flow_noised(x0: Tensor, eps: Tensor, *, sigma: Tensor) -> Tensor:
    """Carry a clean latent to a noise level with a given noise.

    Args:
        x0: clean latent, (b c h w), scaled by the VAE factor.
        eps: noise, same shape and dtype, unit variance.
        sigma: share of noise to reach, 0-dim or (b 1 1 1), in [0, 1].

    Returns:
        Latent at ``sigma``, (b c h w), dtype and device of ``x0``.

    Raises:
        NoiseLevelError: sigma is outside [0, 1].
        ShapeError: shape or dtype differ.

    Source: Lipman et al. 2023, arXiv:2210.02747, eq. 22 with sigma_min = 0, read from the noise
    at 1; Liu et al. 2023, arXiv:2209.03003, eq. 1.
    """
    check_pair(eps, x0, "eps")
    inside = _checked(sigma)
    return fitted(1 - inside, x0) * x0 + fitted(inside, x0) * eps


def flow_step(z: Tensor, v: Tensor, *, sigma_from: Tensor, sigma_to: Tensor) -> Tensor:
    """Carry a latent from one noise level to another along a straight line: Euler's step.

    The same map denoises (``sigma_to < sigma_from``) and inverts; only the order differs.

    Args:
        z: latent at ``sigma_from``, (b c h w), scaled by the VAE factor.
        v: velocity the model predicts, ``eps - x0``, same shape and dtype.
        sigma_from: share of noise in ``z``, 0-dim or (b 1 1 1), in [0, 1].
        sigma_to: share to reach, likewise.

    Returns:
        Latent at ``sigma_to``, (b c h w), dtype and device of ``z``.

    Raises:
        NoiseLevelError: a sigma is outside [0, 1].
        ShapeError: shape or dtype differ.

    Source: Liu et al. 2023, arXiv:2209.03003, section 2.1, Euler's method on eq. 1.
    """
    check_pair(v, z, "v")
    return z + fitted(_checked(sigma_to) - _checked(sigma_from), z) * v


def eps_from_flow(v: Tensor, z: Tensor, *, sigma: Tensor) -> Tensor:
    """Convert the velocity of a rectified flow to the noise at its end.

    Here ``z = (1 - sigma) x0 + sigma eps`` and ``v = eps - x0``, which is not the v of
    ``eps_from_v``.

    Args:
        v: velocity the model predicts for ``z``, (b c h w), same dtype.
        z: latent, (b c h w).
        sigma: share of noise in ``z``, 0-dim or (b 1 1 1), in [0, 1].

    Returns:
        eps, (b c h w), dtype and device of ``z``.

    Raises:
        NoiseLevelError: sigma is outside [0, 1].
        ShapeError: shape or dtype differ.

    Source: Liu et al. 2023, arXiv:2209.03003, eq. 1, with the noise at sigma = 1.
    """
    check_pair(v, z, "v")
    return z + fitted(1 - _checked(sigma), z) * v


def x0_from_flow(v: Tensor, z: Tensor, *, sigma: Tensor) -> Tensor:
    """Convert the velocity of a rectified flow to the clean latent at its start.

    Args:
        v: velocity ``eps - x0`` the model predicts for ``z``, (b c h w), same dtype.
        z: latent ``(1 - sigma) x0 + sigma eps``, (b c h w).
        sigma: share of noise in ``z``, 0-dim or (b 1 1 1), in [0, 1].

    Returns:
        x0, (b c h w), dtype and device of ``z``.

    Raises:
        NoiseLevelError: sigma is outside [0, 1].
        ShapeError: shape or dtype differ.

    Source: Liu et al. 2023, arXiv:2209.03003, eq. 1, with the noise at sigma = 1.
    """
    check_pair(v, z, "v")
    return z - fitted(_checked(sigma), z) * v


def _checked(sigma: Tensor) -> Tensor:
    inside = (sigma >= 0) & (sigma <= 1)
    if not bool(inside.all()):
        bad = float(sigma[~inside].flatten()[0])
        raise NoiseLevelError(f"sigma must lie in [0, 1], got {bad:.6g}")
    return sigma
