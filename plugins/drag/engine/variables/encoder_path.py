"""The part of a UNet before its decoder, computed once and recalled at every further call."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

MIDDLE = "mid_block"


@dataclass(frozen=True)
class EncoderPath:
    """What each down block and the middle block returned for one latent at one timestep."""

    returned: dict[str, Any]  # by module path: a tensor, or a block's output and its skips

    @property
    def middle(self) -> Tensor:
        """The output of the middle block."""
        middle: Tensor = self.returned[MIDDLE]
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


class _Recalled(nn.Module):
    """Answers what a block answered, whatever it is given."""

    def __init__(self, answer: object) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, *_: object, **__: object) -> object:
        """Compute nothing."""
        return self.answer


@contextmanager
def recalled(unet: nn.Module, path: EncoderPath, middle: Tensor) -> Iterator[None]:
    """Begin a network at its decoder while the block lasts.

    Only the latent and timestep of the path may be given meanwhile. The blocks stand aside, with
    their hooks; they are back at the end, also after an exception.

    Args:
        unet: the network that the path is of.
        path: what its down blocks returned.
        middle: output of the middle block; gradients reach it.
    """
    answers = {**path.returned, MIDDLE: middle}
    own = _parts(unet)
    try:
        for name, answer in answers.items():
            _put(unet, name, _Recalled(answer))
        yield
    finally:
        for name, part in own.items():
            _put(unet, name, part)


def _put(unet: nn.Module, path: str, part: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    unet.get_submodule(parent)._modules[name] = part


def _parts(unet: nn.Module) -> dict[str, nn.Module]:
    blocks = unet.get_submodule("down_blocks").named_children()
    found = {f"down_blocks.{name}": block for name, block in blocks}
    return found | {MIDDLE: unet.get_submodule(MIDDLE)}
