"""A prior over conditions: what the text encoder makes of many captions, as a Gaussian to draw of.

Source: Yun et al. 2024, arXiv:2401.04362: PCA of text embeddings, normal in the PCA's space. The
coordinates of a PCA are uncorrelated, so that the Gaussian is diagonal.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from warnings import warn

import torch
from torch import Tensor

from featurekit.core.errors import ConfigError, FeatureKitWarning, ShapeError
from featurekit.core.file_bytes import read_metadata
from featurekit.core.shapes import expect
from featurekit.core.types import Progress, silent
from featurekit.diffusion.backbone import Backbone
from featurekit.images.io import read_tensors, write_tensors
from featurekit.scenes import TRAIN_SEEDS, scene
from featurekit_sketch.sampling.captions import takes_prior
from featurekit_sketch.sampling.pca import principal_axes

FAMILY, VERSION = "featurekit.prior/", "1"  # what a file says it is
TENSORS = ("mean", "axes", "deviations")
COMPONENTS = 512  # of the paper's prior
WORLD_CAPTIONS = 1000  # where no others are given
BATCH = 16  # captions per call of the text encoder


@dataclass(frozen=True, eq=False)
class Prior:
    """A Gaussian over the hidden states of a text encoder; float32 on the CPU."""

    mean: Tensor  # (n d)
    axes: Tensor  # (k n*d), orthonormal rows, in order of their deviations
    deviations: Tensor  # (k,), standard deviation along each axis
    source: str  # what it was fitted on
    encoder: str  # fingerprint of the text encoder; "" if its weights are random
    kept: float  # share of the captions' variance that the axes hold

    def __post_init__(self) -> None:
        """Refuse tensors that do not fit each other.

        Raises:
            ShapeError: an axis differs, or a dtype is not float32.
            ConfigError: a number is not finite, a deviation negative, or there is no axis.
        """
        size = expect(self.mean, "n d", of="mean")
        rows = expect(self.axes, "k s", of="axes", s=size["n"] * size["d"])["k"]
        expect(self.deviations, "k", of="deviations", k=rows)
        for name in TENSORS:
            one: Tensor = getattr(self, name)
            if one.dtype != torch.float32:
                raise ShapeError(f"the {name} of a prior must be float32, got {one.dtype}")
            if not one.isfinite().all():
                raise ConfigError(f"the {name} of a prior must be finite, got NaN or infinity")
        if rows < 1 or bool((self.deviations < 0).any()):
            raise ConfigError(
                f"a prior must have an axis and no negative deviation, got {rows} axes with "
                f"deviations {self.deviations[:3].tolist()}"
            )

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of its numbers."""
        found = sha256()
        for part in (self.mean, self.deviations, self.axes):
            found.update(part.numpy().tobytes())
        return found.hexdigest()

    def draw(self, generator: torch.Generator, count: int = 1) -> Tensor:
        """Draw hidden states.

        Args:
            generator: on the CPU; equal states give equal draws.
            count: how many.

        Returns:
            States (count n d), float32 on the CPU.

        Raises:
            ConfigError: the count is negative.
        """
        if count < 0:
            raise ConfigError(f"draws must be 0 or more, got {count}")
        scores = torch.randn(count, len(self.axes), generator=generator) * self.deviations
        return self.mean + (scores @ self.axes).view(count, *self.mean.shape)


@torch.no_grad()
def fit_prior(
    backbone: Backbone,
    captions: Sequence[str],
    *,
    components: int = COMPONENTS,
    name: str = "a list",
    progress: Progress = silent,
) -> Prior:
    """Fit a prior to captions. Nothing is random, and no gradient is kept.

    Args:
        backbone: whose text encoder reads the captions.
        captions: at least two, which the text encoder tells apart; what exceeds its length goes,
            with one warning for all.
        components: axes to keep; fewer where the captions span fewer.
        name: of the captions, for the prior's ``source``.
        progress: told after each batch of captions.

    Raises:
        ConfigError: there are too few captions or components, all captions are one to the text
            encoder, or the model's words are more than states of one encoder.
        BackboneError: the text encoder gives numbers that are not finite.
    """
    if not takes_prior(backbone):
        raise ConfigError(
            f"a prior is drawn in place of the states of one text encoder, but {backbone.name} is "
            f"told more, or in texts of any length; it needs none: sampled pictures have captions"
        )
    if components < 1:
        raise ConfigError(f"components must be at least 1, got {components}")
    if len(captions) < 2:
        raise ConfigError(f"a prior needs at least 2 captions, got {len(captions)}")
    size = backbone.embed("").states.shape[1:]
    rows = (part.flatten(1) for part in _states(backbone, captions, size[0], progress))
    mean, axes, deviations, kept = principal_axes(rows, components)
    return Prior(
        mean=mean.view(size).float(),
        axes=axes.float(),
        deviations=deviations.float(),
        source=f"{len(captions)} captions of {name}",
        encoder=fingerprint(backbone),
        kept=kept,
    )


def save_prior(prior: Prior, path: Path | str) -> Path:
    """Write a prior as one safetensors file, replaced as a whole.

    Raises:
        OutputError: the file cannot be written.
    """
    words = {"source": prior.source, "encoder": prior.encoder, "kept": repr(prior.kept)}
    tensors = {name: getattr(prior, name) for name in TENSORS}
    return write_tensors(tensors, path, metadata={"format": FAMILY + VERSION, **words})


def load_prior(path: Path | str, backbone: Backbone) -> Prior:
    """Read a prior that was fitted on a backbone's text encoder.

    Encoders of random weights have one fingerprint, so that only the shape tells them apart.

    Args:
        path: file that ``save_prior`` wrote.
        backbone: the model that is to be conditioned.

    Raises:
        ConfigError: there is no such file, it is damaged, no prior, of another version, or fitted
            on another text encoder.
    """
    prior = read_prior(path)
    wanted, found = tuple(backbone.embed("").states.shape[1:]), tuple(prior.mean.shape)
    if wanted != found or prior.encoder != fingerprint(backbone):
        sizes = f"{found[0]}x{found[1]} states, where {backbone.name} has {wanted[0]}x{wanted[1]}"
        raise ConfigError(
            f"a prior must be fitted on the text encoder it is used with, but {str(path)!r} is of "
            f"{'other weights' if wanted == found else sizes}; fit one with backbone="
            f"{backbone.name}"
        )
    return prior


def read_prior(path: Path | str) -> Prior:
    """Read a prior, whatever text encoder it was fitted on.

    Raises:
        ConfigError: there is no such file, it is damaged, no prior, or of another version.
    """
    if not Path(path).is_file():
        raise ConfigError(f"a prior must be a file, but {str(path)!r} is no such file")
    words = read_metadata(path)
    _check_format(words.get("format", ""), path)
    tensors = read_tensors(path)
    try:
        return Prior(
            **{name: tensors[name] for name in TENSORS},
            source=words["source"],
            encoder=words["encoder"],
            kept=float(words["kept"]),
        )
    except (KeyError, ValueError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else error
        raise ConfigError(
            f"a prior must be as featurekit fit-prior wrote it, but in {str(path)!r} {what}; fit "
            f"it again"
        ) from error


def fingerprint(backbone: Backbone) -> str:
    """Hash of the text encoder's weight files; "" if its weights are random."""
    hashes = [one for name, one in sorted(backbone.weights.items()) if "text_encoder" in name]
    return sha256("\n".join(hashes).encode()).hexdigest() if hashes else ""


def world_captions(count: int = WORLD_CAPTIONS) -> list[str]:
    """Distinct captions of the procedural world, from the seeds that training may see.

    Raises:
        ConfigError: fewer than one is asked for, or more than the seeds give.
    """
    found: dict[str, None] = {}
    for seed in TRAIN_SEEDS if count > 0 else ():
        found[scene(seed).caption()] = None
        if len(found) == count:
            return list(found)
    raise ConfigError(f"captions must be 1 to what {len(TRAIN_SEEDS)} scenes give, got {count}")


def _check_format(found: str, path: Path | str) -> None:
    if found != FAMILY + VERSION:
        what = (
            f"of version {found.removeprefix(FAMILY)}" if found.startswith(FAMILY) else "no prior"
        )
        raise ConfigError(
            f"a prior must be a file of {FAMILY}{VERSION}, but {str(path)!r} is {what}; fit it "
            f"with featurekit fit-prior"
        )


def _states(
    backbone: Backbone, captions: Sequence[str], length: int, progress: Progress
) -> Iterator[Tensor]:
    """Hidden states (b n d) of batches of captions, as ``backbone.embed`` gives them for one."""
    cut = 0
    for start in range(0, len(captions), BATCH):
        some = list(captions[start : start + BATCH])
        tokens = backbone.tokenizer(some, truncation=False, verbose=False)["input_ids"]
        cut += sum(len(one) > length for one in tokens)
        ids = backbone.tokenizer(
            some, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        )["input_ids"]
        states: Tensor = backbone.text_encoder(ids.to(backbone.device))[0]
        yield states
        progress(start + len(some), len(captions))
    if cut:
        warn(
            f"{cut} of {len(captions)} captions are longer than the {length} tokens that "
            f"{backbone.name} reads, which are all it read of them",
            FeatureKitWarning,
            stacklevel=2,
        )
