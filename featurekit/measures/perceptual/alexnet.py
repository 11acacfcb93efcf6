"""The convolutions of AlexNet as torchvision numbers them, and the five maps that LPIPS reads."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

SMALLEST_PX = 31  # a side below it leaves the second pooling without a window
WIDTHS = (64, 192, 384, 256, 256)  # channels of the five maps
_READ_AFTER = (1, 4, 7, 9, 11)  # numbers of the five ReLUs


def empty() -> nn.Sequential:
    """Build the layers without weights; their names are those of torchvision's ``features``."""
    first, second, third, fourth, fifth = WIDTHS
    with torch.device("meta"):  # nothing is drawn at random and nothing allocated
        return nn.Sequential(
            nn.Conv2d(3, first, 11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(first, second, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(second, third, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(third, fourth, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(fourth, fifth, 3, padding=1),
            nn.ReLU(),
        )


def filled(weights: Mapping[str, Tensor]) -> nn.Sequential:
    """Build the layers around weights, frozen.

    Args:
        weights: by the name within ``features``, such as ``0.weight``; all of them and no other.
    """
    layers = empty()
    layers.load_state_dict(weights, assign=True)
    return layers.eval().requires_grad_(False)


def maps(layers: nn.Sequential, pixels: Tensor) -> tuple[Tensor, ...]:
    """Read the map after each of the five convolutions.

    Args:
        layers: those of ``filled``.
        pixels: standardised pictures (b 3 h w), at least ``SMALLEST_PX`` high and wide.

    Returns:
        Five maps (b c h w), none of them negative.
    """
    found = []
    for number, layer in enumerate(layers):
        pixels = layer(pixels)
        if number in _READ_AFTER:
            found.append(pixels)
    return tuple(found)
