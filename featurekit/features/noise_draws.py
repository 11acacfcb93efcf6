"""Noise for reading features: which draws a picture gets, decided by a seed alone."""

from hashlib import sha256

import torch
from torch import Tensor

from featurekit.features.recipes import Ensemble


def seed_of(seed: int, name: str) -> int:
    """Derive the seed of one sample from that of the run, so that no other sample matters.

    Args:
        seed: of the run, >= 0.
        name: of the sample.

    Returns:
        Seed in [0, 2^63).
    """
    digest = sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8]) >> 1


def noises(ensemble: Ensemble, size: tuple[int, int, int], seed: int) -> Tensor:
    """Draw the noises that one picture is read with.

    Args:
        ensemble: how many, and how they belong together.
        size: channels, rows and columns of the latent.
        seed: of the draws, on the CPU.

    Returns:
        (n c h w) float32 on the CPU: standard normal; in pairs of a noise and its negative for
        ``antithetic``; zeros for ``clean``.
    """
    generator = torch.Generator().manual_seed(seed)
    if ensemble.policy == "clean":
        return torch.zeros(1, *size)
    if ensemble.policy == "antithetic":
        half = torch.randn(ensemble.draws // 2, *size, generator=generator)
        return torch.stack((half, -half), 1).flatten(0, 1)
    return torch.randn(ensemble.draws, *size, generator=generator)
