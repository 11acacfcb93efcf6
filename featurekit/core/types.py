"""Frozen records that cross stages. Importing them does not import torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from enum import Enum
from hashlib import sha256
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias

from featurekit.core.cache import NO_CACHE, Cache
from featurekit.core.sharding import Share

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

Predict: TypeAlias = Callable[["Tensor", "float | Tensor"], "Tensor"]
"""``(z, t) -> eps``: latent (b c h w) and train timestep (one number, or (b,)) to predicted noise.

A flow's answers ``v = eps - x0`` and is told real timesteps, those of diffusion models whole ones.
"""

Shape: TypeAlias = tuple[int, ...]
"""Sizes of a tensor's axes."""

Progress: TypeAlias = Callable[[int, int], None]
"""``(done, total)``, called after each unit of long work."""


Say: TypeAlias = Callable[[str], None]
"""Told one line for a person: what work will cost, what was found, how to go on."""


def silent(done: int, total: int) -> None:
    """Report progress to nobody."""


def unsaid(line: str) -> None:
    """Say a line to nobody."""


class Stop(Enum):
    """Why a loop ended; the value is the sentence a person reads."""

    REACHED = "every handle is at its target"
    MAX_UPDATES = "the allowed number of updates is used up"
    STALLED = "the handles no longer move"
    DONE = "everything was carried out; nothing is left to be optimised"
    DIVERGED = "the loss left the finite numbers; the last good latent is kept"


@dataclass(frozen=True)
class Tap:
    """One readable activation of a network, known before the network is run."""

    name: str
    path: str  # module path inside the network, as in ``named_modules``
    role: str  # "block", "mid", ...: what the activation is in the architecture
    channels: int  # of a "heads" activation the number of heads
    stride: int  # pixels of the input image per cell; of "words" 0, since they have no place
    side: str = "out"  # of the module: "out", "out0", "in", "skip0", or "map" (an attention's)
    form: str = "map"  # (b c h w); "tokens" (b h*w c); "words" (b n c); "heads" (b heads q k)
    place: str = "all"  # of the picture's "tokens" beside those of a text: "first" or "last"
    network: str = "denoiser"  # which of the backbone's networks the path lies in, or "vae"

    @property
    def address(self) -> str:
        """Path and side as ``capture`` and ``inject`` take them."""
        return self.path if self.side == "out" else f"{self.path}:{self.side}"


@dataclass(frozen=True)
class Conditioning:
    """What a prompt becomes for one backbone."""

    states: Tensor  # (1 n d) hidden states of the text encoder
    prompt: str
    extra: Mapping[str, Tensor] = field(default_factory=dict)  # e.g. pooled embeddings

    def __repr__(self) -> str:
        """One line, never the numbers."""
        prompt = shorten(self.prompt, 60, placeholder="...")
        extra = "".join(f", {key} {tuple(one.shape)}" for key, one in sorted(self.extra.items()))
        return f"Conditioning({prompt!r}, states {tuple(self.states.shape)}{extra})"

    @property
    def fingerprint(self) -> str:
        """Hash of prompt and numbers: equal for equal conditionings, for provenance."""
        digest = sha256(self.prompt.encode())
        for name, tensor in (("states", self.states), *sorted(self.extra.items())):
            digest.update(f"{name} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class FeatureMap:
    """An activation together with what it is an activation of."""

    tensor: Tensor  # (b c h w)
    tap: str
    timestep: float
    stride: int  # pixels of the input image per cell
    picture_px: tuple[int, int] | None = None  # rows and columns of the picture; None: all cells

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the tensor, (b, c, h, w)."""
        return tuple(self.tensor.shape)

    @property
    def dtype(self) -> torch.dtype:
        """Of the tensor."""
        return self.tensor.dtype

    @property
    def device(self) -> torch.device:
        """Of the tensor."""
        return self.tensor.device

    def cpu(self) -> Self:
        """The same map on the CPU."""
        return replace(self, tensor=self.tensor.cpu())

    def to(self, where: torch.device | torch.dtype | str) -> Self:
        """The same map on another device, or in another dtype."""
        return replace(self, tensor=self.tensor.to(where))

    def numpy(self) -> NDArray[Any]:
        """The numbers (b c h w) as an array on the CPU, without gradients.

        bfloat16, which NumPy does not have, becomes float32, which holds the same numbers.
        """
        plain = self.tensor.detach().cpu()
        array: NDArray[Any] = (
            plain.float() if str(plain.dtype) == "torch.bfloat16" else plain
        ).numpy()
        return array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:  # noqa: ANN401
        """What ``np.asarray`` gives: the numbers, as ``numpy`` does."""
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    def __dlpack__(  # what the protocol may ask for
        self,
        *,
        stream: Any = None,  # noqa: ANN401
        max_version: tuple[int, int] | None = None,
        dl_device: Any = None,  # noqa: ANN401
        copy: bool | None = None,
    ) -> Any:  # noqa: ANN401
        """What ``torch.as_tensor`` and ``from_dlpack`` give: the tensor, without gradients."""
        return self.tensor.detach().__dlpack__(
            stream=stream, max_version=max_version, dl_device=dl_device, copy=copy
        )

    def __dlpack_device__(self) -> Any:  # noqa: ANN401
        """Where the tensor is, as the protocol numbers devices."""
        return self.tensor.__dlpack_device__()

    @property
    def size_px(self) -> tuple[int, int]:
        """Rows and columns of the picture in px, without what it was padded with."""
        rows, columns = self.grid
        return self.picture_px or (rows * self.stride, columns * self.stride)

    @property
    def inside(self) -> tuple[int, int]:
        """Rows and columns of the cells whose centres lie in the picture; 1 at least."""
        least, twice = self.stride - 1, 2 * self.stride
        rows, columns = (max((2 * side + least) // twice, 1) for side in self.size_px)
        return rows, columns

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        return self.tensor.shape[2], self.tensor.shape[3]

    def __repr__(self) -> str:
        """One line, never the numbers."""
        shape, dtype = tuple(self.tensor.shape), str(self.tensor.dtype).removeprefix("torch.")
        kind = type(self).__name__
        return f"{kind}({self.tap} t={self.timestep} {shape} {dtype} stride={self.stride}px)"


@dataclass(frozen=True)
class Optimised:
    """A latent after gradient updates, and how it came about."""

    latent: Tensor
    stop: Stop
    trace: tuple[float, ...]  # loss before each update

    @property
    def updates(self) -> int:
        """How many gradient updates were made."""
        return len(self.trace)


ShareOfJob: TypeAlias = Callable[["Job", Share, Progress], Any]
"""A worker's share of a job's work; told done and total of the share."""


class Workers(Protocol):
    """An engine's workers, as a job has them."""

    def __call__(self, work: ShareOfJob, progress: Progress) -> list[Any]:
        """Let each do a share; give what came of it, by share."""

    def kept(self) -> AbstractContextManager[None]:
        """Start them once for all calls in the block."""


@dataclass(frozen=True)
class Job:
    """What ``run`` hands to a plugin: everything it may use, nothing it must look up."""

    backbone: Any  # featurekit.diffusion.backbone.Backbone
    settings: Any  # the plugin's schema dataclass, filled
    task: str
    image: str | None
    prompt: str
    seed: int
    out: Path  # existing, writable folder
    stage: Callable[[str], AbstractContextManager[Progress]]  # times a stage and shows a bar
    cache: Cache = NO_CACHE  # keeps what took long for the next run
    say: Say = unsaid  # tells the person a line now; run.json keeps it among its notes
    workers: Workers | None = None  # an engine's; none: alone

    def shared(self, work: ShareOfJob, *, progress: Progress = silent) -> list[Any]:
        """Let the workers of an engine do a share each, or this process all of it.

        Args:
            work: a function of the plugin's modules, or ``functools.partial`` of one. A worker
                calls it with this job as it is there, its share and what it tells progress by.
            progress: told what all have done, of all.

        Returns:
            What it gave in each worker, by its share; alone that of one call.

        Raises:
            FeatureKitError: as the engine or ``work`` raises it.
        """
        if self.workers is None:
            return [work(self, Share(), progress)]
        return self.workers(work, progress)

    def workers_kept(self) -> AbstractContextManager[None]:
        """Start an engine's workers once for all calls of ``shared`` in the block.

        They start with the first call and end with the block, so that what comes after has their
        memory. What a worker has loaded for one work, such as the backbone, is there for the next.
        """
        return nullcontext() if self.workers is None else self.workers.kept()


@dataclass(frozen=True)
class Result:
    """What a plugin hands back; ``run`` turns it into run.json."""

    stop: str  # the sentence of why it ended
    metrics: Mapping[str, Any]  # JSON-able
    outputs: Mapping[str, Path]  # name -> file inside ``Job.out``
    summary: str = ""  # a few lines for the terminal: what was made, how far it came
    skipped: tuple[str, ...] = ()  # inputs that could not be used, each with its reason
    schedule: str = ""  # how the timesteps of its runs were chosen, as ``Schedule.told`` says it
