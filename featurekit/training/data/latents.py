"""Every picture as the autoencoder's posterior, computed once: as it is and mirrored."""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from featurekit.core.atomic import replacing
from featurekit.training.data.rendered_scenes import Album, scaled


class Latents:
    """Means and standard deviations of latents in memory, float16."""

    def __init__(self, pieces: Sequence[Path]) -> None:
        """Read the pieces that ``encode`` wrote."""
        self._stored = torch.from_numpy(np.concatenate([np.load(path) for path in pieces]))

    def __len__(self) -> int:
        """How many scenes there are."""
        return len(self._stored)

    def drawn(self, indices: Tensor, draw: torch.Generator) -> Tensor:
        """Samples of the posteriors of some scenes, every other one mirrored, (b c h w)."""
        sides = torch.randint(2, indices.shape, generator=draw)
        mean, std = self._stored[indices, sides].float().chunk(2, dim=1)
        return mean + std * torch.randn(mean.shape, generator=draw)


def encode(
    folder: Path,
    pictures: Sequence[Path],
    *,
    vae: Path,
    workers: int,
    show: Callable[[int], None],
) -> list[Path]:
    """Encode rendered pieces; encoded pieces that exist are kept.

    Args:
        folder: where the results are, or are written.
        pictures: the pieces that ``rendered_scenes.render`` gave.
        vae: folder of the finished autoencoder.
        workers: processes on the CPU.
        show: told the number of pieces as they are done.

    Returns:
        Files with means and standard deviations, (n 2 2c h w) float16: the second axis is the
        picture and its mirror image.
    """
    paths = [folder / f"latents-{path.stem}.npy" for path in pictures]
    todo = [(p, picture, vae) for p, picture in zip(paths, pictures, strict=True) if not p.exists()]
    show(len(paths) - len(todo))
    if not todo:
        return paths
    if torch.cuda.is_available():
        for job in todo:
            _piece(*job)
            show(1)
        return paths
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for done in as_completed([pool.submit(_piece, *words) for words in todo]):
            done.result()
            show(1)
    return paths


@torch.no_grad()
def _piece(path: Path, picture: Path, vae: Path) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        torch.set_num_threads(1)
    network = AutoencoderKL.from_pretrained(vae, use_safetensors=True).to(device)
    network = network.to(memory_format=torch.channels_last).eval()
    album, found = Album([picture]), []
    for indices in torch.arange(len(album)).split(50):  # type: ignore[no-untyped-call]
        image, _ = scaled(album.pictures(indices))
        both = torch.stack((image, image.flip(3)), dim=1).flatten(0, 1).to(device)
        posterior = network.encode(both.to(memory_format=torch.channels_last)).latent_dist
        pair = torch.cat((posterior.mean, posterior.std), dim=1).half().cpu()
        found.append(pair.unflatten(0, (-1, 2)))  # type: ignore[no-untyped-call]
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, torch.cat(found).contiguous().numpy())
