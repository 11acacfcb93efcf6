"""How different two pictures look: distances between what a frozen network makes of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import torch
from torch import Tensor, nn

from featurekit.backbones.open_clip import OpenClip
from featurekit.core.errors import BackboneError, ConfigError, ShapeError
from featurekit.core.shapes import expect
from featurekit.images.io import read_tensors
from featurekit.measures.perceptual import alexnet

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # LPIPS' own, of [-1, 1]
NO_LENGTH = 1e-10  # LPIPS adds it to the length of a cell's vector
DEPTHS = (0.0, 0.25, 0.5, 0.75)  # of an encoder; in a ResNet strides 4 to 16 px, as in LPIPS
Maps: TypeAlias = tuple[Tensor, ...]
"""Unit vectors of every cell of a few maps of a picture, (b c h w) each."""
_RECIPE = "make the file as Lpips.load describes, or leave it out"


class Perceptual(Protocol):
    """A distance that follows what is seen rather than single pixels."""

    @property
    def name(self) -> str:
        """What the distance is made of, for records."""

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Measure how different pictures look; gradients reach both.

        Args:
            a: (b 3 h w) in [-1, 1].
            b: the same shape.

        Returns:
            0-dim mean over the batch, >= 0, in the dtype of ``a``.

        Raises:
            ShapeError: the pictures have other axes, differ in shape or are too small.
        """

    def prepared(self, reference: Tensor) -> Callable[[Tensor], Tensor]:
        """Look at a picture once that others are compared with again and again.

        Args:
            reference: (b 3 h w) in [-1, 1]; it gets no gradient.

        Returns:
            What gives for pictures ``a`` exactly ``distance(a, reference)``; gradients reach ``a``.

        Raises:
            ShapeError: the reference has other axes or is too small; later, a picture has another
                shape than it.
        """


class ClipPerceptual:
    """Unit vectors of every cell of a few maps of an open_clip image encoder, compared.

    The same arithmetic as LPIPS, without weights fitted to judgements of people: squared
    differences summed over channels, averaged over cells and maps. Pictures are resized to the
    encoder's own size, with antialiasing.
    """

    def __init__(self, clip: OpenClip) -> None:
        """Choose the maps by depth, among those that the model has.

        Args:
            clip: frozen model.
        """
        self._clip = clip
        last = _blocks(clip) - 1
        self.layers = tuple(sorted({round(depth * last) for depth in DEPTHS}))

    @property
    def name(self) -> str:
        """What the distance is made of."""
        return f"features of {self._clip.name}, layers {', '.join(map(str, self.layers))}"

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Measure how different pictures look; see ``Perceptual``."""
        _check(a, b)
        return self._apart(self._seen(a), self._seen(b))

    def prepared(self, reference: Tensor) -> Callable[[Tensor], Tensor]:
        """Look at a reference once; see ``Perceptual``."""
        _check(reference, reference)
        with torch.no_grad():
            held = self._seen(reference)

        def distance(a: Tensor) -> Tensor:
            _check(a, reference)
            return self._apart(self._seen(a), held)

        return distance

    def _seen(self, image: Tensor) -> Maps:
        return tuple(_unit(one) for one in self._clip.image_features(image, self.layers))

    def _apart(self, a: Maps, b: Maps) -> Tensor:
        gaps = [(p - q).square().sum(1) for p, q in zip(a, b, strict=True)]
        return _mean_over_cells(gaps) / len(self.layers)


@dataclass(frozen=True, eq=False)
class Lpips:
    """LPIPS v0.1 on AlexNet, from the user's own copy of its weights.

    Source: Zhang et al. 2018, arXiv:1801.03924, eq. 1.
    """

    layers: nn.Sequential
    linear: tuple[Tensor, ...]  # weight of each channel of each map, (1 c 1 1)

    @classmethod
    def load(cls, path: str | Path, device: str | torch.device) -> "Lpips":
        """Read both sets of weights from one safetensors file; it computes in their dtype.

        With the published files ``alexnet-owt-7be5be79.pth`` (torchvision's AlexNet) and
        ``alex.pth`` (the linear weights of LPIPS v0.1), these lines make the file::

            from torch import load; from safetensors.torch import save_file
            both = load("alexnet-owt-7be5be79.pth", "cpu") | load("alex.pth", "cpu")
            save_file({name: both[name] for name in both if name[0] in "fl"}, "lpips.safetensors")

        Args:
            path: file with ``features.{0,3,6,8,10}.{weight,bias}`` and
                ``lin{0..4}.model.1.weight``; other tensors in it are ignored.
            device: where to compute.

        Raises:
            BackboneError: there is no such file, it is no safetensors file, or a tensor in it is
                missing or has another shape or dtype.
        """
        try:
            found = read_tensors(path)
        except ConfigError as error:
            raise BackboneError(
                f"the weights of LPIPS must be in one safetensors file, but {str(path)!r} cannot "
                f"be read as one ({error.__cause__}); {_RECIPE}"
            ) from error
        wanted = _wanted()
        for name, shape in wanted.items():
            _check_weight(found, name, shape, path=path)
        weights = {name: found[name].to(device) for name in wanted}
        linear = tuple(weights.pop(f"lin{i}.model.1.weight") for i in range(len(alexnet.WIDTHS)))
        bare = {name.removeprefix("features."): weight for name, weight in weights.items()}
        return cls(alexnet.filled(bare), linear)

    @property
    def name(self) -> str:
        """What the distance is made of."""
        return "LPIPS v0.1, AlexNet"

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Measure how different pictures look; see ``Perceptual``."""
        _check_lpips(a, b)
        return self._apart(self._seen(a), self._seen(b)).to(a.dtype)

    def prepared(self, reference: Tensor) -> Callable[[Tensor], Tensor]:
        """Look at a reference once; see ``Perceptual``."""
        _check_lpips(reference, reference)
        with torch.no_grad():
            held = self._seen(reference)

        def distance(a: Tensor) -> Tensor:
            _check_lpips(a, reference)
            return self._apart(self._seen(a), held).to(a.dtype)

        return distance

    def _seen(self, image: Tensor) -> Maps:
        return tuple(_unit(one) for one in alexnet.maps(self.layers, self._standardised(image)))

    def _apart(self, a: Maps, b: Maps) -> Tensor:
        triples = zip(a, b, self.linear, strict=True)
        return _mean_over_cells([((p - q).square() * w).sum(1) for p, q, w in triples])

    def _standardised(self, image: Tensor) -> Tensor:
        pixels = image.to(self.linear[0].dtype)
        shift, scale = (pixels.new_tensor(part).view(-1, 1, 1) for part in (SHIFT, SCALE))
        return (pixels - shift) / scale


def _blocks(clip: OpenClip) -> int:
    """Count the maps that an image encoder offers, by one pass over an empty picture."""
    blank = torch.zeros(1, 3, *clip.size, device=next(clip.network.parameters()).device)
    with torch.no_grad():
        found = clip.network.visual.forward_intermediates(
            clip.prepared(blank).to(clip.dtype), intermediates_only=True
        )
    return len(found["image_intermediates"])


def _check(a: Tensor, b: Tensor) -> dict[str, int]:
    sizes = expect(a, "b 3 h w", of="first picture")
    expect(b, "b 3 h w", of="second picture", **{axis: sizes[axis] for axis in "bhw"})
    return sizes


def _check_lpips(a: Tensor, b: Tensor) -> None:
    sizes = _check(a, b)
    if min(sizes["h"], sizes["w"]) < alexnet.SMALLEST_PX:
        raise ShapeError(
            f"pictures for LPIPS must be at least {alexnet.SMALLEST_PX} px high and wide, "
            f"got {tuple(a.shape)}"
        )


def _unit(image: Tensor) -> Tensor:
    """Unit vectors of a map (b c h w), cell by cell; a cell of zeros stays one."""
    length: Tensor = torch.linalg.vector_norm(image, dim=1, keepdim=True)
    return image / (length + NO_LENGTH)


def _mean_over_cells(parts: Sequence[Tensor]) -> Tensor:
    """Average maps (b h w) over cells and pictures, and add them up."""
    return torch.stack([part.mean() for part in parts]).sum()


def _wanted() -> dict[str, tuple[int, ...]]:
    """Name every tensor that the file must hold, with its shape."""
    convolutions = alexnet.empty().state_dict()
    shapes = {f"features.{name}": tuple(weight.shape) for name, weight in convolutions.items()}
    linear = {f"lin{i}.model.1.weight": (1, n, 1, 1) for i, n in enumerate(alexnet.WIDTHS)}
    return shapes | linear


def _check_weight(
    found: dict[str, Tensor], name: str, shape: tuple[int, ...], *, path: str | Path
) -> None:
    """Refuse a file without a tensor, or with one that is not the network's."""
    if name not in found:
        raise BackboneError(
            f"the weights of LPIPS must be complete, {str(path)!r} has no {name}; {_RECIPE}"
        )
    weight, dtype = found[name], found["features.0.weight"].dtype
    if tuple(weight.shape) != shape:
        raise BackboneError(
            f"{name} in {str(path)!r} must be {shape}, got {tuple(weight.shape)}; {_RECIPE}"
        )
    if weight.dtype != dtype or not dtype.is_floating_point:
        raise BackboneError(
            f"the weights of LPIPS must all have one floating dtype, {name} in {str(path)!r} is "
            f"{weight.dtype} beside {dtype}; {_RECIPE}"
        )
