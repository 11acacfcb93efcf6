"""The parts of a model before any weight of it is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import torch

from featurekit.backbones.single_file.predictions import check_prediction
from featurekit.backbones.stock import Configs, Networks
from featurekit.core.errors import BackboneError

Read: TypeAlias = Callable[[torch.dtype], tuple[Any, Mapping[str, Path]]]
"""By what a model computes in, one network on the CPU, and its weight files by name."""


@dataclass(frozen=True)
class Instead:
    """What a user gives in the place of what a model has itself."""

    vae: Path | None = None  # another autoencoder: its folder, a whole model's, or one file
    prediction: str | None = None  # what the UNet predicts, ``epsilon`` or ``v_prediction``

    def __post_init__(self) -> None:
        """Refuse what is no prediction.

        Raises:
            UnknownNameError: there is no such prediction.
        """
        check_prediction(self.prediction)

    def refuse_prediction(self, model: Path) -> None:
        """Refuse to say what a model predicts where it cannot be anything else.

        Args:
            model: one with a transformer.

        Raises:
            BackboneError: a prediction is given.
        """
        if self.prediction is not None:
            raise BackboneError(
                f"prediction must be left out for a model with a transformer, whose scheduler says "
                f"it, got {self.prediction} for {model}"
            )

    def absolute(self) -> "Instead":
        """The same, from whatever folder it is read."""
        return replace(self, vae=None if self.vae is None else self.vae.expanduser().absolute())


OWN = Instead()  # nothing; a model keeps what it has


@dataclass(frozen=True, eq=False)
class Parts:
    """What a family builds a backbone of."""

    of: str  # the model, for messages
    configs: Configs  # by part, filled
    networks: Callable[[torch.dtype], Networks]  # by what they are to compute in
    tokenizers: Callable[[], tuple[Any, ...]]  # one for each text encoder
    remark: str = ""  # what was taken where the model did not say, for records
    updates: Mapping[str, str] = field(default_factory=dict)  # as of ``LoadedModel``


def predicting(configs: Configs, prediction: str | None) -> tuple[Configs, Mapping[str, str]]:
    """Let a model predict what its user says it does.

    Args:
        configs: by part.
        prediction: ``epsilon`` or ``v_prediction``; None leaves what the scheduler says.

    Returns:
        The configs, and what that makes of the UNet; nothing where the scheduler says the same.
    """
    scheduler = configs["scheduler"]
    if prediction is None or scheduler.get("prediction_type", "epsilon") == prediction:
        return configs, {}
    told = {"unet": f"prediction {prediction}"}
    return {**configs, "scheduler": {**scheduler, "prediction_type": prediction}}, told
