"""Read diffusion features of a picture, find a point of it in another one, and draw both."""

import sys
from pathlib import Path

import torch

import featurekit as fk
from featurekit.io import write_image
from featurekit.matching import match_feature
from featurekit.pictures import before_after, feature_picture
from featurekit.scenes import scene


def main(out: Path) -> None:
    backbone = fk.load_backbone("embedded")
    here, there = (scene(seed, "face") for seed in (1_000_000, 1_000_004))
    pictures = [fk.load_image(one.image(64)) for one in (here, there)]

    maps = [
        fk.extract(backbone, picture, taps=["up2"], timesteps=[101], prompt="a face", ensemble=4)
        for picture in pictures
    ]
    print(maps[0])

    nose = 64 * torch.tensor(here.keypoints()["nose"])
    match = match_feature(maps[0]["up2", 101], maps[1]["up2", 101], nose)
    print(f"the nose at {nose.tolist()} is found at {match.xy.tolist()} in the other face")
    print(f"where it truly is: {[64 * c for c in there.keypoints()['nose']]}")

    out.mkdir(parents=True, exist_ok=True)
    moves = [[*nose.tolist(), *match.xy.tolist()]]
    write_image(before_after(pictures[0], pictures[1], moves), out / "match.png")
    write_image(feature_picture(maps[0]["up2", 101].tensor), out / "features.png")
    print(f"pictures are in {out}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("runs/read_features"))
