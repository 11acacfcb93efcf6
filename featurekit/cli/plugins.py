"""What plugins bring to the command line: their list, benches and subcommands. No torch."""

from collections.abc import Callable, Mapping, Sequence

from featurekit.cli.tables import show
from featurekit.core.errors import ConfigError, PluginError, UnknownNameError
from featurekit.pipeline.registry import Plugin, load_plugin, plugins, resolve


def show_plugins(words: Sequence[str]) -> int:
    """List the installed plugins from their metadata; none is imported.

    Args:
        words: none.

    Returns:
        The exit code, 0.

    Raises:
        ConfigError: there is a word.
    """
    if words:
        raise ConfigError(f"featurekit plugins takes no words, got {words[0]!r}")
    rows = [(info.name, info.distribution, info.version, info.value) for info in plugins()]
    show(("plugin", "distribution", "version", "entry point"), rows)
    return 0


def bench(words: Sequence[str]) -> int:
    """Run a bench of a plugin, or list the benches where no name is given.

    Args:
        words: the bench's name, then overrides for it.

    Returns:
        The bench's own exit code.

    Raises:
        UnknownNameError: no plugin has the bench.
        PluginError: two plugins have it, or the one that has it is broken.
    """
    if not words:
        targets, _ = _offered(lambda plugin: plugin.benches)
        rows = [(name, ", ".join(owners)) for name, owners in sorted(targets.items())]
        show(("bench", "plugin"), rows)
        return 0
    name, *rest = words
    return _call("bench", name, rest, _offered(lambda plugin: plugin.benches))


def command(name: str, words: Sequence[str], known: Sequence[str]) -> int:
    """Run a subcommand that a plugin brings.

    Args:
        name: the subcommand.
        words: what follows it.
        known: subcommands that are not a plugin's, for the message.

    Returns:
        The subcommand's own exit code.

    Raises:
        UnknownNameError: no plugin has the subcommand.
        PluginError: two plugins have it, or the one that has it is broken.
    """
    targets, broken = _offered(lambda plugin: plugin.commands)
    if name not in targets:
        raise UnknownNameError("command", name, [*known, *targets])
    return _call("command", name, words, (targets, broken))


def brought() -> dict[str, str]:
    """Name the subcommands that plugins bring, each with its owner; broken plugins bring none."""
    targets, _ = _offered(lambda plugin: plugin.commands)
    return {name: ", ".join(owners) for name, owners in sorted(targets.items())}


Targets = dict[str, dict[str, str]]
"""Target by owner by name."""


def _call(
    kind: str, name: str, words: Sequence[str], offered: tuple[Targets, list[PluginError]]
) -> int:
    targets, broken = offered
    if name not in targets:
        if broken:
            raise broken[0]
        raise UnknownNameError(kind, name, targets)
    owners = targets[name]
    if len(owners) > 1:
        raise PluginError(f"a {kind} must have one owner, but {name!r} is of {', '.join(owners)}")
    ((owner, target),) = owners.items()
    code = resolve(target, of=f"the {kind} {name!r} of plugin {owner!r}")(words)
    return int(code or 0)


def _offered(
    pick: Callable[[Plugin], Mapping[str, str]],
) -> tuple[Targets, list[PluginError]]:
    """Collect what all plugins offer, and what is wrong with plugins that do not load."""
    targets: Targets = {}
    broken = []
    for owner in sorted({info.name for info in plugins()}):
        try:
            offers = pick(load_plugin(owner))
        except PluginError as error:
            broken.append(error)
            continue
        for name, target in offers.items():
            targets.setdefault(name, {})[owner] = target
    return targets, broken
