"""How far the fit of an update has come, in a file from which it goes on to the bit."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from featurekit.core.errors import ConfigError
from featurekit.core.file_bytes import read_metadata
from featurekit.images.io import read_tensors, write_tensors

FORMAT = "featurekit.lora.fit"
EVERY = 10  # updates between two writings
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")  # of AdamW, by torch's own names
_LOSSES, _GENERATOR = "losses", "generator"


@dataclass(frozen=True, eq=False)
class Fit:
    """What goes on changing while an update is fitted."""

    trained: Mapping[str, Tensor]  # halves by name, on the network's device
    optimiser: torch.optim.Optimizer
    generator: torch.Generator
    losses: list[float]  # before each update


def keep(fit: Fit, path: Path | None, words: Mapping[str, object]) -> None:
    """Write how far a fit has come; the file is replaced as a whole.

    Args:
        fit: after an update.
        path: target; its folder must exist. None keeps nothing.
        words: what the fit is of, as JSON knows it.

    Raises:
        OutputError: the file cannot be written.
    """
    if path is None:
        return
    tensors = {
        _LOSSES: torch.tensor(fit.losses, dtype=torch.float64),
        _GENERATOR: fit.generator.get_state(),
    }
    for name, weight in fit.trained.items():
        tensors[name] = weight.detach()
        state = fit.optimiser.state[weight]
        tensors |= {f"{name}:{moment}": state[moment] for moment in _MOMENTS}
    write_tensors(tensors, path, {"format": FORMAT, "of": json.dumps(dict(words))})


def go_on(fit: Fit, path: Path | None, words: Mapping[str, object]) -> None:
    """Bring a fit that was just begun to where a file left it.

    Args:
        fit: whose weights, optimiser, generator and losses are set.
        path: what ``keep`` wrote; where there is no file, nothing is done.
        words: what the fit is of.

    Raises:
        ConfigError: the file is damaged, of another kind or of another fit.
    """
    if path is None or not path.exists():
        return
    said, tensors = read_metadata(path), read_tensors(path)
    if said.get("format") != FORMAT or said.get("of") != json.dumps(dict(words)):
        raise ConfigError(
            f"a fit must go on as it was begun, but {str(path)!r} is of another one or none; "
            f"delete it to begin anew"
        )
    try:
        for name, weight in fit.trained.items():
            with torch.no_grad():
                weight.copy_(tensors[name])
            fit.optimiser.state[weight] = {
                moment: _beside(tensors[f"{name}:{moment}"], weight, moment) for moment in _MOMENTS
            }
        fit.generator.set_state(tensors[_GENERATOR].cpu())
        fit.losses[:] = tensors[_LOSSES].tolist()
    except (KeyError, RuntimeError, TypeError) as error:
        raise ConfigError(
            f"a fit must go on from a whole file, but a part of {str(path)!r} is missing or "
            f"damaged ({error}); delete it to begin anew"
        ) from error


def _beside(one: Tensor, weight: Tensor, moment: str) -> Tensor:
    """A moment where torch keeps it: the count of updates on the CPU."""
    return one.clone() if moment == "step" else one.to(weight.device, copy=True)
