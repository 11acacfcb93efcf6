"""Sessions as files: one safetensors file, with all that is no picture as JSON beside them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from featurekit.core.errors import ConfigError
from featurekit.core.file_bytes import read_metadata
from featurekit.core.shapes import expect
from featurekit.diffusion.backbone import Backbone
from featurekit.images.io import read_tensors, write_tensors
from featurekit.store.picture_reader import weights_of
from featurekit_drag.engine.request import Region
from featurekit_drag.engine.settings import DragSettings, WarpSettings
from featurekit_drag.session.history import Asked, Moment, Step
from featurekit_drag.session.reading import read_asked

FORMAT, VERSION = "featurekit.drag_session", "2"
LINEAR = "1"  # the version before, whose moments follow one another
KINDS = {"warp": WarpSettings, "drag": DragSettings}

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Saved:
    """What a session is, but for its backbone and what it computes anew."""

    prompt: str
    seed: int
    settings: WarpSettings | DragSettings
    steps: tuple[Step, ...]  # in the order of their numbers
    now: int  # number of the present one
    going: Asked | None  # of an edit that had not ended


class _Tensors:
    """Tensors by name, each once however often it is referred to."""

    def __init__(self) -> None:
        self.by_name: dict[str, Tensor] = {}
        self._names: dict[int, str] = {}

    def name(self, tensor: Tensor) -> str:
        if id(tensor) not in self._names:
            name = self._names[id(tensor)] = f"tensor.{len(self._names)}"
            self.by_name[name] = tensor
        return self._names[id(tensor)]


def write_session(saved: Saved, path: Path | str, backbone: Backbone) -> Path:
    """Write a session as one file, replaced as a whole.

    Raises:
        OutputError: the file cannot be written.
    """
    tensors = _Tensors()
    kind = next(name for name, one in KINDS.items() if isinstance(saved.settings, one))
    record = {
        "prompt": saved.prompt,
        "seed": saved.seed,
        "settings": {"kind": kind, "values": asdict(saved.settings)},
        "moments": [_moment_record(one.moment, tensors) for one in saved.steps],
        "steps": [[one.number, one.before] for one in saved.steps],
        "now": saved.now,
        "going": _asked_record(saved.going, tensors),
    }
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "backbone": backbone.name,
        "weights": weights_of(backbone),
        "session": json.dumps(record, sort_keys=True),
    }
    return write_tensors(tensors.by_name, path, metadata)


def read_session(path: Path | str, backbone: Backbone) -> Saved:
    """Read a session that ``write_session`` wrote, of this version or the one before.

    Raises:
        ConfigError: the file is missing, damaged, of another kind or version, or was made with
            other weights.
    """
    metadata = read_metadata(path)
    opening = f"a session must be a whole file of Session.save, got {str(path)!r}"
    if metadata.get("format") != FORMAT:
        found = metadata.get("format")
        kind = "names no format" if found is None else f"is of format {found!r}"
        raise ConfigError(f"{opening}, but it {kind}; give a file that was saved as one")
    if metadata.get("version") not in (VERSION, LINEAR):
        raise ConfigError(
            f"a session must be of version {LINEAR} or {VERSION}, but {str(path)!r} is of "
            f"{metadata.get('version')!r}; open it with the featurekit that saved it"
        )
    if metadata.get("weights") != weights_of(backbone):
        raise ConfigError(
            f"a session must go on with the weights that it was made with, those of backbone "
            f"{metadata.get('backbone')!r}, but {backbone.name!r} was given, or it was changed "
            f"since; load {str(path)!r} with the same backbone"
        )
    # copies: kernels may round by where a tensor lies in memory, and a file lays them anywhere
    tensors = {name: tensor.clone() for name, tensor in read_tensors(path).items()}
    try:
        return _assembled(json.loads(metadata["session"]), tensors)
    except (LookupError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{opening}, but a part of it is missing or damaged ({error}); save it again"
        ) from error


def _assembled(record: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Saved:
    steps = _steps(record, tuple(_moment(one, tensors) for one in record["moments"]))
    asked, now = record["settings"], int(record["now"])
    at = {one.number: one.moment for one in steps}
    if now not in at:
        raise ValueError(f"moment {now} of {len(steps)}")
    return Saved(
        prompt=_text(record["prompt"]),
        seed=int(record["seed"]),
        settings=_built(KINDS[asked["kind"]](), asked["values"]),
        steps=steps,
        now=now,
        going=_asked(record["going"], tensors, at[now].image),
    )


def _steps(record: Mapping[str, Any], moments: tuple[Moment, ...]) -> tuple[Step, ...]:
    """Put moments into their places; those of the version before stand in a row."""
    row = [[number, number - 1 if number else None] for number in range(len(moments))]
    steps: list[Step] = []
    for (number, before), moment in zip(record.get("steps", row), moments, strict=True):
        earlier = [one.number for one in steps]
        if type(number) is not int or (earlier and number <= earlier[-1]):
            raise ValueError(f"step {number} after {earlier[-1:]}")
        if before is not None and before not in earlier:
            raise ValueError(f"step {number} after {before}")
        steps.append(Step(number, moment, before))
    return tuple(steps)


def _moment_record(moment: Moment, tensors: _Tensors) -> dict[str, Any]:
    return {
        "image": tensors.name(moment.image),
        "mask": None if moment.mask is None else tensors.name(moment.mask),
        "asked": _asked_record(moment.asked, tensors),
        "candidates": [tensors.name(one) for one in moment.candidates],
        "chosen": moment.chosen,
        "remarks": moment.remarks,
    }


def _moment(record: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Moment:
    image = tensors[record["image"]]
    size = expect(image, "1 3 h w", of="image")
    mask = None if record["mask"] is None else tensors[record["mask"]]
    candidates = tuple(tensors[one] for one in record["candidates"])
    if mask is not None:
        expect(mask, "1 1 h w", of="mask", h=size["h"], w=size["w"])
    for one in candidates:
        expect(one, "1 3 h w", of="candidate", h=size["h"], w=size["w"])
    chosen = int(record["chosen"])
    if not 0 <= chosen < max(1, len(candidates)):
        raise ValueError(f"candidate {chosen} of {len(candidates)}")
    return Moment(
        image=image,
        mask=mask,
        asked=_asked(record["asked"], tensors, image),
        candidates=candidates,
        chosen=chosen,
        remarks=tuple(map(_text, record["remarks"])),
    )


def _asked_record(asked: Asked | None, tensors: _Tensors) -> dict[str, Any] | None:
    if asked is None:
        return None
    return {
        "points": asked.points,
        "pins": asked.pins,
        "regions": [[tensors.name(one.mask), *one.move.tolist()] for one in asked.regions],
        "mode": asked.mode,
    }


def _asked(
    record: Mapping[str, Any] | None, tensors: Mapping[str, Tensor], image: Tensor
) -> Asked | None:
    if record is None:
        return None
    regions = tuple(
        Region(tensors[name], torch.tensor([dx, dy], dtype=torch.float64))
        for name, dx, dy in record["regions"]
    )
    points = () if regions else record["points"]  # those of regions follow from them
    mode = record["mode"]
    return read_asked(image, (points, record["pins"], regions), mode)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _built(default: T, values: Mapping[str, Any]) -> T:
    """Fill a record of settings; every value must be of the kind of its default."""
    found = {}
    for one in fields(default):  # type: ignore[arg-type]
        own, value = getattr(default, one.name), values[one.name]
        if is_dataclass(own):
            value = _built(own, value)
        elif isinstance(own, tuple):
            value = tuple(map(_text, value))
        elif isinstance(own, float):
            value = float(value)
        if type(value) is not type(own):
            raise TypeError(f"{one.name} is {value!r}")
        found[one.name] = value
    return type(default)(**found)
