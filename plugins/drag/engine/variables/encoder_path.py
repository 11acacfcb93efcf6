"""The part of a UNet before its decoder, computed once and recalled at every further call."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from featurekit.core.errors import CaptureError


@dataclass(frozen=True)
class EncoderPath:
    """What each down block and the middle block returned for one latent at one timestep."""

    returned: dict[str, Any]  # by module path: a tensor, or a block's output and its skips

    @property
    def middle(self) -> Tensor:
        """The output of the middle block."""
        middle: Tensor = self.returned["mid_block"]
        return middle


def encoder_path(unet: nn.Module, forward: Callable[[], object]) -> EncoderPath:
    """Run a network once and keep what its encoder returned.

    Args:
        unet: a diffusers UNet with ``down_blocks`` and ``mid_block``.
        forward: calls it, once; no graph is kept.
    """
    returned: dict[str, Any] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, given: object, output: object) -> None:
            del module, given
            returned[name] = output

        return hook

    handles = [part.register_forward_hook(keep(name)) for name, part in _parts(unet).items()]
    try:
        with torch.no_grad():
            forward()
    finally:
        for handle in handles:
            handle.remove()
    return EncoderPath(returned)


@contextmanager
def recalled(unet: nn.Module, path: EncoderPath) -> Iterator[None]:
    """Let the encoder return what it did, without computing, while the block lasts.

    Only the latent and timestep of that call may be given meanwhile; hooks on the blocks still
    run. The network is restored at the end, also after an exception.

    Args:
        unet: the network that the path is of.
        path: what it returned.

    Raises:
        CaptureError: a block's forward is replaced already, such as by another such block.
    """
    parts = _parts(unet)
    for name, part in parts.items():
        if "forward" in vars(part):
            raise CaptureError(
                f"{name} must have its own forward to be recalled, something replaced it; "
                f"take that away first"
            )

    def answer(output: object) -> Callable[..., object]:
        return lambda *_, **__: output

    try:
        for name, part in parts.items():
            part.forward = answer(path.returned[name])
        yield
    finally:
        for part in parts.values():
            vars(part).pop("forward", None)


def _parts(unet: nn.Module) -> dict[str, nn.Module]:
    blocks = unet.get_submodule("down_blocks").named_children()
    found = {f"down_blocks.{name}": block for name, block in blocks}
    return found | {"mid_block": unet.get_submodule("mid_block")}
