"""Do frozen features know where one would draw a line? One drawing is all a decoder learns from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import TypeAlias

import torch
from torch import Tensor, nn, optim
from torch.nn import functional

from featurekit.backbones.unet.sd import StableDiffusion
from featurekit.core import fields
from featurekit.core.errors import UnknownNameError
from featurekit.core.metrics import line_f1
from featurekit.core.types import Progress, silent
from featurekit.features.extract import extract
from featurekit.images.io import load_image
from featurekit.images.pictures import Picture, contact_sheet
from featurekit.measures.augmentations import views_of
from featurekit.measures.held_out import Measured, image_of, scenes_of, side_px
from featurekit.measures.points.correspondence import patches
from featurekit.measures.random_weights import untrained
from featurekit.scenes import TRAIN_SEEDS, TRAINED_KINDS, Scene, scene
from featurekit.scenes.drawings import STYLES
from featurekit.taps.capture import capture

DARK = 2 * 0.6 - 1  # a pixel of a drawing below six tenths of white is a line
TAPS = ("up1", "up2", "up3")
TIMESTEPS = (1, 101, 301)
ENSEMBLE = 2
ROWS: Mapping[str, tuple[str, ...]] = {
    "unet+vae": ("unet", "vae"),
    "unet": ("unet",),
    "vae": ("vae",),
    "random": ("random",),
    "pixels": ("pixels",),
}
"""What a decoder is given, by the row of the report; the first row is the headline."""
HEADLINE, EDGES = "unet+vae", "edges"

VIEWS = 24  # pictures that the one drawing serves: the scene itself, and others made of it

DECODERS = 2  # their probabilities are averaged
STEPS, WARM_UP = 150, 0.1  # of each decoder; and their share in which the rate rises
RATE, DECAY = 3e-3, 1e-2
COMPONENTS = 96  # directions that a decoder sees; the others hardly vary
WIDTH = 32
DROPPED = 0.2  # of the directions, in each step
JITTER = 0.3  # standard deviation of what is added to features of standard deviation 1
FURTHEST = 5.0  # standard deviations; features beyond are new to a decoder
LIKELY = 0.3  # a pixel of this probability is drawn: a miss costs more than a line too many

TUNED_ON = 24  # scenes of each kind for the edges' threshold
STRENGTHS = tuple(0.008 * 1.16**i for i in range(26))  # to 0.33 of the range of a channel

Fields: TypeAlias = Mapping[str, Tensor]
"""Fields (1 c size size) of a picture by what they are features of."""
Describe: TypeAlias = Callable[[Tensor, str], Fields]
"""A picture (1 3 size size) and its caption to its fields."""


@dataclass(frozen=True)
class Codes:
    """Features as a decoder sees them: standardised, along the directions of most variation."""

    mean: Tensor  # (1 c 1 1)
    deviation: Tensor  # (1 c 1 1)
    axes: Tensor  # (c k), orthonormal columns

    @classmethod
    def of(cls, views: Sequence[Tensor]) -> "Codes":
        """Take statistics and directions from the features (1 c h w) that are learnt from."""
        # Every other pixel is enough: features between them are interpolated.
        sparse = torch.cat([view[:, :, ::2, ::2] for view in views])
        mean = sparse.mean((0, 2, 3), keepdim=True)
        deviation = sparse.std((0, 2, 3), keepdim=True).clamp(min=1e-4)
        cells = ((sparse - mean) / deviation).movedim(1, 0).flatten(1)
        rising: Tensor = torch.linalg.eigh(cells @ cells.T).eigenvectors
        return cls(mean, deviation, rising.flip(1)[:, :COMPONENTS])

    def __call__(self, features: Tensor) -> Tensor:
        """Features (n c h w) along the directions, (n k h w)."""
        scaled = ((features - self.mean) / self.deviation).clamp(-FURTHEST, FURTHEST)
        return torch.einsum("nchw,ck->nkhw", scaled, self.axes)


@dataclass(frozen=True)
class Hand:
    """What was learnt from one drawing: it draws whatever it is given features of."""

    codes: Codes
    decoders: tuple[nn.Module, ...]

    @torch.no_grad()
    def draw(self, features: Tensor) -> Tensor:
        """Draw black on white from features (n c h w), (n 1 h w) in [-1, 1]."""
        codes = self.codes(features)
        chances = torch.stack([decoder(codes).sigmoid() for decoder in self.decoders])
        return _inked(chances.mean(0) > LIKELY)


def measure_lines(
    backbone: StableDiffusion,
    *,
    kinds: Sequence[str] = TRAINED_KINDS,
    style: str = "brush",
    tests: int = 16,
    progress: Progress = silent,
) -> Measured:
    """Learn a style from one drawing of one held-out scene, and draw others of its kind.

    For every kind and row a small decoder of frozen features is trained on the one scene and views
    made of it, which cost no further drawing. The controls are random weights, raw pixels,
    and the gradient's edges at the threshold that suits many drawings of these kinds best.

    Args:
        backbone: a loaded model.
        kinds: of scenes.
        style: whose drawings, one of ``STYLES``.
        tests: scenes of each kind that are drawn and compared.
        progress: called after each kind.

    Returns:
        Figures ``line_f1`` and ``edge_f1`` (means over kinds, with 1 px of tolerance), ``rows`` and
        ``kinds`` (the same for every row, and by kind), ``edge_threshold``; the sheet ``lines``.

    Raises:
        UnknownNameError: there is no such style.
    """
    if style not in STYLES:
        raise UnknownNameError("drawing style", style, STYLES)
    size, describe = side_px(backbone), reader(backbone)
    strength = tuned_strength(kinds, style, size)
    found: dict[str, dict[str, float]] = {}
    tiles: dict[str, list[Picture]] = {}
    for kind in kinds:
        studied, *others = scenes_of(kind, 1 + tests)
        hands = learnt(describe, studied, style, size)
        truths = torch.cat([drawing_of(one, style, size) for one in others])
        slopes = gradient(torch.cat([image_of(one, size) for one in others]))
        drawn = {EDGES: _inked(slopes > strength)}
        drawn |= _drawn(describe, hands, others, size)
        found[kind] = {row: judged(lines, truths) for row, lines in drawn.items()}
        shown = (drawn[HEADLINE], truths, drawn[EDGES])
        tiles[kind] = [studied.image(size), studied.drawing(size, style), others[0].image(size)]
        tiles[kind] += [lines[:1].expand(-1, 3, -1, -1) for lines in shown]
        progress(len(found), len(kinds))
    means = {row: fmean(rows[row] for rows in found.values()) for row in (*ROWS, EDGES)}
    figures = {"style": style, "tests": tests, "edge_threshold": strength, "rows": means}
    figures |= {"kinds": found, "line_f1": means[HEADLINE], "edge_f1": means[EDGES]}
    titles = ("learnt from", "its drawing", "given", "drawn", "true", "edges")
    return Measured(figures, {"lines": contact_sheet(tiles, titles)})


def reader(backbone: StableDiffusion) -> Describe:
    """Everything that a decoder may be given, each field as large as the picture."""
    twin = untrained(backbone)

    @torch.no_grad()
    def describe(image: Tensor, caption: str) -> Fields:
        given = image.to(backbone.device)
        return {
            "unet": _of_unet(backbone, given, caption),
            "vae": _of_autoencoder(backbone, given),
            "random": _of_unet(twin, given, caption),
            "pixels": patches(image)["7x7"],
        }

    return describe


def learnt(describe: Describe, studied: Scene, style: str, size: int) -> dict[str, Hand]:
    """What each of ``ROWS`` learns from the one drawing of a scene."""
    ink = (drawing_of(studied, style, size) + 1) / 2
    views = views_of(image_of(studied, size), ink, count=VIEWS, seed=0)
    found = [describe(view.image, studied.caption()) for view in views]
    drawings = [2 * view.ink - 1 for view in views]
    return {
        row: learn([torch.cat([one[part] for part in parts], 1) for one in found], drawings)
        for row, parts in ROWS.items()
    }


def learn(
    views: Sequence[Tensor], drawings: Sequence[Tensor], *, steps: int = STEPS, seed: int = 0
) -> Hand:
    """Learn to draw from features of some pictures (1 c h w) and their drawings (1 1 h w).

    Only ``seed`` decides on first weights, order and noise: equal arguments give equal hands.
    """
    codes = Codes.of(views)
    known = [codes(view) for view in views]
    lines = [(drawing < DARK).float() for drawing in drawings]
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        return Hand(codes, tuple(_fitted(known, lines, steps) for _ in range(DECODERS)))


def soft_f1(chances: Tensor, truths: Tensor) -> Tensor:
    """F1 of lines with a tolerance of 1 px, differentiable; both (n 1 h w) in [0, 1]."""
    thick = partial(functional.max_pool2d, kernel_size=3, stride=1, padding=1)
    precision = (chances * thick(truths)).sum() / chances.sum().clamp(min=1)
    recall = (truths * thick(chances)).sum() / truths.sum().clamp(min=1)
    return 2 * precision * recall / (precision + recall).clamp(min=1e-6)


def tuned_strength(kinds: Sequence[str], style: str, size: int) -> float:
    """The gradient's threshold with the highest mean F1 over training scenes of all kinds."""
    scenes = [scene(seed, kind) for kind in kinds for seed in TRAIN_SEEDS[:TUNED_ON]]
    slopes = gradient(torch.cat([image_of(one, size) for one in scenes]))
    truths = torch.cat([drawing_of(one, style, size) for one in scenes])
    return max(STRENGTHS, key=lambda strength: judged(_inked(slopes > strength), truths))


def gradient(image: Tensor) -> Tensor:
    """Sobel's magnitude of images in [-1, 1], (n c h w) to (n 1 h w), where it is largest.

    It is the change from one pixel to the next, as a share of a channel's range.
    """
    across, along = torch.tensor([[-1.0, 0.0, 1.0]]), torch.tensor([[1.0], [2.0], [1.0]])
    kernel = along * across / 16  # weights of 4, a distance of 2 px, a range of 2
    padded = functional.pad(image, (1,) * 4, mode="replicate").flatten(0, 1)[:, None]
    slopes = functional.conv2d(padded, torch.stack((kernel, kernel.T))[:, None].to(image))
    return torch.hypot(slopes[:, 0], slopes[:, 1]).reshape(image.shape).amax(1, keepdim=True)


def drawing_of(one: Scene, style: str, size: int) -> Tensor:
    """A scene's drawing, (1 1 size size) in [-1, 1]."""
    return load_image(one.drawing(size, style))[:, :1]


def judged(drawn: Tensor, truths: Tensor) -> float:
    """Mean F1 of the lines of drawings; both (n 1 h w) in [-1, 1]."""
    return float(line_f1(drawn, truths, threshold=DARK).mean())


def _drawn(
    describe: Describe, hands: Mapping[str, Hand], scenes: Sequence[Scene], size: int
) -> dict[str, Tensor]:
    found: dict[str, list[Tensor]] = {row: [] for row in hands}
    for one in scenes:
        view = describe(image_of(one, size), one.caption())
        for row, hand in hands.items():
            found[row].append(hand.draw(torch.cat([view[part] for part in ROWS[row]], 1)))
    return {row: torch.cat(drawings) for row, drawings in found.items()}


def _fitted(known: Sequence[Tensor], lines: Sequence[Tensor], steps: int) -> nn.Module:
    reduce = nn.Conv2d(known[0].shape[1], WIDTH, 1)
    look, ink = nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.Conv2d(WIDTH, 1, 3, padding=1)
    decoder = nn.Sequential(nn.Dropout2d(DROPPED), reduce, nn.GELU(), look, nn.GELU(), ink)
    optimiser = optim.AdamW(decoder.parameters(), RATE, weight_decay=DECAY)
    rates = optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=WARM_UP)
    for _ in range(steps):
        number = int(torch.randint(len(known), ()))
        view, truth = known[number], lines[number]
        answer = decoder(view + JITTER * torch.randn_like(view))
        loss = functional.binary_cross_entropy_with_logits(answer, truth)
        # Likelihood alone leaves out a line whose place is a pixel uncertain; F1 forgives that.
        loss = loss + 1 - soft_f1(answer.sigmoid(), truth)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        rates.step()
    return decoder.eval().requires_grad_(False)


def _inked(lines: Tensor) -> Tensor:
    return 1 - 2 * lines.float()


def _of_unet(backbone: StableDiffusion, image: Tensor, caption: str) -> Tensor:
    maps = extract(
        backbone, image, taps=TAPS, timesteps=TIMESTEPS, prompt=caption, ensemble=ENSEMBLE
    )
    return torch.cat([_whole(one.tensor, one.stride, image) for one in maps], 1)


def _of_autoencoder(backbone: StableDiffusion, image: Tensor) -> Tensor:
    count = len(backbone.vae.decoder.up_blocks)
    blocks = {f"up{i}": f"decoder.up_blocks.{i}" for i in range(count)}
    with capture(backbone.vae, blocks) as captured:
        side = backbone.decode(backbone.encode(image)).shape[-1]
    found = [_whole(one, side // one.shape[-1], image) for one in captured.values()]
    return torch.cat(found, 1)


def _whole(field: Tensor, stride: int, image: Tensor) -> Tensor:
    """A field on the picture's own pixels, without the padding, on the CPU."""
    (rows, columns), (height, width) = field.shape[-2:], image.shape[-2:]
    whole = fields.resize(field.float(), rows * stride, columns * stride)
    return whole[:, :, :height, :width].cpu()
