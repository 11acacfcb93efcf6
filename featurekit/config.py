"""Settings: the schema of a run, its composition by Hydra, and Hydra's errors in one sentence."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from featurekit.errors import ConfigError, FeatureKitError, PluginError, UnknownNameError
from featurekit.registry import Plugin, load_plugin, plugins

CONFIG_MODULE = "featurekit.conf"
CONFIG_NAME = "config"
HYDRA_VERSION_BASE = "1.3"
NO_PLUGIN = "none"  # conf/plugin/none.yaml, so that --help works before a plugin is chosen
CUSTOM_BACKBONE = "sd15"  # whose settings a folder or a hub id starts from

Schema = TypeVar("Schema")


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
    """Make the schemas and presets of plugins known to Hydra. Doing it again changes nothing.

    Args:
        names: plugins to load.

    Raises:
        UnknownNameError: no plugin has the name.
        PluginError: a plugin is broken; names its distribution.
    """
    store = ConfigStore.instance()
    store.store(name="run_schema", node=RunConfig, provider="featurekit")
    Plugins.instance().register(PresetPath)
    loaded = tuple(load_plugin(name) for name in names)
    for plugin in loaded:
        store.store(group="plugin", name=plugin.name, node=plugin.schema, provider=plugin.name)
        if plugin.presets is not None:
            PresetPath.folders[plugin.name] = plugin.presets
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
    broken = []
    register(())
    for name in sorted({info.name for info in plugins()}):
        try:
            register((name,))
        except PluginError as error:
            broken.append(error)
    return tuple(broken)


def named_plugins(overrides: Sequence[str]) -> tuple[str, ...]:
    """List the plugins that overrides choose by ``plugin=``, in order."""
    chosen = [value for key, _, value in map(_split, overrides) if key == "plugin"]
    return tuple(name.strip() for value in chosen for name in value.split(",") if name.strip())


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


def route_backbone(overrides: Sequence[str]) -> list[str]:
    """Rewrite ``backbone=FOLDER_OR_HUB_ID`` into a family's settings and a source.

    Args:
        overrides: as on the command line.

    Returns:
        The overrides, with a value of ``backbone`` that is no config choice but an existing
        folder, or holds a slash, as ``backbone.source`` of the settings of sd15.
    """
    routed: list[str] = []
    for override in overrides:
        key, _, value = _split(override)
        if key == "backbone" and _is_source(value):
            source = str(Path(value).expanduser()) if value.startswith("~") else value
            routed += [f"backbone={CUSTOM_BACKBONE}", f"backbone.source={_quoted(source)}"]
        else:
            routed.append(override)
    return routed


def fill(schema: type[Schema], overrides: Sequence[str]) -> Schema:
    """Fill a dataclass from ``key=value`` words, in the grammar of ``featurekit run``.

    Args:
        schema: dataclass whose fields are the keys.
        overrides: words of the command line.

    Raises:
        ConfigError: a word is malformed, a value has the wrong type or a needed one is missing.
        UnknownNameError: a key does not exist.
    """
    config = OmegaConf.structured(schema)
    try:
        for override in OverridesParser.create().parse_overrides(list(overrides)):
            OmegaConf.update(config, override.key_or_group, override.value())
        return OmegaConf.to_object(config)  # type: ignore[return-value]
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error) from error


def explain(error: Exception) -> FeatureKitError:
    """Turn what Hydra or OmegaConf raised into one sentence with the known options.

    Args:
        error: raised while a configuration was composed or read.

    Returns:
        The error to raise instead.
    """
    if isinstance(error, FeatureKitError):
        return error
    if isinstance(error, MissingConfigException) and error.options and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.rpartition("/")
        return UnknownNameError(group, name, error.options)
    if isinstance(error, OverrideParseException):
        return ConfigError(
            f"a setting must be written key=value, got {error.override!r}; a value with spaces, "
            f"brackets or commas needs quotes of its own, such as 'image=\"my photo (1).png\"'"
        )
    inner = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    if isinstance(inner, OmegaConfBaseException) and inner.full_key:
        return _explain_key(inner, inner.full_key)
    return ConfigError(f"the settings must fit together, but {_first_line(error)}")


def _explain_key(error: OmegaConfBaseException, key: str) -> FeatureKitError:
    if isinstance(error, MissingMandatoryValue):
        return ConfigError(f"{key} must be given, found nothing; add {key}=...")
    if isinstance(error, ConfigKeyError | AttributeError) and error.parent_node is not None:
        parent = key.rpartition(".")[0]
        siblings = (str(name) for name in error.parent_node if name != "hydra")
        return UnknownNameError(
            "setting", key, (f"{parent}.{name}" if parent else name for name in siblings)
        )
    misfit = re.search(r"Value '(.*)' of type '.*' could not be converted to (\w+)", str(error))
    if misfit:
        value, kind = misfit.groups()
        return ConfigError(f"{key} must be {_KINDS.get(kind, kind)}, got {value!r}")
    return ConfigError(f"{key} must fit its type, but {_first_line(error)}")


_KINDS = {"Integer": "a whole number", "Float": "a number", "Boolean": "true or false"}


def _first_line(error: Exception) -> str:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    return line[:1].lower() + line[1:]


def _split(override: str) -> tuple[str, str, str]:
    key, equals, value = override.partition("=")
    return key.strip().lstrip("+"), equals, value.strip()


def _is_source(value: str) -> bool:
    choices = {entry.name for entry in files(CONFIG_MODULE).joinpath("backbone").iterdir()}
    if f"{value}.yaml" in choices or "," in value:
        return False
    return "/" in value or Path(value).is_dir()


def _quoted(value: str) -> str:
    return "'" + value.replace("'", r"\'") + "'"
