"""What a LoRA costs the UNet: as layers of peft, and merged into its weights as `applied` does.

python -m benchmarks.drag.lora_applied_or_merged
python -m benchmarks.drag.lora_applied_or_merged --rounds 1 --calls 1

One row of the embedded model, forwards alone and forwards with their way back, one thread. Merged
weights hold the update in them; what they predict is compared with what the layers do.
"""

import argparse
import copy
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.drag.case import Case, as_layers, case_of, fitted
from benchmarks.records.side_by_side import compared, timed
from featurekit.backbones.lora import LoraRecipe, applied

TIMESTEP = 681


def main(words: Sequence[str] | None = None) -> None:
    """Time the three networks.

    Args:
        words: of the command line; None takes them from ``sys.argv``.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=4, help="of a network in a round")
    asked = parser.parse_args(words)
    torch.set_num_threads(1)
    case = case_of("embedded")
    lora = fitted(case, LoraRecipe(rank=8, alpha=8, steps=2))
    own = case.backbone.unet
    plain, layered, merged = (copy.deepcopy(own) for _ in range(3))
    for title, run in (("forward", forward), ("forward and back", back)):
        with as_layers(layered, lora), applied(merged, lora):
            off = (forward(case, merged) - forward(case, layered)).abs().max()
            print(f"merged weights and layers differ by {off:.1e} at most")
            networks = {"without": plain, "layers of peft": layered, "merged (applied)": merged}
            ways = {
                name: partial(timed, partial(run, case, network), asked.calls)
                for name, network in networks.items()
            }
            layers = len(lora.weights) // 2
            compared(f"{title}, {layers} layers updated", ways, rounds=asked.rounds)


def forward(case: Case, network: nn.Module) -> Tensor:
    """Predict without a graph."""
    with torch.no_grad():
        return predicted(case, network, case.latent())


def back(case: Case, network: nn.Module) -> tuple[Tensor, ...]:
    """Predict and go back to the latent."""
    z = case.latent().requires_grad_()
    return torch.autograd.grad(predicted(case, network, z).sum(), [z])


def predicted(case: Case, network: Callable, z: Tensor) -> Tensor:
    """What a network answers."""
    return network(z, TIMESTEP, encoder_hidden_states=case.conditioning.states).sample


if __name__ == "__main__":
    main()
