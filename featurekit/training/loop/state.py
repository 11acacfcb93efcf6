"""What a training changes: weights, their moving average, and the optimiser's moments."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from featurekit.training.recipe import Run

CLIP_NORM = 1.0  # of all gradients together


class State:
    """Weights, their moving average and the optimiser's moments."""

    def __init__(self, network: nn.Module, run: Run) -> None:
        """Start from the network's weights, with moments of zero."""
        self._names, parameters = zip(*network.named_parameters(), strict=True)
        self.parameters: tuple[nn.Parameter, ...] = parameters
        self._average = [p.detach().clone() for p in parameters]
        self._longest = run.average
        self._optimiser = torch.optim.AdamW(
            parameters, lr=run.rate, betas=(0.9, 0.99), weight_decay=1e-2, fused=True
        )
        for parameter in parameters:  # so that moments exist before the first step
            parameter.grad = torch.zeros_like(parameter)
            self._optimiser.state[parameter] = {
                "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }

    def gradients(self) -> list[Tensor]:
        """What the parameters hold, in their order."""
        return [p.grad for p in self.parameters if p.grad is not None]

    def clip(self) -> float:
        """Shorten the gradients where they are too long; their length before, maybe not finite."""
        return float(torch.nn.utils.clip_grad_norm_(self.parameters, CLIP_NORM))

    def step(self, rate: float, number: int) -> None:
        """One step along the gradients that the parameters hold."""
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._optimiser.step()
        memory = min(self._longest, (1 + number) / (10 + number))
        with torch.no_grad():
            torch._foreach_lerp_(self._average, list(self.parameters), 1 - memory)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange weights and averages; twice is nothing."""
        for parameter, average in zip(self.parameters, self._average, strict=True):
            kept = parameter.detach().clone()
            parameter.copy_(average)
            average.copy_(kept)

    def tensors(self) -> dict[str, Tensor]:
        """Everything, by name."""
        found = {}
        for name, parameter, average in zip(
            self._names, self.parameters, self._average, strict=True
        ):
            moments = self._optimiser.state[parameter]
            found[f"weights/{name}"] = parameter.detach()
            found[f"average/{name}"] = average
            found[f"first/{name}"] = moments["exp_avg"]
            found[f"second/{name}"] = moments["exp_avg_sq"]
            found[f"steps/{name}"] = moments["step"]
        return found

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what ``tensors`` gave."""
        for name, parameter, average in zip(
            self._names, self.parameters, self._average, strict=True
        ):
            moments = self._optimiser.state[parameter]
            parameter.copy_(tensors[f"weights/{name}"])
            average.copy_(tensors[f"average/{name}"])
            moments["exp_avg"].copy_(tensors[f"first/{name}"])
            moments["exp_avg_sq"].copy_(tensors[f"second/{name}"])
            moments["step"].copy_(tensors[f"steps/{name}"])
