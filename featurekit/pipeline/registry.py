"""Plugins: found in the metadata of installed distributions, imported only when asked for."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from featurekit.core.errors import PluginError, UnknownNameError

API_VERSION = 1  # raised when Plugin, Job or Result change in a way that breaks a plugin
GROUP = "featurekit.plugins"


@dataclass(frozen=True)
class Plugin:
    """What an entry point of the group ``featurekit.plugins`` must point to. Needs no torch."""

    name: str  # the entry point's name and the default of the schema's field ``name``
    summary: str  # one line for the list of plugins
    api_version: int  # the ``API_VERSION`` the plugin was written for
    schema: type  # dataclass of the settings under ``plugin.``, a featurekit.plugin.PluginConfig
    tasks: tuple[str, ...]  # the first is the default
    target: str  # "module:callable", called with a Job, answers with a Result
    presets: str | None = None  # "pkg://package" of a folder that holds experiment/*.yaml
    benches: Mapping[str, str] = field(default_factory=dict)  # name -> "module:callable"
    commands: Mapping[str, str] = field(default_factory=dict)  # likewise: featurekit NAME ...
    # "module:callable", called before the weights are loaded with a Job whose backbone is None, and
    # the name or folder that ``describe_backbone`` takes; raises what can be refused by then
    check: str | None = None
    denoisers: tuple[str, ...] = ()  # kinds that it works with: "unet", "transformer"; none: any
    # "module:callable", called after the check with the same Job: whether the weights are loaded;
    # none: always. Where they are not, the target's Job has no backbone
    needs_backbone: str | None = None
    # "module:callable", called once with a ``Desk`` when the studio opens; makes the plugin's Tab
    studio: str | None = None
    # by task, names (or globs) of the files that a run writes into its folder, "{image}" is the
    # stem of its picture, or of each in a folder; a file of a user's with such a name is kept
    writes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    shared: tuple[str, ...] = ()  # tasks whose work is shared by ``Job.shared``: engine= takes them


@dataclass(frozen=True)
class PluginInfo:
    """A plugin as its distribution announces it; reading this imports nothing of the plugin."""

    name: str
    distribution: str
    version: str
    value: str  # "module:attribute"

    def __str__(self) -> str:
        """Name the owner, for messages."""
        return f"{self.distribution} {self.version}"


def plugins() -> tuple[PluginInfo, ...]:
    """List the installed plugins by name, from metadata alone.

    Returns:
        One record per entry point. A name that two distributions claim is listed twice;
        ``load_plugin`` refuses it.
    """
    return tuple(sorted((_info(entry) for entry in _entries()), key=lambda info: info.name))


def load_plugin(name: str) -> Plugin:
    """Import one plugin's description and check that it keeps the contract.

    Args:
        name: the entry point's name.

    Returns:
        The plugin. Its target is not imported yet; see ``resolve``.

    Raises:
        UnknownNameError: no installed distribution announces the name.
        PluginError: two distributions claim the name, or the description cannot be imported, is no
            ``Plugin``, has another name or api_version, or its schema does. Names the distribution.
    """
    entries = {entry: _info(entry) for entry in _entries()}
    found = [entry for entry in entries if entry.name == name]
    if not found:
        raise UnknownNameError("plugin", name, {info.name for info in entries.values()})
    if len(found) > 1:
        owners = " and ".join(sorted(str(entries[entry]) for entry in found))
        raise PluginError(
            f"a plugin name must have one owner, but {name!r} is claimed by {owners}; uninstall one"
        )
    (entry,) = found
    owner = f"plugin {name!r} of {entries[entry]}"
    try:
        plugin = entry.load()
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{owner} must import, but {entry.value} failed with "
            f"{type(error).__name__}: {error}; update or uninstall it"
        ) from error
    _check(plugin, name, owner)
    return plugin  # type: ignore[no-any-return]  # _check has seen that it is a Plugin


def resolve(target: str, *, of: str = "target") -> Callable[..., Any]:
    """Import the callable that a string names.

    Args:
        target: ``"module:callable"``.
        of: what the string is, for the message.

    Raises:
        PluginError: the string has another form, the module does not import, or has no such
            callable.
    """
    module, colon, attribute = target.partition(":")
    if not (module and colon and attribute):
        raise PluginError(f"{of} must be 'module:callable', got {target!r}")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise PluginError(
            f"{of} {target!r} must name an importable callable, but "
            f"{type(error).__name__}: {error}; check the installation"
        ) from error
    if not callable(found):
        raise PluginError(f"{of} {target!r} must name a callable, got {type(found).__name__}")
    return found  # type: ignore[no-any-return]  # what a string names has no static type


def import_fault(module: str) -> str | None:
    """Import a module and say what that raised.

    Args:
        module: dotted name.

    Returns:
        Type and text of the error, or None if the module imports.
    """
    try:
        import_module(module)
    except (Exception, SystemExit) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _entries() -> Iterable[EntryPoint]:
    return entry_points(group=GROUP)


def _info(entry: EntryPoint) -> PluginInfo:
    owner = entry.dist
    if owner is None:
        return PluginInfo(entry.name, "an unnamed distribution", "", entry.value)
    return PluginInfo(entry.name, owner.metadata["Name"], owner.version, entry.value)


def _check(plugin: object, name: str, owner: str) -> None:
    if not isinstance(plugin, Plugin):
        raise PluginError(f"{owner} must be a featurekit Plugin, got {type(plugin).__name__}")
    if plugin.api_version != API_VERSION:
        raise PluginError(
            f"{owner} must speak api_version {API_VERSION}, got {plugin.api_version}; "
            f"install versions of the plugin and of featurekit that match"
        )
    if plugin.name != name:
        raise PluginError(f"{owner} must carry the name of its entry point, got {plugin.name!r}")
    if not is_dataclass(plugin.schema):
        raise PluginError(f"{owner} must have a dataclass as schema, got {plugin.schema!r}")
    defaults = {entry.name: entry.default for entry in fields(plugin.schema)}
    if defaults.get("name") != name:
        raise PluginError(
            f"{owner} must have a schema whose field name defaults to {name!r}, "
            f"got {defaults.get('name', 'no such field')!r}"
        )
    if not plugin.tasks:
        raise PluginError(f"{owner} must have at least one task, got none")
    if not set(plugin.shared) <= set(plugin.tasks):
        raise PluginError(
            f"{owner} must share tasks that it has, {', '.join(plugin.tasks)}, got "
            f"{', '.join(plugin.shared)}"
        )
