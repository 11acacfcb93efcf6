"""Overrides: the ``key=value`` words of a command line, and what is wrong with them."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import Field, fields
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import MISSING, OmegaConf
from omegaconf.errors import ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException

from featurekit.backbones import settings_for
from featurekit.core.errors import ConfigError, FeatureKitError, UnknownNameError
from featurekit.pipeline.text_values import as_text, kinds_of, quoted, unquoted

CONFIG_MODULE = "featurekit.conf"
NEEDED: Any = MISSING  # default of a key that must be given
LARGEST_SEED = 2**63 - 1  # every generator that is seeded takes as much
HYDRA_PACKAGES = {  # that Hydra's makers publish, by what they add
    "hydra/launcher": {
        "joblib": "hydra-joblib-launcher",
        "ray": "hydra-ray-launcher",
        "ray_aws": "hydra-ray-launcher",
        "rq": "hydra-rq-launcher",
        "submitit_local": "hydra-submitit-launcher",
        "submitit_slurm": "hydra-submitit-launcher",
    },
    "hydra/sweeper": {
        "ax": "hydra-ax-sweeper",
        "nevergrad": "hydra-nevergrad-sweeper",
        "optuna": "hydra-optuna-sweeper",
    },
}
_GROUPS = ("plugin", "backbone")  # root keys that hold settings
_KINDS = {"Integer": "a whole number", "Float": "a number", "Boolean": "true or false"}

Schema = TypeVar("Schema")


def split(override: str) -> tuple[str, str, str]:
    """Cut an override into its key without a leading ``+``, the equals sign, and its value."""
    key, equals, value = override.partition("=")
    return key.strip().lstrip("+"), equals, value.strip()


def named_plugins(overrides: Sequence[str]) -> tuple[str, ...]:
    """List the plugins that overrides choose by ``plugin=``, in order."""
    chosen = [value for key, _, value in map(split, overrides) if key == "plugin"]
    names = (name.strip() for value in chosen for name in unquoted(value).split(","))
    return tuple(filter(None, names))


def route_backbone(overrides: Sequence[str], *, sweep: bool = False) -> list[str]:
    """Rewrite ``backbone=`` a folder, a file or a hub id into a family's settings and a source.

    Args:
        overrides: as on the command line.
        sweep: whether a comma separates runs; then a value with one is left as it is.

    Returns:
        The overrides, with a value of ``backbone`` that is no config choice but an existing
        folder or file, or holds a slash, as ``backbone.source`` of the settings of sd15, of sdxl
        or of transformers, whichever it is. Of a hub id what tells them apart is fetched, unless
        it is in the local cache.
    """
    routed: list[str] = []
    for override in overrides:
        key, _, value = split(override)
        name = unquoted(value)
        if key == "backbone" and _is_source(name) and not (sweep and "," in value):
            source = str(Path(name).expanduser()) if name.startswith("~") else name
            routed += [f"backbone={settings_for(source)}", f"backbone.source={quoted(source)}"]
        else:
            routed.append(override)
    return routed


def fill(schema: type[Schema], overrides: Sequence[str]) -> Schema:
    """Fill a dataclass from ``key=value`` words, in the grammar of ``featurekit run``.

    Text is taken as it is, and a list of one thing needs no brackets.

    Args:
        schema: dataclass whose fields are the keys.
        overrides: words of the command line.

    Raises:
        ConfigError: a word is malformed, a value has the wrong type or a needed one is missing.
        UnknownNameError: a key does not exist.
    """
    config = OmegaConf.structured(schema)
    try:
        words = as_text(overrides, kinds_of(schema), sweep=False)
        for override in OverridesParser.create().parse_overrides(words):
            if override.is_sweep_override():
                raise one_value(override.input_line or "")
            OmegaConf.update(config, override.key_or_group, override.value())
        return OmegaConf.to_object(config)  # type: ignore[return-value]
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error) from error


def one_value(override: str) -> ConfigError:
    """Word the error for several values where one is meant."""
    key, _, value = split(override)
    return ConfigError(
        f"{key} takes one value, got {value}; several, with commas, are runs of their own in "
        f"featurekit run -m"
    )


def check_seed(seed: int) -> None:
    """Refuse a seed that not every generator takes.

    Raises:
        ConfigError: it is negative or larger than 63 bits.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise ConfigError(
            f"seed must lie in 0 to {LARGEST_SEED}, got {seed}; choose another whole number"
        )


def usage(schema: type[Any]) -> str:
    """List a dataclass's keys, needed ones first, with their defaults and ``help`` of metadata."""
    rows = [
        (f"{entry.name}={_shown(entry)}", str(entry.metadata.get("help", "")))
        for entry in sorted(fields(schema), key=lambda entry: entry.default != NEEDED)
    ]
    width = max(len(key) for key, _ in rows)
    return "\n".join(f"  {key:<{width}}  {words}".rstrip() for key, words in rows)


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
        return UnknownNameError(group, name, error.options, _how_to_install(group, name))
    if isinstance(error, OverrideParseException):
        return _explain_word(error.override)
    several = re.match(r"Ambiguous value for argument '(.*?)'\n", str(error), flags=re.DOTALL)
    if several:
        return one_value(several[1])
    cause = error.__cause__ or error.__context__  # Hydra names no cause for a file's own mistake
    inner = error if isinstance(error, OmegaConfBaseException) else cause
    if isinstance(inner, OmegaConfBaseException) and inner.full_key:
        return _explain_key(inner, inner.full_key)
    return ConfigError(f"the settings must fit together, but {_first_line(error)}")


def _how_to_install(group: str, name: str) -> str:
    """What brings a launcher or a sweeper of Hydra's own that is not installed."""
    package = HYDRA_PACKAGES.get(group, {}).get(name)
    return f"pip install {package} brings it" if package else ""


def _explain_word(override: str) -> ConfigError:
    """Word the error for an override that Hydra cannot read, with one that it can."""
    key, equals, value = split(override)
    advice = f"; as text it is {shlex.quote(f'{key}={quoted(value)}')}" if equals and key else ""
    return ConfigError(f"a setting must be written key=value, got {override!r}{advice}")


def _explain_key(error: OmegaConfBaseException, key: str) -> FeatureKitError:
    if isinstance(error, MissingMandatoryValue):
        return ConfigError(f"{key} must be given, found nothing; add {key}=...")
    if isinstance(error, ConfigKeyError | AttributeError) and error.parent_node is not None:
        parent = key.rpartition(".")[0]
        node = error.parent_node
        siblings = [str(name) for name in node if name != "hydra"]
        within = (
            [] if parent else [name for name in _GROUPS if name in siblings and key in node[name]]
        )
        return UnknownNameError(
            "setting",
            key,
            (f"{parent}.{name}" if parent else name for name in siblings),
            near=[f"{group}.{key}" for group in within],
        )
    misfit = re.search(r"Value '(.*)' of type '.*' could not be converted to (\w+)", str(error))
    if misfit:
        value, kind = misfit.groups()
        return ConfigError(f"{key} must be {_KINDS.get(kind, kind)}, got {value!r}")
    return ConfigError(f"{key} must fit its type, but {_first_line(error)}")


def _first_line(error: Exception) -> str:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    return line[:1].lower() + line[1:]


def _is_source(value: str) -> bool:
    choices = {entry.name for entry in files(CONFIG_MODULE).joinpath("backbone").iterdir()}
    given = "/" in value or value.endswith(".safetensors") or Path(value).exists()
    return given and f"{value}.yaml" not in choices


def _shown(entry: Field[Any]) -> str:
    if entry.default_factory is not NO_DEFAULT:
        return str(entry.default_factory()).replace("'", "").replace(" ", "")
    return "..." if entry.default == NEEDED else str(entry.default)
