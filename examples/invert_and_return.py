# %% [markdown]
# # Invert a picture and come back
# DDIM inversion climbs from a picture to a noisy latent; sampling descends again. Each step up asks
# the network at a latent that it has not reached yet, so the way back misses. Repeating the step
# mends much of it, and remembering what it missed mends all.

# %%
import torch

import featurekit as fk
from featurekit.core.metrics import psnr
from featurekit.images.coordinates import crop
from featurekit.scenes import scene

torch.set_grad_enabled(False)

# %%
backbone = fk.load_backbone("embedded")
subject = scene(1_000_001, "landscape")
image = fk.load_image(subject.image(64))
predict = backbone.predictor(backbone.embed(subject.caption()))
schedule = fk.Schedule.ddim(backbone.noise, steps=25)

# %% [markdown]
# What the autoencoder alone gives back is the most that any inversion can reach.

# %%
latent = backbone.encode(image)
ceiling = crop(backbone.decode(latent), 64, 64)
print(f"VAE alone: {float(psnr(ceiling, image)):.1f} dB against the picture")

# %%
for name, refine, residuals in (
    ("DDIM", 0, False),
    ("DDIM, refined twice", 2, False),
    ("DDIM with residuals", 0, True),
):
    path = fk.invert(predict, latent, schedule, refine=refine, keep_residuals=residuals)
    back = fk.sample(
        predict, path.at(schedule.steps), schedule, trajectory=path if residuals else None
    )
    likeness = float(psnr(crop(backbone.decode(back), 64, 64), ceiling))
    print(f"{name}: {likeness:.1f} dB against the VAE's picture")
