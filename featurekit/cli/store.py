"""``featurekit store``: what a store of features holds, whether it is whole, mending it."""

import sys
from collections.abc import Callable, Sequence

from featurekit.cli.tables import show
from featurekit.core.errors import ConfigError, UnknownNameError
from featurekit.store.places.place import Place, place_at
from featurekit.store.repair import repair_store
from featurekit.store.upkeep import compact_store, stat_store, verify_store


def main(words: Sequence[str]) -> int:
    """Look after a store.

    Args:
        words: one of ``ACTIONS``, then the store's folder or address; ``--help`` anywhere
            says what they do.

    Returns:
        The exit code, 0.

    Raises:
        FeatureKitError: the words are wrong, there is no store, it is damaged, or it cannot
            be written to.
    """
    if set(words) & set(HELP):
        asked = [words[0]] if words[0] in ACTIONS else list(ACTIONS)
        lines = [f"  {name:<{WIDTH}}  {ACTIONS[name][1]}" for name in asked]
        usage = "usage: featurekit store ACTION FOLDER_OR_ADDRESS"
        sys.stdout.write(f"{usage}\n\n" + "\n".join(lines) + "\n")
        return 0
    if len(words) != 2:
        raise ConfigError(
            f"featurekit store takes {', '.join(ACTIONS)} and a folder, got {len(words)} words"
        )
    action, folder = words
    if action not in ACTIONS:
        raise UnknownNameError("action on a store", action, ACTIONS)
    ACTIONS[action][0](place_at(folder))
    return 0


def _verify(folder: Place) -> None:
    problems = verify_store(folder)
    sys.stdout.write("".join(f"{problem}\n" for problem in problems))
    if problems:
        raise ConfigError(
            f"a store must be whole, but {str(folder)!r} has "
            f"{len(problems)} {'damage' if len(problems) == 1 else 'damages'}; "
            f"{'its line says' if len(problems) == 1 else 'each line says'} what mends it"
        )
    stat = stat_store(folder)
    sys.stdout.write(f"{folder} is whole: {stat.samples} samples in {stat.shards} shards\n")


def _stat(folder: Place) -> None:
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


def _compact(folder: Place) -> None:
    sys.stdout.write(f"{folder}: {compact_store(folder)} bytes freed\n")


def _repair(folder: Place) -> None:
    sys.stdout.write(f"{folder}: {repair_store(folder)}\n")


ACTIONS: dict[str, tuple[Callable[[Place], None], str]] = {
    "verify": (_verify, "read every byte; name each damage and what mends it, exit code 2"),
    "repair": (_repair, "drop what is damaged, count again what lost its line in a log"),
    "stat": (_stat, "count samples, shards and bytes; say what made them"),
    "compact": (_compact, "write the shards that one run would have; drop what was replaced"),
}
HELP = ("-h", "--help")
WIDTH = max(map(len, ACTIONS))
