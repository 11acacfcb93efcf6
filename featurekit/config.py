"""Settings: the schema of a run and its composition by Hydra."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import MISSING, DictConfig
from omegaconf.errors import OmegaConfBaseException

from featurekit.errors import ConfigError, PluginError
from featurekit.overrides import CONFIG_MODULE, explain, named_plugins, route_backbone
from featurekit.registry import Plugin, load_plugin, plugins

CONFIG_NAME = "config"
HYDRA_VERSION_BASE = "1.3"
NO_PLUGIN = "none"  # conf/plugin/none.yaml, so that --help works before a plugin is chosen


@dataclass
class PluginConfig:
    """Base of every plugin's schema. A schema sets the default of ``name`` to the plugin's name."""

    name: str = MISSING


@dataclass
class LoraConfig:
    """How a LoRA is fitted on one backbone; see featurekit.adapt.LoraRecipe."""

    rank: int = MISSING
    alpha: float = MISSING
    learning_rate: float = MISSING
    steps: int = MISSING
    batch: int = MISSING


@dataclass
class BackboneConfig:
    """A model, and what has been measured to work on it."""

    name: str = MISSING
    source: str | None = None  # folder in the diffusers layout or hub id; none: the family's own
    lora: LoraConfig = field(default_factory=LoraConfig)
    drag: Any = None  # mapping that a drag plugin's schema reads through interpolation
    sketch: Any = None  # likewise


@dataclass
class RunConfig:
    """The root keys, the same for every plugin."""

    plugin: PluginConfig = MISSING
    backbone: BackboneConfig = MISSING
    task: str | None = None  # none: the plugin's first task
    image: str | None = None  # none: the plugin's bundled example
    prompt: str = ""
    seed: int = 0
    device: str = "auto"  # auto, cpu, cuda, cuda:1, mps
    dtype: str = "auto"  # auto, float32, float16, bfloat16
    out: str = MISSING  # folder; made if it does not exist


ROOT_KEYS = tuple(RunConfig.__dataclass_fields__)


class PresetPath(SearchPathPlugin):  # type: ignore[misc]  # Hydra publishes no types
    """Lets Hydra find the presets of the plugins that have been registered."""

    folders: dict[str, str] = {}  # noqa: RUF012  # Hydra instantiates the class itself

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append each plugin's folder, called by Hydra."""
        for name, folder in self.folders.items():
            search_path.append(provider=f"featurekit plugin {name}", path=folder)


def register(names: Iterable[str]) -> tuple[Plugin, ...]:
    """Make the schemas and presets of plugins known to Hydra, and the presets of no others.

    Args:
        names: plugins to load.

    Raises:
        UnknownNameError: no plugin has the name.
        PluginError: a plugin is broken; names its distribution.
    """
    store = ConfigStore.instance()
    store.store(name="run_schema", node=RunConfig, provider="featurekit")
    loaded = tuple(load_plugin(name) for name in names)
    for plugin in loaded:
        store.store(group="plugin", name=plugin.name, node=plugin.schema, provider=plugin.name)
    PresetPath.folders = {plugin.name: plugin.presets for plugin in loaded if plugin.presets}
    Plugins.instance().register(PresetPath)
    return loaded


def register_for(overrides: Sequence[str]) -> tuple[PluginError, ...]:
    """Register the plugins that overrides name; all of them where none is named.

    Args:
        overrides: as on the command line; ``plugin=a,b`` names two.

    Returns:
        What is wrong with plugins that nobody named. They are left out, the others work.

    Raises:
        UnknownNameError: a named plugin does not exist.
        PluginError: a named plugin is broken.
    """
    named = named_plugins(overrides)
    if named:
        register(name for name in named if name != NO_PLUGIN)
        return ()
    sound, broken = [], []
    for name in sorted({info.name for info in plugins()}):
        try:
            sound.append(load_plugin(name).name)
        except PluginError as error:
            broken.append(error)
    register(sound)
    return tuple(broken)


def no_plugin() -> ConfigError:
    """Word the error for a run that names no plugin."""
    known = ", ".join(sorted({info.name for info in plugins()})) or "none is installed"
    return ConfigError(f"a run needs a plugin, got none; add plugin=NAME, known: {known}")


def compose(overrides: Sequence[str] = ()) -> DictConfig:
    """Build the configuration that ``featurekit run`` would build from the same overrides.

    Args:
        overrides: ``"plugin=drag"``, ``"plugin.updates=20"``, ``"backbone=FOLDER"``, ...

    Returns:
        The configuration with the root keys of ``RunConfig``, for ``run``.

    Raises:
        ConfigError: an override is malformed or a value has the wrong type.
        UnknownNameError: a key, plugin, backbone or preset does not exist.
        PluginError: the chosen plugin is broken.
    """
    routed = route_backbone(overrides)
    register_for(routed)
    try:
        with initialize_config_module(CONFIG_MODULE, version_base=HYDRA_VERSION_BASE):
            return hydra_compose(CONFIG_NAME, overrides=routed)  # type: ignore[no-any-return]
    except (HydraException, OmegaConfBaseException, ValueError, TypeError) as error:
        raise explain(error) from error
