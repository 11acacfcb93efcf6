"""DiffSketch's published sketch network, imported from its checkout.

No command: ``peers/sketch.py`` and ``peers/beside_ours.py`` import it. Its network and its
aggregation run as they are. What it reads comes from its own copy of a diffusion model of 2022,
which does not import beside today's: the maps are given to it in the shapes in which it reads them.
"""

import sys
from types import ModuleType

import torch
from torch import Tensor, nn

from benchmarks.peers.adapters.no_gpu import on_no_device
from benchmarks.records.side_by_side import module_of

TESTED = "658779a8"
TIMESTEPS, PX = 13, 512  # it draws pictures of this side alone
MAPS = ((1280, 8), (1280, 16), (640, 32), (320, 64))  # of a timestep, three each: channels, side
DECODED = ((512, 64, 5), (512, 128, 3), (256, 256, 3), (128, 512, 3))  # and how many


class Published:
    """The published network, and maps of the shapes that it reads."""

    def __init__(self, folder: str, device: str) -> None:
        """Import it and begin it, with weights of chance.

        Args:
            folder: a checkout of DiffSketch, 658779a8.
            device: meta, to count its work, or cpu.
        """
        for name in ("fvcore", "fvcore.nn", "fvcore.nn.weight_init"):  # first weights
            sys.modules[name] = ModuleType(name)
        sys.modules["fvcore.nn.weight_init"].c2_msra_fill = lambda part: None
        generator = module_of(folder, "models.generator")
        with on_no_device(), torch.device(device):
            self.network: nn.Module = generator.SketchGenerator()
            self.given = [
                torch.zeros(1, 2, channels, side, side)
                for _ in range(TIMESTEPS)
                for channels, side in MAPS
                for _ in range(3)
            ]
            self.given.append(torch.zeros(1, 1))
            for channels, side, count in DECODED:
                self.given += [torch.zeros(1, channels, side, side)] * count
            self.given.append(torch.zeros(1, 3, PX, PX))
        self.device = device

    def __call__(self) -> Tensor:
        """Draw one picture."""
        with on_no_device(), torch.device(self.device):
            drawn: Tensor = self.network(self.given)
        return drawn

    def step(self) -> None:
        """Draw two pictures one after the other, as a step of learning does, and go back."""
        (self().sum() + self().sum()).backward()
