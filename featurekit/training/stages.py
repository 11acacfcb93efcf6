"""The stages of a training, each from what the ones before it left in the folder."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from featurekit.core.atomic import replacing_folder
from featurekit.scenes import WATCHED, held_out_scenes
from featurekit.training.data import latents, rendered_drawings, rendered_scenes, tokenizer_training
from featurekit.training.data.rendered_drawings import DrawingAlbum
from featurekit.training.data.rendered_scenes import Album
from featurekit.training.loop.checkpoints import Progress
from featurekit.training.loop.loop import Fit, Show
from featurekit.training.loop.workers import Worker
from featurekit.training.networks import clip, models
from featurekit.training.networks.denoiser import DenoiserTask, Networks
from featurekit.training.networks.vae import DecoderTask, VaeTask, fold, latent_statistics
from featurekit.training.recipe import Recipe

FOLDED = 4000  # pictures over which the latents' mean and variance are taken
RECORD = "training.json"  # beside a model's parts: how it was made


@dataclass(frozen=True)
class Workshop:
    """Where a training keeps its files, and the finished model that it starts from, if any."""

    recipe: Recipe
    folder: Path
    start: Path | None = None

    @property
    def model(self) -> Path:
        """The diffusers folder in the making."""
        return self.folder / "embedded"

    @property
    def clip(self) -> Path:
        """The open_clip folder in the making."""
        return self.folder / "open_clip"

    @property
    def clip_start(self) -> Path | None:
        """The open_clip folder beside the model that it starts from, if there is one."""
        if self.start is None or not (self.start.parent / self.clip.name).is_dir():
            return None
        return self.start.parent / self.clip.name

    @property
    def vae(self) -> Path:
        """The finished autoencoder in float32."""
        return self.folder / "vae"

    @property
    def tokenizer(self) -> Path:
        """What turns captions into numbers."""
        return self.folder / "tokenizer"

    def pieces(self) -> list[Path]:
        """The rendered pieces, or none if one is missing."""
        size, count = self.recipe.size, self.recipe.scenes
        wanted = list(rendered_scenes.pieces(self.folder, size=size, count=count))
        return wanted if all(path.exists() for path in wanted) else []

    def album(self) -> Album:
        """What is rendered."""
        return Album(self.pieces())

    def begin(self, stage: str) -> Progress:
        """Where a stage's first weights come from."""
        if self.start is None:
            return Progress()
        record = self.start / RECORD
        known = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
        return Progress(
            started=self.start.name,
            before=int(known.get("stages", {}).get(stage, {}).get("samples", 0)),
        )


def train_vae(worker: Worker, workshop: Workshop, show: Show | None = None) -> bool:
    """Train the autoencoder; when it is complete, the first worker folds and writes it.

    A start model's autoencoder is taken as it is: another one would make its denoiser worthless.

    Args:
        worker: who this is.
        workshop: recipe and folder.
        show: told after every step.

    Returns:
        Whether it is complete.
    """
    recipe = workshop.recipe
    if workshop.start is not None:
        if worker.leads:
            _begin_anew(_read(AutoencoderKL, workshop.start / "vae"), workshop)
        return True
    network = models.autoencoder(recipe)
    pictures = workshop.album()
    task = VaeTask(network.to(worker.device), pictures, held_out_pictures(recipe.size))
    progress = Fit(task, recipe.vae, recipe, worker, workshop.folder)(show)
    complete = progress.samples >= recipe.vae.samples
    if complete and worker.leads:
        fold(network, *latent_statistics(network, pictures, count=FOLDED))
        _begin_anew(network, workshop)
    return complete


def train_decoder(worker: Worker, workshop: Workshop, show: Show | None = None) -> bool:
    """Train the decoder of the finished autoencoder; arguments and answer as for ``train_vae``.

    The encoder stays as it is, and with it every latent and a denoiser that was trained on them.
    """
    recipe = workshop.recipe
    network = _read(AutoencoderKL, workshop.vae)
    task = DecoderTask(network.to(worker.device), workshop.album(), held_out_pictures(recipe.size))
    fit = Fit(task, recipe.decoder, recipe, worker, workshop.folder)
    begin = replace(workshop.begin("decoder"), started="the finished autoencoder")
    progress = fit(show, begin=begin)
    complete = progress.samples >= recipe.decoder.samples
    if complete and worker.leads:
        _keep(network, workshop.vae)
    return complete


def encode(workshop: Workshop, *, workers: int, show: Callable[[int], None]) -> list[Path]:
    """Encode everything that is rendered; arguments as for ``latents.encode``."""
    return latents.encode(
        workshop.folder, workshop.pieces(), vae=workshop.vae, workers=workers, show=show
    )


def train_unet(worker: Worker, workshop: Workshop, show: Show | None = None) -> bool:
    """Train the denoiser with its text encoder; arguments and answer as for ``train_vae``.

    The first worker writes the model's folder, with the averaged weights so far.
    """
    recipe, pictures = workshop.recipe, workshop.album()
    tokenizer = CLIPTokenizer.from_pretrained(workshop.tokenizer)
    vae = _read(AutoencoderKL, workshop.vae)
    networks = _networks(workshop, tokenizer)
    paths = [workshop.folder / f"latents-{path.stem}.npy" for path in workshop.pieces()]
    task = DenoiserTask(
        Networks(networks.unet.to(worker.device), networks.text.to(worker.device), tokenizer),
        latents.Latents(paths),
        pictures.captions,
        held_out=held_out_latents(vae, recipe.size),
    )
    fit = Fit(task, recipe.unet, recipe, worker, workshop.folder)
    progress = fit(show, begin=workshop.begin("unet"))
    if worker.leads:
        models.save_folder(
            workshop.model, vae=vae, unet=networks.unet, text=networks.text, tokenizer=tokenizer
        )
    return progress.samples >= recipe.unet.samples


def _networks(workshop: Workshop, tokenizer: CLIPTokenizer) -> Networks:
    if workshop.start is None:
        recipe = workshop.recipe
        unet, text = models.denoiser(recipe), models.text_encoder(recipe, tokenizer)
    else:
        unet = _read(UNet2DConditionModel, workshop.start / "unet")
        text = _read(CLIPTextModel, workshop.start / "text_encoder")
    return Networks(unet.train(), text.train(), tokenizer)


def train_clip(worker: Worker, workshop: Workshop, show: Show | None = None) -> bool:
    """Train the open_clip model; arguments and answer as for ``train_vae``.

    The first worker writes its folder, with the averaged weights so far.
    """
    recipe = workshop.recipe
    tokenizer = CLIPTokenizer.from_pretrained(workshop.tokenizer)
    config = clip.configuration(recipe, tokenizer)
    network, begin = clip.build(config, seed=recipe.seed + 3), Progress()
    if workshop.clip_start is not None:
        clip.take_up(network, workshop.clip_start, config=config)
        begin = workshop.begin("clip")
    network = network.to(worker.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    paths = rendered_scenes.pieces(
        workshop.folder, size=recipe.size, count=recipe.drawings, what="drawings"
    )
    task = clip.ClipTask(
        network,
        album=workshop.album(),
        drawings=DrawingAlbum(list(paths)),
        tokenizer=tokenizer,
        held_out=held_out_drawings(recipe.size),
    )
    progress = Fit(task, recipe.clip, recipe, worker, workshop.folder)(show, begin=begin)
    if worker.leads:
        task.settle()
        clip.save_clip(workshop.clip, network=network, tokenizer=tokenizer, config=config)
    return progress.samples >= recipe.clip.samples


def held_out_drawings(size: int, *, skip: int = 0) -> tuple[Tensor, Tensor, list[str]]:
    """Pictures, drawings in the styles by turn, and captions by which CLIP is watched.

    Args:
        size: side in px.
        skip: held-out scenes to leave out: a report takes others than the training.
    """
    scenes = held_out_scenes(WATCHED, skip=skip)
    drawn = [
        rendered_drawings.pixels_of(one, size, style=rendered_drawings.style_of(i))
        for i, one in enumerate(scenes)
    ]
    sheets = torch.from_numpy(np.stack(drawn))
    return held_out_pictures(size, skip=skip), sheets, [one.caption() for one in scenes]


def learn_words(workshop: Workshop) -> None:
    """Learn the tokenizer from the captions that are rendered, or take the start model's."""
    if workshop.tokenizer.exists():
        return
    if workshop.start is not None:
        with replacing_folder(workshop.tokenizer) as fresh:
            shutil.copytree(workshop.start / "tokenizer", fresh, dirs_exist_ok=True)
        return
    texts = sorted({text for texts in workshop.album().captions for text in texts})
    with replacing_folder(workshop.tokenizer) as fresh:
        tokenizer_training.learn(texts, fresh, tokens=workshop.recipe.text_tokens)


def held_out_pictures(size: int, *, skip: int = 0) -> Tensor:
    """Pictures and foregrounds by which a training is watched, (b 4 h w), uint8."""
    rows = [rendered_scenes.pixels_of(one, size) for one in held_out_scenes(WATCHED, skip=skip)]
    return torch.from_numpy(np.stack(rows)).permute(0, 3, 1, 2)


@torch.no_grad()
def held_out_latents(vae: AutoencoderKL, size: int) -> tuple[Tensor, list[str]]:
    """Latents and captions by which a training is watched."""
    image, _ = rendered_scenes.scaled(held_out_pictures(size))
    found = [vae.encode(piece).latent_dist.mode() for piece in image.split(50)]  # type: ignore[no-untyped-call]
    return torch.cat(found), [one.caption() for one in held_out_scenes(WATCHED)]


def _read(kind: Any, folder: Path) -> Any:  # noqa: ANN401 - diffusers and transformers are not typed
    return kind.from_pretrained(folder, use_safetensors=True, dtype=torch.float32)


def _begin_anew(network: AutoencoderKL, workshop: Workshop) -> None:
    """Keep another autoencoder, and nothing that was made with the one before."""
    for path in workshop.folder.glob("latents-*.npy"):
        path.unlink()
    (workshop.folder / "decoder.ckpt.safetensors").unlink(missing_ok=True)
    _keep(network, workshop.vae)


def _keep(network: AutoencoderKL, folder: Path) -> None:
    with replacing_folder(folder) as fresh:
        network.save_pretrained(fresh, safe_serialization=True)
