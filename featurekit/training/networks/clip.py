"""The training of a small open_clip model: pictures and drawings of scenes with their captions."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTokenizer

from featurekit.backbones.open_clip import CONFIG, WEIGHTS, standardised
from featurekit.core.atomic import replacing_folder
from featurekit.core.errors import ConfigError
from featurekit.images.io import read_tensors
from featurekit.scenes.colours import COLOURS
from featurekit.training.data.hard_negatives import borrowed, exchanged, kindred
from featurekit.training.data.rendered_drawings import DrawingAlbum, drawn_caption, style_of
from featurekit.training.data.rendered_scenes import Album, scaled
from featurekit.training.data.tokenizer_training import numbered, single
from featurekit.training.recipe import Recipe

WIDTH = 128  # of the embeddings
STAGES = [1, 1, 1, 1]  # blocks of the image tower
IMAGE_WIDTH = 24  # channels of its first stage
TEXT_LAYERS = 2
DRAWN = 0.3  # share of drawings in a batch
SHARPEST = 100.0  # the logit scale's limit; Radford et al. 2021, arXiv:2103.00020
BRIGHTNESS, CONTRAST = 0.1, 0.15  # how far pictures are jittered
SOFTENED = 0.25  # share of pictures shown at half their resolution, as generated ones are softer
SETTLED = 8  # batches of 128 over which the normalisations' statistics are taken
NAMED = 1000  # scenes whose captions have every subject
CANDIDATES = 64  # captions from which a held-out picture's own is to be found


def configuration(recipe: Recipe, tokenizer: CLIPTokenizer) -> dict[str, Any]:
    """The model's shape in open_clip's words.

    The image tower is CLIP's own ResNet: on a CPU a sample takes half of the time of a transformer
    with as many weights, and teaches it more.
    """
    return {
        "embed_dim": WIDTH,
        "vision_cfg": {
            "image_size": recipe.size,
            "layers": STAGES,
            "width": IMAGE_WIDTH,
            "head_width": IMAGE_WIDTH,
        },
        "text_cfg": {
            "context_length": recipe.text_tokens,
            "vocab_size": len(tokenizer),
            "hf_tokenizer_name": "tokenizer",  # any name: open_clip then looks beside the config
            "width": recipe.text_width,
            "heads": recipe.heads,
            "layers": TEXT_LAYERS,
            "pad_id": tokenizer.pad_token_id,
        },
    }


def build(config: Mapping[str, Any], *, seed: int) -> nn.Module:
    """An ``open_clip.CLIP`` of a configuration with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: nn.Module = open_clip.CLIP(**config)
        return network


def take_up(network: nn.Module, folder: Path, *, config: Mapping[str, Any]) -> None:
    """Go on with the weights of a folder that ``save_clip`` wrote.

    Args:
        network: that ``build`` made; it gets the weights.
        folder: with the model's configuration and weights.
        config: what the network was built from.

    Raises:
        ConfigError: the folder's model has another shape, or cannot be read.
    """
    try:
        said = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["model_cfg"]
        # version 0.1 wrote this, which only another pooling reads and open_clip before 3.3 refuses
        said["text_cfg"].pop("eos_id", None)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"a CLIP to go on with must have a {CONFIG} that can be read, got {str(folder)!r}"
        ) from error
    if said != json.loads(json.dumps(config)):
        raise ConfigError(
            f"a CLIP to go on with must have the recipe's shape, got another one in "
            f"{str(folder)!r}; choose its recipe, or leave start out"
        )
    network.load_state_dict(read_tensors(folder / WEIGHTS))


class ClipTask:
    """Tell which caption is whose picture's."""

    stage = "clip"

    def __init__(
        self,
        network: nn.Module,
        *,
        album: Album,
        drawings: DrawingAlbum,
        tokenizer: CLIPTokenizer,
        held_out: tuple[Tensor, Tensor, Sequence[str]],
    ) -> None:
        """Take the network, what it learns from, and held-out scenes to check on.

        Args:
            network: open_clip model whose vocabulary is the tokenizer's.
            album: rendered scenes.
            drawings: drawings of its first scenes.
            tokenizer: the world's own.
            held_out: pictures (n 4 h w) and drawings (n h w), uint8, the styles by turn, and one
                caption of each; n is ``CANDIDATES`` or more, what is left over is not used.
        """
        self.network: Any = network
        visual: Any = network.visual
        self.hot: tuple[nn.Module, ...] = (visual,)
        self._device = next(network.parameters()).device
        self._album, self._drawings = album, drawings
        drawn = [
            [drawn_caption(text, style=style_of(i)) for text in texts]
            for i, texts in enumerate(album.captions[: len(drawings)])
        ]
        self._texts = torch.stack([numbered(tokenizer, texts) for texts in album.captions])
        self._drawn_texts = torch.stack([numbered(tokenizer, texts) for texts in drawn])
        self._colours = single(tokenizer, COLOURS)
        self._kin = [single(tokenizer, names) for names in kindred(album.captions[:NAMED])]
        pictures, sheets, captions = held_out
        titles = [drawn_caption(text, style=style_of(i)) for i, text in enumerate(captions)]
        self._held_out = {
            "retrieval": (scaled(pictures)[0], numbered(tokenizer, captions)),
            "retrieval_drawings": (inked(sheets), numbered(tokenizer, titles)),
        }

    def loss(self, count: int, draw: torch.Generator) -> Tensor:
        """Cross-entropy of finding captions by pictures and pictures by captions."""
        image, texts = self._batch(count, draw)
        texts = torch.cat((texts, *self._hard_negatives(texts, draw)))
        scale = self.network.logit_scale.exp().clamp(max=SHARPEST)
        return contrast(
            self._images(image), self._words(texts), scale, alike=_alike(texts[:count], texts)
        )

    @torch.no_grad()
    def settle(self) -> None:
        """Take the normalisations' statistics anew, from the weights as they stand.

        Checkpoints and averages hold weights alone: call it before the network is used or written.
        """
        layers = [m for m in self.network.modules() if isinstance(m, nn.BatchNorm2d)]
        kept = [layer.momentum for layer in layers]
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # torch's word for the mean of all that is seen
        self.network.train()
        for seed in range(SETTLED):
            self._images(self._batch(128, torch.Generator().manual_seed(seed))[0])
        for layer, momentum in zip(layers, kept, strict=True):
            layer.momentum = momentum

    @torch.no_grad()
    def figures(self) -> Mapping[str, float]:
        """Share of held-out pictures, and of drawings, whose own caption is nearest among 64."""
        self.settle()
        self.network.eval()
        found = {}
        for name, (images, texts) in self._held_out.items():
            hits = []
            for start in range(0, len(images) - CANDIDATES + 1, CANDIDATES):
                some = slice(start, start + CANDIDATES)
                near = (self._images(images[some]) @ self._words(texts[some]).T).argmax(1).cpu()
                hits.append((texts[some][near] == texts[some]).all(1).float())
            found[name] = float(torch.cat(hits).mean())
        self.network.train()
        return found

    def _batch(self, count: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        """Pictures and drawings (b 3 h w) in [-1, 1] with one caption of each, (b n)."""
        drawn = max(1, round(DRAWN * count))
        chosen = torch.randint(len(self._album), (count - drawn,), generator=draw)
        sketched = torch.randint(len(self._drawings), (drawn,), generator=draw)
        pictures = _varied(scaled(self._album.pictures(chosen))[0], draw)
        image = torch.cat((pictures, inked(self._drawings.drawings(sketched))))
        mirrored = torch.rand(count, generator=draw) < 0.5
        image[mirrored] = image[mirrored].flip(3)
        texts = (_one_each(self._texts[chosen], draw), _one_each(self._drawn_texts[sketched], draw))
        return image, torch.cat(texts)

    def _hard_negatives(self, texts: Tensor, draw: torch.Generator) -> tuple[Tensor, ...]:
        """Captions of no picture: another colour, a subject's kin, or another picture's."""
        renamed = texts
        for names in self._kin:
            renamed = exchanged(renamed, names, draw)
        recoloured = exchanged(texts, self._colours, draw)
        return recoloured, renamed, borrowed(texts, self._colours, draw)

    def _images(self, image: Tensor) -> Tensor:
        pixels = standardised(image, OPENAI_DATASET_MEAN, OPENAI_DATASET_STD)
        pixels = pixels.to(self._device, memory_format=torch.channels_last)
        return functional.normalize(self.network.encode_image(pixels).float(), dim=-1)

    def _words(self, texts: Tensor) -> Tensor:
        found = self.network.encode_text(texts.to(self._device))
        return functional.normalize(found.float(), dim=-1)


def contrast(images: Tensor, words: Tensor, scale: Tensor, *, alike: Tensor) -> Tensor:
    """Symmetric cross-entropy between pictures and their captions (InfoNCE).

    Args:
        images: unit vectors, (b d).
        words: unit vectors of the captions in the same order, then of captions of no picture,
            (m d) with m >= b.
        scale: what cosines are multiplied with, 0-dim.
        alike: whether caption ``j`` reads the same as picture ``i``'s, (b m); a picture's double
            is neither right nor wrong.

    Returns:
        Mean over both directions, 0-dim.
    """
    own = torch.arange(len(images), device=images.device)
    doubles = alike.to(images.device).clone()
    doubles[own, own] = False
    logits = (scale * images @ words.T).masked_fill(doubles, -math.inf)
    by_picture = functional.cross_entropy(logits, own)
    by_caption = functional.cross_entropy(logits[:, : len(images)].T, own)
    return (by_picture + by_caption) / 2


def save_clip(
    folder: Path, *, network: nn.Module, tokenizer: CLIPTokenizer, config: Mapping[str, Any]
) -> Path:
    """Write a folder in float16 that open_clip loads offline by the name ``local-dir:FOLDER``.

    Args:
        folder: to write, or to replace as a whole.
        network: the model, settled; it stays as it is.
        tokenizer: its tokenizer.
        config: the configuration that it was built from.

    Returns:
        The folder.

    Raises:
        OutputError: the folder or its files cannot be written.
    """
    tensors = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).cpu().contiguous()
        for name, tensor in network.state_dict().items()
    }
    preparation = {
        "mean": OPENAI_DATASET_MEAN,
        "std": OPENAI_DATASET_STD,
        "interpolation": "bicubic",
        "resize_mode": "squash",
    }
    record = {"model_cfg": dict(config), "preprocess_cfg": preparation}
    with replacing_folder(folder) as fresh:
        save_file(tensors, fresh / WEIGHTS)
        (fresh / CONFIG).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        tokenizer.save_pretrained(fresh)
    return folder


def _alike(texts: Tensor, others: Tensor) -> Tensor:
    return (texts[:, None] == others[None]).all(2)


def _one_each(texts: Tensor, draw: torch.Generator) -> Tensor:
    """One of every scene's captions, (b n) of (b k n)."""
    chosen = torch.randint(texts.shape[1], (len(texts),), generator=draw)
    return texts[torch.arange(len(texts)), chosen]


def inked(drawings: Tensor) -> Tensor:
    """Drawings (b h w), uint8, as pictures (b 3 h w) in [-1, 1]."""
    return (drawings.float() / 127.5 - 1)[:, None].repeat(1, 3, 1, 1)


def _varied(image: Tensor, draw: torch.Generator) -> Tensor:
    """Change brightness and contrast a little, and soften some pictures."""
    count, size = len(image), image.shape[-2:]
    light, contrast_change = torch.rand(2, count, 1, 1, 1, generator=draw) * 2 - 1
    image = (image * (1 + CONTRAST * contrast_change) + BRIGHTNESS * light).clamp(-1, 1)
    soft = functional.interpolate(functional.avg_pool2d(image, 2), size, mode="bilinear")
    return torch.where(torch.rand(count, 1, 1, 1, generator=draw) < SOFTENED, soft, image)
