# %% [markdown]
# # Read features, look at them, find a point, keep them
# A map is read by its tap and timestep; it can be shown, asked, written to a store and read back.

# %%
from pathlib import Path

import torch

import featurekit as fk
from featurekit.features.feature_maps import Features
from featurekit.scenes import scene
from featurekit.store.export import plan_pictures, store_pictures
from featurekit.store.picture_reader import PictureReader
from featurekit.store.read import StoredFeatures

TIMESTEP, PROMPT = 101, "a face"
torch.set_grad_enabled(False)
out = Path("runs/features")
out.mkdir(parents=True, exist_ok=True)

# %%
backbone = fk.load_backbone("embedded")
here, there = (scene(seed, "face") for seed in (1_000_000, 1_000_004))
pictures = [fk.load_image(one.image(64)) for one in (here, there)]

# %% [markdown]
# A role means every tap of its kind; names, aliases, module paths and globs work as well.

# %%
maps = [
    fk.extract(backbone, one, taps=["up", "dift2"], timesteps=[TIMESTEP], prompt=PROMPT, ensemble=4)
    for one in pictures
]
for one in maps[0]:
    print(one)

# %% [markdown]
# The three strongest directions of both pictures together, so that equal colours mean equal
# features.

# %%
both = torch.cat([found["up2", TIMESTEP].tensor for found in maps])
Features(both, "up2", TIMESTEP, maps[0]["up2", TIMESTEP].stride).to_pil().save(out / "pca.png")
print(f"the strongest directions of both, in the same colours: {out / 'pca.png'}")

# %% [markdown]
# The nearest feature of all cells is where the nose is in the other face.

# %%
x, y = (64 * c for c in here.keypoints()["nose"])
match = maps[0]["up2", TIMESTEP].correspond(x, y, there=maps[1]["up2", TIMESTEP])
true = [round(64 * c, 1) for c in there.keypoints()["nose"]]
print(f"the nose at {[x, y]} is found at {match.xy.tolist()}, where it is: {true}")

# %% [markdown]
# A store on disk: smaller, resumable, the same bytes for any number of workers.

# %%
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
