"""Read features by role, look at them, find a point in another picture, keep and read them back."""

import sys
from pathlib import Path

import torch

import featurekit as fk
from featurekit.export_store import plan_pictures, store_pictures
from featurekit.features import Features
from featurekit.picture_reader import PictureReader
from featurekit.scenes import scene
from featurekit.store_read import StoredFeatures

TIMESTEP, PROMPT = 101, "a face"


@torch.no_grad()
def main(out: Path) -> None:
    backbone = fk.load_backbone("embedded")
    here, there = (scene(seed, "face") for seed in (1_000_000, 1_000_004))
    pictures = [fk.load_image(one.image(64)) for one in (here, there)]

    # a role means every tap of its kind; names, aliases, module paths and globs work as well
    maps = [
        fk.extract(
            backbone, one, taps=["up", "dift2"], timesteps=[TIMESTEP], prompt=PROMPT, ensemble=4
        )
        for one in pictures
    ]
    for one in maps[0]:
        print(one)

    out.mkdir(parents=True, exist_ok=True)
    both = torch.cat([found["up2", TIMESTEP].tensor for found in maps])
    Features(both, "up2", TIMESTEP, maps[0]["up2", TIMESTEP].stride).to_pil().save(out / "pca.png")
    print(f"the strongest directions of both, in the same colours: {out / 'pca.png'}")

    x, y = (64 * c for c in here.keypoints()["nose"])
    match = maps[0]["up2", TIMESTEP].correspond(x, y, there=maps[1]["up2", TIMESTEP])
    true = [round(64 * c, 1) for c in there.keypoints()["nose"]]
    print(f"the nose at {[x, y]} is found at {match.xy.tolist()}, where it is: {true}")

    # a store: smaller, resumable, the same bytes for any number of workers
    paths = [out / "here.png", out / "there.png"]
    for path, one in zip(paths, (here, there), strict=True):
        one.image(64).save(path)
    recipe = fk.Recipe(("up2",), (TIMESTEP,), fk.Ensemble("mean", 4))
    reader = PictureReader(backbone, recipe, prompt=PROMPT, batch=2)
    asked = {"reader": reader, "reduce": ("pool:2", "fp16")}
    plan, _ = plan_pictures(out / "store", paths, **asked)
    written, _ = store_pictures(out / "store", paths, **asked)
    print(f"planned: {plan}")
    print(f"done: {written}")
    for name, features in StoredFeatures(out / "store"):
        print(name, {key: tuple(feature.shape) for key, feature in features.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("runs/features"))
