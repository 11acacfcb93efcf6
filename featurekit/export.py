"""``featurekit extract``: the features of one picture, as a file of tensors and as pictures."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

import torch

from featurekit import backbones
from featurekit.atomic import make_folder
from featurekit.extract import extract
from featurekit.io import load_image, write_image, write_tensors
from featurekit.options import ExtractOptions
from featurekit.overrides import check_seed, fill
from featurekit.pictures import feature_picture


def main(words: Sequence[str]) -> int:
    """Extract what the words say into a folder.

    Writes ``features.safetensors`` with one tensor (1 c h w) per tap and timestep, named
    ``tap/timestep``, and one picture of its principal components for each.

    Args:
        words: overrides of ``ExtractOptions``.

    Returns:
        The exit code, 0.

    Raises:
        FeatureKitError: the words are wrong, the picture cannot be read, a tap or timestep does
            not exist, or the results cannot be written.
    """
    options = fill(ExtractOptions, words)
    check_seed(options.seed)
    out = make_folder(options.out)
    image = load_image(options.image)
    backbone = backbones.load(options.backbone, options.device, options.dtype)
    with torch.no_grad():
        maps = extract(
            backbone,
            image,
            taps=options.taps,
            timesteps=options.timesteps,
            prompt=options.prompt,
            ensemble=options.ensemble,
            seed=options.seed,
        )
    record = {name: json.dumps(value) for name, value in asdict(options).items()}
    tensors = {f"{one.tap}/{one.timestep}": one.tensor for one in maps}
    written = [write_tensors(tensors, out / "features.safetensors", metadata=record)]
    for one in maps:
        name = f"{one.tap}_{one.timestep}.png"
        written.append(write_image(feature_picture(one.tensor), out / name))
    sys.stdout.write("".join(f"{one}\n" for one in maps) + "".join(f"{p}\n" for p in written))
    return 0
