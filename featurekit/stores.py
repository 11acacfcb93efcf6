"""``featurekit store``: what a store of features holds, whether it is whole, tidying it up."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from featurekit.errors import ConfigError, UnknownNameError
from featurekit.store_upkeep import compact_store, stat_store, verify_store
from featurekit.tables import show


def main(words: Sequence[str]) -> int:
    """Look after a store.

    Args:
        words: ``verify``, ``stat`` or ``compact``, then the store's folder.

    Returns:
        The exit code, 0.

    Raises:
        FeatureKitError: the words are wrong, there is no store, it is damaged, or it cannot
            be written to.
    """
    if len(words) != 2:
        raise ConfigError(
            f"featurekit store takes {', '.join(ACTIONS)} and a folder, got {len(words)} words"
        )
    action, folder = words
    if action not in ACTIONS:
        raise UnknownNameError("action on a store", action, ACTIONS)
    ACTIONS[action](Path(folder))
    return 0


def _verify(folder: Path) -> None:
    problems = verify_store(folder)
    sys.stdout.write("".join(f"{problem}\n" for problem in problems))
    if problems:
        raise ConfigError(
            f"a store must be whole, but {str(folder)!r} has {len(problems)} "
            f"{'damage' if len(problems) == 1 else 'damages'}; write it again: only what is "
            f"damaged is redone"
        )
    sys.stdout.write(f"{folder} is whole\n")


def _stat(folder: Path) -> None:
    stat = stat_store(folder)
    made = stat.header.provenance
    rows = [
        ("kind", stat.header.kind),
        ("samples", str(stat.samples)),
        ("shards", str(stat.shards)),
        ("bytes", str(stat.bytes)),
        ("replaced samples", str(stat.replaced)),
        ("loose files", str(stat.loose)),
        ("backbone", f"{made.backbone} {made.weights}"),
        ("taps", ", ".join(made.taps)),
        ("timesteps", ", ".join(map(str, made.timesteps))),
        ("recipe", ", ".join(stat.header.recipe) or "none"),
        ("written by", f"featurekit {stat.header.toolkit}"),
    ]
    show(("what", "found"), rows)


def _compact(folder: Path) -> None:
    sys.stdout.write(f"{folder}: {compact_store(folder)} bytes freed\n")


ACTIONS: dict[str, Callable[[Path], None]] = {
    "verify": _verify,
    "stat": _stat,
    "compact": _compact,
}
