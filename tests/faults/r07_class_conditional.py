"""A UNet with class labels (num_class_embeds) loads and then ends in a traceback of diffusers.

Expected: refused when it is loaded, like class_embed_type, in one sentence.
Seen: load_backbone accepts it; extract, invert and drag raise ValueError "class_labels should
be provided ..." (exit code 1).
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel

import featurekit as fk

shipped = Path(fk.__file__).parent / "weights" / "embedded"
with tempfile.TemporaryDirectory() as folder:
    model = Path(shutil.copytree(shipped, Path(folder) / "model"))
    config = json.loads((model / "unet/config.json").read_text()) | {"num_class_embeds": 10}
    shutil.rmtree(model / "unet")
    UNet2DConditionModel.from_config(config).save_pretrained(model / "unet")
    try:
        backbone = fk.load_backbone(str(model))
        print("loaded:", backbone)
        fk.extract(backbone, torch.zeros(1, 3, 64, 64), taps=["up1"], timesteps=[261])
    except fk.errors.BackboneError as error:
        print("refused, as it should be:", error)
    except ValueError as error:
        print("seen:", type(error).__name__, error)
        sys.exit(1)
