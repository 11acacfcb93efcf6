"""Call networks of somebody else's, and leave them as they are."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import nn

from featurekit.taps.recomputation import kept_in_recomputations


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Keep gradients from the weights of a network while a block calls it.

    They pass it and reach what it is given. Recomputations of gradient checkpointing are no other.

    Args:
        network: any network; its weights want gradients or not after the block, as before.
    """
    wanting = [weight for weight in network.parameters() if weight.requires_grad]

    @contextmanager
    def without() -> Iterator[None]:
        for weight in wanting:
            weight.requires_grad_(False)
        try:
            yield
        finally:
            for weight in wanting:
                weight.requires_grad_(True)

    again = bool(wanting) and torch.is_grad_enabled()
    with kept_in_recomputations(network, without) if again else nullcontext(), without():
        yield


@contextmanager
def upcast(vae: nn.Module) -> Iterator[torch.dtype]:
    """Let an autoencoder compute in numbers that do not overflow.

    One that is stored in float16 and says that it overflows there is cast while the block runs, as
    the stock pipelines do; back again it has the same bits.

    Args:
        vae: an autoencoder of diffusers.

    Yields:
        What it computes in.
    """
    stored: torch.dtype = vae.dtype  # type: ignore[assignment]
    config = getattr(vae, "config", {})
    if stored != torch.float16 or not config.get("force_upcast", False):
        yield stored
        return
    nn.Module.to(vae, torch.float32)
    try:
        yield torch.float32
    finally:
        nn.Module.to(vae, stored)
