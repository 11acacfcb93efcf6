"""What the UNet of a file predicts, which its weights do not show. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from featurekit.backbones.single_file.header import Header
from featurekit.core.errors import UnknownNameError

PREDICTIONS = ("epsilon", "v_prediction")
_FAMILIES: Mapping[str, str] = MappingProxyType(
    {"sd15": "epsilon", "sd21": "v_prediction", "sdxl": "epsilon"}
)
_MARK, _ZERO_SNR = "v_pred", "ztsnr"  # empty tensors that trainers leave in a file
_SPECIFIED = {"v": "v_prediction", "epsilon": "epsilon"}  # words of the ModelSpec standard
_ARCHITECTURES = {  # of it, too
    "stable-diffusion-v2-768-v": "v_prediction",
    "stable-diffusion-v2-512": "epsilon",
}


@dataclass(frozen=True)
class Taken:
    """What is taken for the prediction, and why."""

    kind: str  # one of ``PREDICTIONS``
    why: str  # for records
    sure: bool  # whether the file, its family or the user says it
    settings: Mapping[str, Any]  # of the scheduler


def check_prediction(prediction: str | None) -> None:
    """Refuse a prediction that there is not.

    Raises:
        UnknownNameError: it is neither None nor one of ``PREDICTIONS``.
    """
    if prediction is not None and prediction not in PREDICTIONS:
        raise UnknownNameError("prediction", prediction, PREDICTIONS)


def taken(header: Header, family: str, known_as: str, prediction: str | None) -> Taken:
    """Decide what a UNet predicts.

    Args:
        header: of the file.
        family: ``sd15``, ``sd21`` or ``sdxl``.
        known_as: the family in words.
        prediction: what the user says; None takes what the file says, then what the family has.

    Returns:
        The prediction. Of Stable Diffusion 2.x both kinds were published with the same names and
        shapes, so that without a word in the file it is not sure.

    Raises:
        UnknownNameError: there is no such prediction.
    """
    check_prediction(prediction)
    kind, why = prediction or "", "as was asked for"
    if not kind:
        kind, why = _said(header)
    sure = bool(kind) or family != "sd21"
    if not kind:
        kind, why = _FAMILIES[family], f"as {known_as} has it, its file says nothing"
    settings: dict[str, Any] = {"prediction_type": kind}
    if _ZERO_SNR in header.shapes:
        settings["rescale_betas_zero_snr"] = True
    return Taken(kind, f"{kind} {why}", sure, settings)


def _said(header: Header) -> tuple[str, str]:
    """What a file says of itself, and where."""
    if _MARK in header.shapes:
        return "v_prediction", f"as its file says ({_MARK})"
    for key, meanings in (
        ("modelspec.prediction_type", _SPECIFIED),
        ("modelspec.architecture", _ARCHITECTURES),
    ):
        meant = meanings.get(header.words.get(key, "").lower())
        if meant:
            return meant, f"as its file says ({key})"
    return "", ""
