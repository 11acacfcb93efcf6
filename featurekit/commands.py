"""The subcommands about plugins: which are installed, and what they can measure. No torch."""

from collections.abc import Sequence

from featurekit.errors import ConfigError, PluginError, UnknownNameError
from featurekit.registry import load_plugin, plugins, resolve
from featurekit.tables import show


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
    targets, broken = _benches()
    if not words:
        rows = [(name, ", ".join(owners)) for name, owners in sorted(targets.items())]
        show(("bench", "plugin"), rows)
        return 0
    name, *rest = words
    if name not in targets:
        if broken:
            raise broken[0]
        raise UnknownNameError("bench", name, targets)
    owners = targets[name]
    if len(owners) > 1:
        raise PluginError(f"a bench must have one owner, but {name!r} is of {', '.join(owners)}")
    ((owner, target),) = owners.items()
    code = resolve(target, of=f"the bench {name!r} of plugin {owner!r}")(rest)
    return int(code or 0)


def _benches() -> tuple[dict[str, dict[str, str]], list[PluginError]]:
    """Collect target by owner by bench, and what is wrong with plugins that do not load."""
    targets: dict[str, dict[str, str]] = {}
    broken = []
    for owner in sorted({info.name for info in plugins()}):
        try:
            benches = load_plugin(owner).benches
        except PluginError as error:
            broken.append(error)
            continue
        for name, target in benches.items():
            targets.setdefault(name, {})[owner] = target
    return targets, broken
