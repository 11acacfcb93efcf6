"""Keep an activation as it was when it was seen, though the network may write to it later."""

from dataclasses import dataclass

from torch import Tensor, nn

from featurekit.core.errors import CaptureError

_FREEU = ("s1", "s2", "b1", "b2")  # diffusers sets all four on every up block


@dataclass(slots=True)  # one is made for every activation: a frozen one takes twice as long
class Kept:
    """A tensor, and how often it had been written to in place when it was kept."""

    tensor: Tensor
    version: int | None  # None where torch counts nothing, and nobody else has the memory

    def is_written(self) -> bool:
        """Tell whether it was written to in place since it was kept."""
        return self.version is not None and self.tensor._version != self.version

    def read(self, what: str, advice: str) -> Tensor:
        """Give the tensor, if it still is what was kept.

        Args:
            what: was kept, for the message.
            advice: how it can be kept all the same.

        Returns:
            The tensor.

        Raises:
            CaptureError: it was written to in place since.
        """
        if self.is_written():
            raise CaptureError(
                f"{what} must stay as it was when it was read, but it was written to in place "
                f"later; {advice}"
            )
        return self.tensor


def kept(activation: Tensor, *, copied: bool = False) -> Kept:
    """Keep an activation; a copy of what torch does not count the writing to.

    Args:
        activation: what a module was given or returned.
        copied: keep a copy, which is part of the graph.

    Returns:
        The activation itself, or a copy.
    """
    if copied or activation.is_inference():
        return Kept(activation.clone(), None)
    return Kept(activation, activation._version)


def is_rewritten(network: nn.Module) -> bool:
    """Tell whether a network is known to write to its own activations later.

    FreeU (Si et al. 2023, arXiv:2309.11497), as diffusers has it, scales half of the channels of
    what an up block is given, in place, and so of what the block before it returned.

    Args:
        network: any network.

    Returns:
        Whether FreeU is on.
    """
    blocks = network._modules.get("up_blocks")
    if blocks is None:
        return False
    return any(
        all(vars(block).get(name) for name in _FREEU)
        for block in blocks._modules.values()
        if block is not None
    )
