"""Mixing weights of a learnt network: how much each layer and each timestep counts, for reports."""

from collections.abc import Mapping
from typing import Any

Table = Mapping[str, Mapping[str, tuple[float, ...]]]
"""Weights by level and tap, cleanest timestep first, as ``SketchNetwork.mixing`` gives them."""

DIGITS = 5


def shares(mixing: Table) -> dict[str, Any]:
    """Add up the weights of the two levels by layer and by timestep.

    Args:
        mixing: weights of the levels ``low`` and ``top``; empty where no UNet is read.

    Returns:
        For each level ``layers`` by tap and ``timesteps``, cleanest first, 1 in all in each; in
        ``top`` both lack the first level's map, whose share is ``first_level``. Empty where no
        UNet is read.
    """
    found: dict[str, Any] = {}
    for level, table in mixing.items():
        own = {tap: row[:-1] if level == "top" else row for tap, row in table.items()}
        found[level] = {
            "layers": {tap: round(sum(row), DIGITS) for tap, row in own.items()},
            "timesteps": [round(sum(at), DIGITS) for at in zip(*own.values(), strict=True)],
        }
    if "top" in mixing:
        first = sum(row[-1] for row in mixing["top"].values())
        found["top"]["first_level"] = round(first, DIGITS)
    return found
