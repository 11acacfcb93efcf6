"""Settings: the schema of a run and its composition by Hydra."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from threading import RLock

from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from featurekit.backbones import FAMILIES
from featurekit.core.errors import ConfigError, PluginError
from featurekit.pipeline.overrides import CONFIG_MODULE, explain, named_plugins, route_backbone
from featurekit.pipeline.registry import Plugin, load_plugin, plugins
from featurekit.pipeline.text_values import as_text, kinds_of

CONFIG_NAME = "config"
HYDRA_VERSION_BASE = "1.3"
NO_PLUGIN = "none"  # conf/plugin/none.yaml, so that --help works before a plugin is chosen
BY_BACKBONE = "backbone_defaults"  # group of PLUGIN_BACKBONE.yaml in a plugin's folder of presets


@dataclass
class PluginConfig:
    """Base of every plugin's schema. A schema sets the default of ``name`` to the plugin's name."""

    name: str = MISSING


@dataclass
class LoraConfig:
    """How a LoRA is fitted on one backbone; see featurekit.backbones.lora.LoraRecipe."""

    rank: int = MISSING
    alpha: float = MISSING
    learning_rate: float = MISSING
    steps: int = MISSING
    batch: int = MISSING


@dataclass
class BackboneConfig:
    """A model, and what has been measured to work on it."""

    name: str = MISSING
    source: str | None = None  # folder, .safetensors file or hub id; none: the family's own
    vae: str | None = None  # folder or .safetensors file; none: the model's own
    prediction: str | None = None  # epsilon or v_prediction; none: what the model says
    lora_file: str | None = None  # .safetensors file of an update that the layers are to hold
    lora_scale: float = 1.0  # factor of that update
    compile: bool = False  # its repeated blocks, when they are first called
    lora: LoraConfig = field(default_factory=LoraConfig)


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
    cache: str = "auto"  # folder of what took long; auto: the user's cache folder; none: no such
    engine: str = ""  # ray: workers on every device do a share each; empty: this process alone
    workers: int = 0  # of the engine; 0: one a device


ROOT_KEYS = tuple(RunConfig.__dataclass_fields__)


_COMPOSING = RLock()


class PresetPath(SearchPathPlugin):  # type: ignore[misc]  # Hydra publishes no types
    """Lets Hydra find the presets of the plugins that have been registered."""

    folders: dict[str, str] = {}  # noqa: RUF012  # Hydra instantiates the class itself

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append each plugin's folder, called by Hydra."""
        for name, folder in self.folders.items():
            search_path.append(provider=f"featurekit plugin {name}", path=folder)


def register(
    names: Iterable[str], backbones: Mapping[str, str] | None = None
) -> tuple[Plugin, ...]:
    """Make the schemas and presets of plugins known to Hydra, and the presets of no others.

    Args:
        names: plugins to load.
        backbones: family by name of backbones that a user's own files describe.

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
    store.repo.pop(BY_BACKBONE, None)  # of plugins that were registered before
    for plugin in loaded:
        _lend_to_families(plugin, {**FAMILIES, **(backbones or {})})
    Plugins.instance().register(PresetPath)
    return loaded


@dataclass(frozen=True)
class Registered:
    """What Hydra knows now, and what it cannot know."""

    plugins: tuple[Plugin, ...]
    broken: tuple[PluginError, ...] = ()  # plugins that nobody named, with what is wrong

    def as_text(self, overrides: Sequence[str], *, sweep: bool = False) -> list[str]:
        """Quote the values of settings that are text, of a run and of these plugins."""
        kinds = kinds_of(RunConfig)
        for plugin in self.plugins:
            kinds |= kinds_of(plugin.schema, "plugin.")
        return as_text(overrides, kinds, sweep=sweep)


def register_for(
    overrides: Sequence[str], backbones: Mapping[str, str] | None = None
) -> Registered:
    """Register the plugins that overrides name; all of them where none is named.

    Args:
        overrides: as on the command line; ``plugin=a,b`` names two.
        backbones: as for ``register``.

    Returns:
        The plugins; those that nobody named and that are broken are left out, the others work.

    Raises:
        UnknownNameError: a named plugin does not exist.
        PluginError: a named plugin is broken.
    """
    named = named_plugins(overrides)
    if named:
        return Registered(register((name for name in named if name != NO_PLUGIN), backbones))
    sound, broken = [], []
    for name in sorted({info.name for info in plugins()}):
        try:
            sound.append(load_plugin(name).name)
        except PluginError as error:
            broken.append(error)
    return Registered(register(sound, backbones), tuple(broken))


def own_backbones(folder: Path) -> dict[str, str]:
    """Read which families the backbones of a user's own config folder are of.

    Args:
        folder: what ``--config-dir`` names; its ``backbone/*.yaml`` name a backbone of ours as
            their ``name`` or in their defaults.

    Returns:
        Family by the file's name, without files that name no backbone of ours.

    Raises:
        ConfigError: a file cannot be read, or is no YAML.
    """
    found: dict[str, str] = {}
    for path in sorted(folder.glob("backbone/[!.]*.yaml")):
        try:
            described = OmegaConf.to_container(OmegaConf.load(path))
        except (OSError, YAMLError) as error:
            raise ConfigError(f"a config must be YAML, but {str(path)!r}: {error}") from error
        if not isinstance(described, dict):
            continue
        bases = [described.get("name"), *(described.get("defaults") or ())]
        families = [FAMILIES[base] for base in bases if isinstance(base, str) and base in FAMILIES]
        if families:
            found[path.stem] = families[0]
    return found


def _lend_to_families(plugin: Plugin, backbones: Mapping[str, str]) -> None:
    """Give each backbone for which a plugin brings no defaults those of the backbone's family."""
    if not plugin.presets:
        return
    try:
        folder = files(plugin.presets.removeprefix("pkg://")) / BY_BACKBONE
    except ImportError:  # a folder that is not there holds no presets either
        return
    brought = {Path(one.name).stem for one in folder.iterdir()} if folder.is_dir() else set()
    for backbone, family in backbones.items():
        name, lent = (f"{plugin.name}_{one}" for one in (backbone, family))
        if name not in brought and lent in brought:
            ConfigStore.instance().store(
                name,
                {"defaults": [lent]},
                group=BY_BACKBONE,
                package="plugin",
                provider=plugin.name,
            )


@contextmanager
def _aside() -> Iterator[None]:
    """Let a configuration be composed inside a run, whose own Hydra is then as it was before.

    One thread at a time: Hydra is one for a whole process.
    """
    with _COMPOSING:
        yield from _alone()


def _alone() -> Iterator[None]:
    running, store = GlobalHydra.instance().hydra, ConfigStore.instance()
    folders, lent = PresetPath.folders, store.repo.get(BY_BACKBONE)
    GlobalHydra.instance().clear()
    try:
        yield
    finally:
        GlobalHydra.instance().hydra = running  # another instance than before: Hydra replaces it
        PresetPath.folders = folders
        store.repo.pop(BY_BACKBONE, None)
        if lent is not None:
            store.repo[BY_BACKBONE] = lent


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
    try:
        with _aside():
            routed = register_for(routed).as_text(routed)
            with initialize_config_module(CONFIG_MODULE, version_base=HYDRA_VERSION_BASE):
                return hydra_compose(CONFIG_NAME, overrides=routed)  # type: ignore[no-any-return]
    except (HydraException, OmegaConfBaseException, ValueError, TypeError) as error:
        raise explain(error) from error
