"""The roles that parts of a drag play, and the records that pass between them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from torch import Tensor

from featurekit.core.types import Progress, Stop


@dataclass(frozen=True)
class Drags:
    """Handles and where they should be, unit coordinates, (n 2) as (x, y) each."""

    handles: Tensor
    targets: Tensor


@dataclass(frozen=True)
class Readout:
    """What one forward of the network says of a latent."""

    field: Tensor  # feature map (1 c h w), with its graph
    next_latent: Tensor | None  # one DDIM step less noisy; None where the mask term is not asked


Pull: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""``(field, handles)`` to a 0-dim loss: how far the features are from what they should be."""

Follow: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""``(field, handles)`` to the handles (n 2) as they are found in these features."""


class Motion(Protocol):
    """How the handles of one level pull, are followed, and when they have arrived."""

    def follow(self, field: Tensor, handles: Tensor) -> Tensor:
        """Find the handles (n 2) again in the features (1 c h w) of a moved latent."""
        ...

    def loss(self, field: Tensor, handles: Tensor) -> Tensor:
        """Say, 0-dim, how far the features (1 c h w) are from what they should be."""
        ...

    def has_arrived(self, handles: Tensor) -> bool:
        """Tell whether no handle (n 2) has to move any more."""
        ...


MakeMotion: TypeAlias = Callable[[Tensor, Drags], Motion]
"""``(field, drags)``: the motion of a level, from its unmoved features (1 c h w)."""


class Variable(Protocol):
    """What Adam changes at one level, and what the network says of it."""

    @property
    def start(self) -> Tensor:
        """Its value for the latent that it was made of."""
        ...

    def read(self, value: Tensor) -> Readout:
        """One forward with a value."""
        ...

    def clean(self, values: tuple[Tensor, ...]) -> Tensor:
        """Predict the clean latents of some values in one call, (n c h w)."""
        ...

    def placed(self, value: Tensor) -> tuple[Tensor, Tensor | None]:
        """Latent that denoising goes on from, and the bottleneck that is put into each step."""
        ...


class Outside(Protocol):
    """What becomes of the latent outside the mask at one level."""

    def held(self, value: Tensor) -> Tensor:
        """Put back what may not change."""
        ...

    def price(self, readout: Readout) -> Tensor:
        """What the change costs, 0-dim."""
        ...


MakeOutside: TypeAlias = Callable[[Tensor, Readout], Outside]
"""``(value, readout)`` of a level's unmoved latent to what holds its outside."""


@dataclass(frozen=True)
class Station:
    """What was dragged at one forward."""

    level: int
    value: Tensor  # of the variable
    handles: Tensor  # (n 2) where they were taken to be, units


@dataclass(frozen=True)
class DraggedLatent:
    """A dragged latent, and where its handles were on the way."""

    latent: Tensor
    stop: Stop
    trace: tuple[float, ...]  # loss before each update
    handle_path: tuple[Tensor, ...]  # handles (n 2) in units: at first, then at each forward
    stations: tuple[Station, ...] = ()  # every forward; empty unless they were to be kept
    level: int = 0  # of ``latent``, from which denoising goes on
    bottleneck: Tensor | None = None  # put in the place of the network's own in each later step

    @property
    def latents(self) -> tuple[Tensor, ...]:
        """What was dragged, at every forward."""
        return tuple(station.value for station in self.stations)


@dataclass(frozen=True)
class Model:
    """What a schedule asks of the network, level by level."""

    variable: Callable[[int, Tensor], Variable]  # of a level, for the latent there
    step: Callable[[int, Tensor], Tensor]  # one plain DDIM step down from a level, no gradient


class Unmoved(Protocol):
    """The picture's own latents, level by level."""

    def at(self, level: int) -> Tensor:
        """Take the latent of a level, (1 c h w)."""
        ...

    def missed(self, level: int) -> Tensor:
        """Say what a step down from a level misses of the picture's own latent below it."""
        ...


@dataclass(frozen=True)
class Course:
    """What a drag starts from: the same for every schedule."""

    model: Model
    level: int  # the noisiest level that is dragged
    unmoved: Unmoved
    drags: Drags
    start: Tensor | None = None  # the latent to move, already warped; None: the unmoved one
    handles: Tensor | None = None  # where a warp took them; None: where they were
    keep: bool = False  # every forward's value, for an animation

    @property
    def handles_now(self) -> Tensor:
        """Where the handles are in what is to be moved, (n 2) units."""
        return self.drags.handles if self.handles is None else self.handles


class Schedule(Protocol):
    """When what is dragged."""

    def __call__(self, course: Course, *, progress: Progress) -> DraggedLatent:
        """Drag."""
        ...
