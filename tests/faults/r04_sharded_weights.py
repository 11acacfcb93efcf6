"""A folder whose UNet or text encoder diffusers saved in shards is refused with useless advice.

Expected: it loads as in diffusers (an SDXL UNet in float32 passes the 10 GB at which
save_pretrained splits a file), or the message says that shards are not read and how to save one
file (max_shard_size). Seen: BackboneError "... must hold unet/diffusion_pytorch_model.safetensors
...; download or copy the folder again". The same is said of weights that are there as .bf16 or
.non_ema.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from diffusers import StableDiffusionPipeline, UNet2DConditionModel

import featurekit as fk

shipped = Path(fk.__file__).parent / "weights" / "embedded"
with tempfile.TemporaryDirectory() as folder:
    model = Path(shutil.copytree(shipped, Path(folder) / "model"))
    unet = UNet2DConditionModel.from_pretrained(model / "unet")
    shutil.rmtree(model / "unet")
    unet.save_pretrained(model / "unet", max_shard_size="8MB")
    StableDiffusionPipeline.from_pretrained(model)
    print("diffusers reads it:", sorted(path.name for path in (model / "unet").iterdir())[:3])
    try:
        print(fk.load_backbone(str(model)))
    except fk.errors.BackboneError as error:
        print("seen:", error)
        sys.exit(0 if "max_shard_size" in str(error) else 1)
