"""One-step maps: between noise levels, and between the things a network may predict.

Levels are 0-dim float64 on the CPU, or (b 1 1 1) for one level per image; square roots are taken
in float64. A 0-dim level never changes the dtype of a latent; a level per image is rounded to it.
"""

from torch import Tensor

from featurekit.core.errors import NoiseLevelError, ShapeError
from featurekit.core.precision import rounded


def denoised(z: Tensor, eps: Tensor, *, alpha_bar: Tensor) -> Tensor:
    """Estimate the clean latent by taking the predicted noise out.

    Args:
        z: latent at ``alpha_bar``, (b c h w), scaled by the VAE factor.
        eps: noise the model predicts for ``z``, same shape and dtype, unit variance.
        alpha_bar: cumulative signal level of ``z``, 0-dim or (b 1 1 1), in (0, 1].

    Returns:
        x0, (b c h w), dtype and device of ``z``.

    Raises:
        NoiseLevelError: the level is outside (0, 1].
        ShapeError: shape or dtype differ.

    Source: Song et al. 2021, arXiv:2010.02502, eq. 9.
    """
    check_pair(eps, z, "eps")
    signal, noise = _amplitudes(alpha_bar, z, "alpha_bar")
    return (z - noise * eps) / signal


def ddim_step(z: Tensor, eps: Tensor, *, alpha_bar_from: Tensor, alpha_bar_to: Tensor) -> Tensor:
    """Carry a latent from one noise level to another along the DDIM path.

    The same map denoises (``alpha_bar_to > alpha_bar_from``) and inverts
    (``alpha_bar_to < alpha_bar_from``); only the order of levels differs.

    Args:
        z: latent at ``alpha_bar_from``, (b c h w), scaled by the VAE factor.
        eps: noise the model predicts for ``z``, same shape and dtype, unit variance.
        alpha_bar_from: cumulative signal level of ``z``, 0-dim or (b 1 1 1), in (0, 1].
        alpha_bar_to: level to reach, likewise.

    Returns:
        Latent at ``alpha_bar_to``, (b c h w), dtype and device of ``z``.

    Raises:
        NoiseLevelError: a level is outside (0, 1].
        ShapeError: shape or dtype differ.

    Source: Song et al. 2021, arXiv:2010.02502, eq. 12 with sigma = 0.
    """
    check_pair(eps, z, "eps")
    signal_from, noise_from = _amplitudes(alpha_bar_from, z, "alpha_bar_from")
    signal_to, noise_to = _amplitudes(alpha_bar_to, z, "alpha_bar_to")
    x0 = (z - noise_from * eps) / signal_from
    return signal_to * x0 + noise_to * eps


def ddpm_mean(z: Tensor, eps: Tensor, *, alpha_bar_from: Tensor, alpha_bar_to: Tensor) -> Tensor:
    """Step down to the mean of what the ancestral sampler draws from.

    Args:
        z: latent at ``alpha_bar_from``, (b c h w), scaled by the VAE factor.
        eps: noise the model predicts for ``z``, same shape and dtype, unit variance.
        alpha_bar_from: cumulative signal level of ``z``, 0-dim or (b 1 1 1), in (0, 1).
        alpha_bar_to: level to reach, likewise, in [``alpha_bar_from``, 1].

    Returns:
        Mean at ``alpha_bar_to``, (b c h w), dtype and device of ``z``; the sampler's own noise
        is left out.

    Raises:
        NoiseLevelError: a level is outside (0, 1], or a step leaves from 1 or goes up.
        ShapeError: shape or dtype differ.

    Source: Ho et al. 2020, arXiv:2006.11239, eq. 7, as eq. 12 of Song et al. 2021,
    arXiv:2010.02502, with eta = 1.
    """
    if bool((alpha_bar_from >= 1).any()) or bool((alpha_bar_to < alpha_bar_from).any()):
        raise NoiseLevelError("an ancestral step must lead from below 1 to no lower an alpha_bar")
    x0 = denoised(z, eps, alpha_bar=alpha_bar_from)
    # what sigma leaves of the noise: 1 - to - sigma^2 is the square of this
    left = (1 - alpha_bar_to) * (alpha_bar_from / (alpha_bar_to * (1 - alpha_bar_from))).sqrt()
    signal, _ = _amplitudes(alpha_bar_to, z, "alpha_bar_to")
    return signal * x0 + fitted(left, z) * eps


def noised(x0: Tensor, eps: Tensor, *, alpha_bar: Tensor) -> Tensor:
    """Carry a clean latent to a noise level with a given noise.

    Args:
        x0: clean latent, (b c h w), scaled by the VAE factor.
        eps: noise, same shape and dtype, unit variance.
        alpha_bar: cumulative signal level to reach, 0-dim or (b 1 1 1), in (0, 1].

    Returns:
        Latent at ``alpha_bar``, (b c h w), dtype and device of ``x0``.

    Raises:
        NoiseLevelError: the level is outside (0, 1].
        ShapeError: shape or dtype differ.

    Source: Ho et al. 2020, arXiv:2006.11239, eq. 4.
    """
    check_pair(eps, x0, "eps")
    signal, noise = _amplitudes(alpha_bar, x0, "alpha_bar")
    return signal * x0 + noise * eps


def eps_from_v(v: Tensor, z: Tensor, *, alpha_bar: Tensor) -> Tensor:
    """Convert a predicted velocity to the noise it means.

    Args:
        v: velocity the model predicts for ``z``, (b c h w), same dtype.
        z: latent, (b c h w).
        alpha_bar: level the model was told, which is the level of ``z`` only off inversion,
            0-dim or (b 1 1 1), in (0, 1].

    Returns:
        eps, (b c h w), dtype and device of ``z``.

    Raises:
        NoiseLevelError: the level is outside (0, 1].
        ShapeError: shape or dtype differ.

    Source: Salimans and Ho 2022, arXiv:2202.00512, appendix D.
    """
    check_pair(v, z, "v")
    signal, noise = _amplitudes(alpha_bar, z, "alpha_bar")
    return signal * v + noise * z


def v_from_eps(eps: Tensor, z: Tensor, *, alpha_bar: Tensor) -> Tensor:
    """Convert predicted noise to a velocity; the inverse of ``eps_from_v``.

    Args:
        eps: noise the model predicts for ``z``, (b c h w), same dtype.
        z: latent, (b c h w).
        alpha_bar: level the model was told, 0-dim or (b 1 1 1), in (0, 1].

    Returns:
        v, (b c h w), dtype and device of ``z``.

    Raises:
        NoiseLevelError: the level is outside (0, 1].
        ShapeError: shape or dtype differ.

    Source: Salimans and Ho 2022, arXiv:2202.00512, appendix D.
    """
    check_pair(eps, z, "eps")
    signal, noise = _amplitudes(alpha_bar, z, "alpha_bar")
    return (eps - noise * z) / signal


def eps_from_x0(x0: Tensor, z: Tensor, *, alpha_bar: Tensor) -> Tensor:
    """Convert a clean estimate to the noise it leaves; the inverse of ``denoised``.

    Args:
        x0: clean latent the model predicts for ``z``, (b c h w), same dtype.
        z: latent, (b c h w).
        alpha_bar: cumulative signal level of ``z``, 0-dim or (b 1 1 1), in (0, 1): a clean latent
            says nothing about its noise.

    Returns:
        eps, (b c h w), dtype and device of ``z``.

    Raises:
        NoiseLevelError: the level is outside (0, 1).
        ShapeError: shape or dtype differ.

    Source: Song et al. 2021, arXiv:2010.02502, eq. 9 solved for eps.
    """
    check_pair(x0, z, "x0")
    signal, noise = _amplitudes(alpha_bar, z, "alpha_bar")
    if bool((alpha_bar == 1).any()):
        raise NoiseLevelError("alpha_bar must lie in (0, 1) to leave a noise, got 1")
    return (z - signal * x0) / noise


def check_pair(other: Tensor, z: Tensor, name: str) -> None:
    """Refuse two tensors that broadcasting or promotion would make fit.

    Args:
        other: what goes with a latent.
        z: the latent.
        name: what ``other`` is, for the message.

    Raises:
        ShapeError: shape or dtype differ.
    """
    # broadcasting or promotion here would hide a batch or a cast that went wrong
    if other.shape != z.shape or other.dtype != z.dtype:
        raise ShapeError(
            f"{name} must be {tuple(z.shape)} {z.dtype} like its latent, "
            f"got {tuple(other.shape)} {other.dtype}; expand or cast it yourself"
        )


def _amplitudes(alpha_bar: Tensor, z: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Amplitudes of signal and noise, ready to multiply ``z``."""
    inside = (alpha_bar > 0) & (alpha_bar <= 1)
    if not bool(inside.all()):
        bad = float(alpha_bar[~inside].flatten()[0])
        raise NoiseLevelError(f"{name} must lie in (0, 1], got {bad:.6g}")
    return fitted(alpha_bar.sqrt(), z), fitted((1 - alpha_bar).sqrt(), z)


def fitted(factor: Tensor, z: Tensor) -> Tensor:
    """Make a factor ready to multiply a latent without changing its dtype.

    Args:
        factor: 0-dim or (b 1 1 1), float64.
        z: the latent.

    Returns:
        As it is if 0-dim, which takes part in full precision and does not promote; else rounded.
    """
    return factor if factor.ndim == 0 else rounded(factor, z)
