"""What an applied LoRA costs the UNet: peft's layers beside none, and beside merged weights.

python benchmarks/lora_applied_or_merged.py
python benchmarks/lora_applied_or_merged.py --rounds 1 --calls 1

One row of the embedded model, forwards alone and forwards with their way back, one thread. Merged
weights hold the update in them; what they predict is compared with the applied one's.
"""

import argparse
import copy
from collections.abc import Callable, Sequence
from functools import partial

import torch
from drag_case import Case, case_of, fitted
from side_by_side import compared, timed
from torch import Tensor, nn

from featurekit.backbones.lora import Lora, LoraRecipe, applied

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
    plain, whole = copy.deepcopy(own), merged(own, lora)
    for title, run in (("forward", forward), ("forward and back", back)):
        with applied(own, lora):
            off = (forward(case, whole) - forward(case, own)).abs().max()
            print(f"merged and applied differ by {off:.1e} at most")
            networks = {"without": plain, "applied, layers of peft": own, "merged": whole}
            ways = {
                name: partial(timed, partial(run, case, network), asked.calls)
                for name, network in networks.items()
            }
            layers = len(lora.weights) // 2
            compared(f"{title}, {layers} layers updated", ways, rounds=asked.rounds)


def merged(network: nn.Module, lora: Lora) -> nn.Module:
    """Copy a network and add the update to its weights."""
    copied = copy.deepcopy(network)
    scale = lora.recipe.alpha / lora.recipe.rank
    with torch.no_grad():
        for path, part in copied.named_modules():
            down = lora.weights.get(f"{path}.lora_A.weight")
            if down is not None:
                part.weight += lora.weights[f"{path}.lora_B.weight"] @ down * scale
    return copied


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
