# %% [markdown]
# # Four inversions with one interface
# A trajectory knows which steps lead back, and which states an edit must reach, so that methods can
# be exchanged by their name. docs/inversion.md compares them.

# %%
import tempfile
from pathlib import Path

import torch

import featurekit as fk
from featurekit.core.metrics import psnr
from featurekit.images.coordinates import crop
from featurekit.scenes import scene

STEPS, LEVEL = 10, 6
torch.set_grad_enabled(False)

# %%
backbone = fk.load_backbone("embedded")
subject = scene(1_000_001, "landscape")
latent = backbone.encode(fk.load_image(subject.image(64)))
predict = backbone.predictor(backbone.embed(subject.caption()))
schedule = fk.Schedule.ddim(backbone.noise, STEPS)
ceiling = crop(backbone.decode(latent), 64, 64)

# %% [markdown]
# Up to an intermediate level and back, then the same with a push on four columns at that level.

# %%
for method in ("anderson", "residual", "edict", "edit_friendly"):
    draws = torch.Generator().manual_seed(0) if method == "edit_friendly" else None
    way = fk.invert(predict, latent, schedule, method=method, until=LEVEL, generator=draws)
    back = fk.sample(predict, way.at(LEVEL), schedule, start=LEVEL, trajectory=way)
    likeness = float(psnr(crop(backbone.decode(back), 64, 64), ceiling))

    push = torch.zeros_like(latent)
    push[..., :, 4:8] = 0.3
    edited = fk.sample(predict, way.edited(LEVEL, push), schedule, start=LEVEL, trajectory=way)
    moved = float((edited - back).abs().mean())
    print(
        f"{method}: {likeness:.1f} dB against the VAE's picture, {way.states} state(s) to edit, "
        f"an edit moves the clean latent by {moved:.3f} on average"
    )

# %% [markdown]
# A trajectory is one file, and comes back from it as it was.

# %%
with tempfile.TemporaryDirectory() as folder:
    kept = fk.save_trajectory(way, Path(folder) / "way.safetensors")
    again = fk.load_trajectory(kept)
back = fk.sample(predict, again.at(LEVEL), schedule, start=LEVEL, trajectory=again)
print(f"from disk: off by {float((back - latent).abs().max()):.1g} at most")
