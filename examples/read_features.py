# %% [markdown]
# # Find a point of one picture in another
# Diffusion features tell parts of things apart: the nose of one face has the nearest feature of all
# pixels of another face at its nose. No training, no download: the embedded model has seen such
# faces, but not these two.

# %%
from pathlib import Path

import torch

import featurekit as fk
from featurekit.features.matching import match_feature
from featurekit.images.io import write_image
from featurekit.images.pictures import before_after, feature_picture
from featurekit.scenes import scene

torch.set_grad_enabled(False)
out = Path("runs/read_features")
out.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# Two scenes of the procedural world, which knows where their noses are.

# %%
backbone = fk.load_backbone("embedded")
here, there = (scene(seed, "face") for seed in (1_000_000, 1_000_004))
pictures = [fk.load_image(one.image(64)) for one in (here, there)]

# %% [markdown]
# One tap at one noise level, the mean over four noises.

# %%
maps = [
    fk.extract(backbone, picture, taps=["up2"], timesteps=[101], prompt="a face", ensemble=4)
    for picture in pictures
]
print(maps[0])

# %%
nose = 64 * torch.tensor(here.keypoints()["nose"])
truth = 64 * torch.tensor(there.keypoints()["nose"])
match = match_feature(maps[0]["up2", 101], maps[1]["up2", 101], nose)
print(f"the nose at {nose.tolist()} is found at {match.xy.tolist()} in the other face")
print(f"where it truly is: {truth.tolist()}")
print(f"off by {float((match.xy - truth).norm()):.1f} px of 64")

# %%
moves = [[*nose.tolist(), *match.xy.tolist()]]
write_image(before_after(pictures[0], pictures[1], moves), out / "match.png")
write_image(feature_picture(maps[0]["up2", 101].tensor), out / "features.png")
print(f"pictures are in {out}")
