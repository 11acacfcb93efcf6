"""A store of features on disk: what lies where, what its records say, what makes two alike.

``store.json`` says what the store holds, ``reduction.safetensors`` what its recipe was fitted to.
Each group of samples has a folder: shards, a manifest beside each, and ``commits.jsonl``. A shard
counts from the moment its line is there.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cache, cached_property
from hashlib import sha256
from importlib.metadata import version
from shlex import quote
from typing import Any

from featurekit.core.errors import ConfigError
from featurekit.core.json_files import json_of
from featurekit.core.sharding import hash_of_id
from featurekit.images.packed import PictureFile
from featurekit.store.places.place import Place, folders_in, of_content
from featurekit.store.recipe import parse_recipe

FORMAT = 1
FEATURES, TRAJECTORIES = "features", "trajectories"
HEADER, FITTED = "store.json", "reduction.safetensors"
TENSORS, MANIFEST = ".safetensors", ".jsonl"
MARK = "featurekit"  # key of the one word of a shard's metadata: several come in random order

_version = cache(version)  # of this process: looking it up takes milliseconds
_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
_OTHER_WEIGHTS = (
    ": other files, or a network that was changed after it was loaded, as by an adapter or FreeU"
)


@dataclass(frozen=True, slots=True)  # there may be a million
class SampleRef:
    """A sample that is to be stored, before it is read."""

    id: str
    source: str  # hash of the picture's bytes
    size: tuple[int, ...]  # what its tensors' shapes depend on: rows and columns in px
    seed: int = 0  # of its noise
    file: PictureFile | None = field(default=None, compare=False)  # to be read; not stored


@dataclass(frozen=True)
class Provenance:
    """What made the features, apart from the pictures."""

    backbone: str
    weights: str  # hash or revision
    taps: Mapping[str, str]  # module path by name
    timesteps: tuple[float, ...]  # train timesteps, whole ones but of a flow
    levels: tuple[int, ...] = ()  # of the schedule, one per timestep, where there is one
    schedule: str = ""  # fingerprint
    conditioning: str = ""  # ``Conditioning.fingerprint``
    preprocessing: str = ""
    seeds: str = ""  # policy: how noises follow from a sample's seed, ensembles included


@dataclass(frozen=True)
class Layout:
    """How samples are spread over shards; no matter how many workers write."""

    samples: int = 64  # of a full shard
    groups: int = 16  # at most as many workers have something to do

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be.

        Raises:
            ConfigError: one is below 1, or there are more groups than folder names.
        """
        if self.samples < 1 or not 1 <= self.groups <= 9999:
            raise ConfigError(
                f"a layout needs at least 1 sample a shard and 1 to 9999 groups, "
                f"got {self.samples} and {self.groups}"
            )


@dataclass(frozen=True)
class StoreSpec:
    """What a run wants to have in a store."""

    provenance: Provenance
    recipe: tuple[str, ...] = ()  # words of ``recipe.parse_recipe``
    layout: Layout | None = None  # of a new store; none takes what is there, else the default
    kind: str = FEATURES
    fitted_to: int = 64  # samples that a step such as pca is fitted to

    def __post_init__(self) -> None:
        """Refuse a recipe that cannot be followed.

        Raises:
            FeatureKitError: it has an unknown step or a wrong number, or is fitted to nothing.
        """
        parse_recipe(self.recipe)
        if self.fitted_to < 1:
            raise ConfigError(f"a recipe must be fitted to 1 sample or more, got {self.fitted_to}")


@dataclass(frozen=True)
class Header:
    """What a store holds: a spec that is settled."""

    kind: str
    provenance: Provenance
    recipe: tuple[str, ...]
    fitted: str  # hash of what the recipe was fitted to; empty if it needs nothing
    layout: Layout
    toolkit: str = field(default_factory=lambda: _version("featurekit"))

    def record(self) -> dict[str, Any]:
        """As ``store.json`` has it."""
        return {"format": FORMAT, **asdict(self)}

    def key(self, sample: SampleRef) -> str:
        """Hash all that a sample's stored bytes follow from: equal keys, equal bytes."""
        sample_says = {"seed": sample.seed, "size": sample.size, "source": sample.source}
        digest = self._made.copy()
        digest.update(b"," + line(sample_says)[1:])
        return str(digest.hexdigest())

    @cached_property
    def _made(self) -> Any:  # noqa: ANN401  # hashlib has no public name for it
        """Hash begun with what every sample's key has in common, whose names come before others."""
        made = self.record()
        del made["layout"], made["toolkit"]
        return sha256(line(made).removesuffix(b"}\n"))


def line(record: Mapping[str, Any]) -> bytes:
    """Write a record as a line of JSON, equal records to equal bytes."""
    return (_JSON.encode(record) + "\n").encode()


def group_folder(root: Place, group: int) -> Place:
    """Folder of a group of samples."""
    return root / f"{group:04d}"


def shard_path(root: Place, shard: str, ending: str = TENSORS) -> Place:
    """File of a shard or, with its ending, of the shard's manifest."""
    return root / shard.partition("-")[0] / f"{shard}{ending}"


def shard_name(group: int, keyed: Sequence[tuple[str, str]]) -> str:
    """Name a shard after the (id, key) of its samples: equal names, equal bytes."""
    digest = sha256(b"".join(line({"id": name, "key": key}) for name, key in keyed))
    return f"{group:04d}-{digest.hexdigest()[:16]}"


def chunks(refs: Sequence[SampleRef], samples: int) -> Iterator[list[SampleRef]]:
    """Cut one group's samples into shards: each of one size, in the order of the ids' hashes."""
    for size in sorted({ref.size for ref in refs}):
        alike = sorted((r for r in refs if r.size == size), key=lambda ref: hash_of_id(ref.id))
        for start in range(0, len(alike), samples):
            yield alike[start : start + samples]


def repair_with(root: Place) -> str:
    """Word the advice that mends a damaged store; it works for each damage that carries it."""
    return (
        f"run: featurekit store repair {quote(str(root))}; then write the store again: "
        f"only what is damaged is redone"
    )


def shard_files(root: Place) -> Iterator[Place]:
    """Shards of a store by their names alone, each group's in order; those of no log as well."""
    for folder in group_folders(root) if root.is_dir() else ():
        found = (path for path in folder.iterdir() if path.suffix == TENSORS)
        yield from sorted((one for one in found if one.name[0].isdecimal()), key=_name)


def group_folders(root: Place) -> list[Place]:
    """Folders of the groups that have been begun, in order."""
    return [folder for folder in folders_in(root) if folder.name.isdecimal()]


def is_begun(root: Place) -> bool:
    """Tell whether a folder has a header, or shards whose header is lost."""
    return (root / HEADER).is_file() or any(True for _ in shard_files(root))


def read_header(root: Place) -> Header:
    """Read what a store holds.

    Raises:
        ConfigError: there is no store, it is of another format, or its header is damaged.
    """
    path = root / HEADER
    if not path.is_file():
        advice = "give the folder that featurekit extract wrote as store=..., or its address"
        if is_begun(root):
            advice = f"it has shards, so {repair_with(root)}"
        raise ConfigError(
            f"a store must be a folder with {HEADER}, found none in {str(root)!r}; {advice}"
        )
    try:
        record = json_of(path.read_bytes(), str(path))
    except ConfigError as error:
        raise ConfigError(f"{error}; {repair_with(root)}") from error
    return header_of(record, root)


def fitted_file(root: Place, header: Header) -> Place | None:
    """Find what a store's recipe was fitted to; none if it needs nothing.

    Raises:
        ConfigError: it is missing or changed.
    """
    if not header.fitted:
        return None
    path = of_content(root / FITTED, header.fitted)
    if not path.is_file() or sha256(path.read_bytes()).hexdigest() != header.fitted:
        raise ConfigError(
            f"a store needs the {FITTED} that it was made with, but {str(path)!r} is missing or "
            f"changed; restore it from a copy or write the store anew in another folder"
        )
    return path


def header_of(record: dict[str, Any], root: Place) -> Header:
    """Read a header from its record, as ``store.json`` and the metadata of each shard have it.

    Raises:
        ConfigError: it is of another format, or something is missing.
    """
    rest = dict(record)
    found = rest.pop("format", None)
    if found != FORMAT:
        raise ConfigError(
            f"a store must be of format {FORMAT}, got {found!r} in {str(root)!r} (written by "
            f"featurekit {rest.get('toolkit', 'unknown')}); write it anew or use that version"
        )
    try:
        made = dict(rest["provenance"])
        made |= {name: tuple(made[name]) for name in ("timesteps", "levels")}
        rest["provenance"] = Provenance(**made)
        rest["layout"] = Layout(**rest["layout"])
        rest["recipe"] = tuple(rest["recipe"])
        return Header(**rest)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{str(root / HEADER)!r} must be what a store wrote, but {error}; {repair_with(root)}"
        ) from error


def refuse_mismatch(header: Header, spec: StoreSpec, root: Place) -> None:
    """Refuse to mix what does not belong together.

    Raises:
        ConfigError: the store holds features that were made or reduced in another way.
    """
    pairs = [(name, getattr(header, name), getattr(spec, name)) for name in ("kind", "recipe")]
    names = [entry.name for entry in fields(Provenance)]
    pairs += [
        (name, getattr(header.provenance, name), getattr(spec.provenance, name))
        for name in sorted(names, key="conditioning".__eq__)  # last: other numbers change it too
    ]
    if spec.layout is not None:
        pairs.append(("layout", header.layout, spec.layout))
    for name, found, wanted in pairs:
        if found != wanted:
            cause = _OTHER_WEIGHTS if name == "weights" else ""
            raise ConfigError(
                f"a store must hold features of one making, but {str(root)!r} has {name} "
                f"{found!r} and {wanted!r} is asked for{cause}; choose another folder"
            )


def _name(path: Place) -> str:
    return path.name
