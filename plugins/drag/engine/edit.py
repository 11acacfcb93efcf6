"""What comes of an edit, whichever engine made it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, overload

from torch import Tensor

from featurekit.core.cache import Slot
from featurekit.core.types import Stop
from featurekit.diffusion.levels import NoiseSchedule
from featurekit_drag.engine.parts import DraggedLatent
from featurekit_drag.engine.request import Request, Stage, untimed


@dataclass(frozen=True)
class Frame:
    """The edit as it would be if the drag had ended on the way."""

    image: Tensor  # (1 3 h w) in [-1, 1], of the input's shape; a large one is shrunk
    handles: Tensor  # (n 2) where the handles are taken to be, px of the input image


@dataclass(frozen=True)
class Seam:
    """How an edit meets what lies outside its mask."""

    feather_px: int  # px of the work
    composite: bool  # False: the edit is taken as it is, everywhere


@dataclass(frozen=True)
class Edit:
    """What came of it."""

    image: Tensor  # (1 3 h w) in [-1, 1], size of the input
    stop: Stop
    trace: tuple[float, ...] = ()  # loss before each update
    frames: tuple[Frame, ...] = ()  # of the animation, the last is the end; empty unless asked for
    lora_losses: tuple[float, ...] = ()
    dragged: DraggedLatent | None = None  # of an engine that optimises or warps a latent
    candidates: Sequence[Tensor] = ()  # like ``image``, which is one of them
    stages: Mapping[str, Tensor] = field(default_factory=dict)  # pictures on the way, by name
    remarks: tuple[str, ...] = ()  # what a person should be told
    facts: Mapping[str, Any] = field(default_factory=dict)  # for run.json
    schedule: str = ""  # how its levels were chosen; none: as the engine's


class Made(Sequence[Tensor]):
    """Pictures that are made as they are looked at: several large ones need not be held at once."""

    def __init__(
        self, count: int, make: Callable[[int], Tensor], held: Mapping[int, Tensor] | None = None
    ) -> None:
        """Make none yet.

        Args:
            count: of the pictures.
            make: a picture by its number; each time the same.
            held: pictures by number that are there already.
        """
        self._count, self._make, self._held = count, make, held or {}

    def __len__(self) -> int:
        """How many there are."""
        return self._count

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Tensor]: ...

    def __getitem__(self, index: int | slice) -> Tensor | Sequence[Tensor]:
        """Make one, or as many as a slice has."""
        numbers = range(self._count)[index]
        if isinstance(numbers, range):
            return tuple(self[number] for number in numbers)
        return self._held[numbers] if numbers in self._held else self._make(numbers)


class Editor(Protocol):
    """An engine with its backbone and settings."""

    @property
    def schedule(self) -> NoiseSchedule:
        """The noise levels that it goes through, of a picture of the model's own size."""
        ...

    @property
    def seam(self) -> Seam:
        """How its edits are laid into a larger picture."""
        ...

    @property
    def keeps_resolution(self) -> bool:
        """Whether it takes pictures of any size and keeps their pixels where they only move."""
        ...

    @property
    def changes_network(self) -> bool:
        """Whether the network may be changed between its steps, as by a LoRA."""
        ...

    def kept(self, request: Request) -> Mapping[str, Slot[Any]]:
        """Where it keeps what the next edit of the picture can use, by the stage that makes it."""
        ...

    def __call__(self, request: Request, *, stage: Stage = untimed) -> Edit:
        """Edit a picture."""
        ...
