# %% [markdown]
# # A pipeline that you have loaded becomes a backbone
# Its networks are shared: an adapter that is on stays on, and the pipeline works as before.

# %%
from importlib.resources import files

import torch
from diffusers import StableDiffusionPipeline
from peft import LoraConfig

import featurekit as fk
from featurekit.scenes import scene

pipe = StableDiffusionPipeline.from_pretrained(files("featurekit") / "weights" / "embedded")
pipe.set_progress_bar_config(disable=True)
backbone = fk.wrap(pipe, "mine")
print(backbone)

# %% [markdown]
# Everything that takes a backbone takes this one.

# %%
image = fk.load_image(scene(1_000_000, "face").image(64))
with torch.no_grad():
    maps = fk.extract(backbone, image, taps=["mid", "up1"], timesteps=[101], prompt="a face")
    predict = backbone.predictor(backbone.embed("a face"))
    schedule = fk.Schedule.ddim(backbone.noise, steps=10)
    path = fk.invert(predict, backbone.encode(image), schedule)
print(maps["up1", 101])
print(path)

# %% [markdown]
# An adapter changes what is read, and what results are known by.

# %%
before, plain = dict(backbone.weights), maps["up1", 101].tensor
pipe.unet.add_adapter(LoraConfig(r=4, target_modules=["to_q", "to_v"], init_lora_weights=False))
with torch.no_grad():
    changed = fk.extract(backbone, image, taps="up1", timesteps=101, prompt="a face")
print(f"other features: {not torch.equal(changed['up1', 101].tensor, plain)}")
print(f"another identity: {dict(backbone.weights) != before}")

# %% [markdown]
# Gradients pass the weights without reaching them, although they want some.

# %%
z = backbone.encode(image).requires_grad_()
backbone.predictor(backbone.embed("a face"))(z, 101).square().mean().backward()
print(f"the latent has a gradient: {z.grad is not None}")
print(f"a weight has one: {any(w.grad is not None for w in pipe.unet.parameters())}")
print(pipe("a face", num_inference_steps=3, generator=torch.Generator().manual_seed(0)).images[0])
