"""The small subcommands: what is installed, what can be read, what can be measured. No torch."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from featurekit.backbones.describe import describe_backbone
from featurekit.errors import ConfigError, PluginError, UnknownNameError
from featurekit.options import TapsOptions
from featurekit.overrides import fill
from featurekit.registry import load_plugin, plugins, resolve


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
    table = _table("plugin", "distribution", "version", "entry point")
    for info in plugins():
        table.add_row(info.name, info.distribution, info.version, info.value)
    _show(table)
    return 0


def show_taps(words: Sequence[str]) -> int:
    """List what can be read inside a backbone, from its configs alone.

    Args:
        words: overrides of ``TapsOptions``.

    Returns:
        The exit code, 0.

    Raises:
        FeatureKitError: the words are wrong, or the backbone does not exist.
    """
    options = fill(TapsOptions, words)
    table = _table("tap", "role", "channels", "stride px", "module path")
    for tap in describe_backbone(options.backbone):
        table.add_row(tap.name, tap.role, str(tap.channels), str(tap.stride), tap.path)
    _show(table)
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
        table = _table("bench", "plugin")
        for name, owners in sorted(targets.items()):
            table.add_row(name, ", ".join(owners))
        _show(table)
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


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in titles:
        table.add_column(title, no_wrap=True, overflow="ignore")
    return table


def _show(table: Table) -> None:
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console = Console(markup=False, highlight=False, width=1000)  # nobody to wrap for
    console.print(table)
