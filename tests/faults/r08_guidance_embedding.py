"""A consistency-distilled UNet (time_cond_proj_dim) silently runs without its guidance embedding.

Expected: refused at loading, as other inputs that are not passed are, or given the embedding of a
guidance scale. Seen: it loads, and every feature and prediction is that of a network whose
embedding was left out.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import torch
from diffusers import LatentConsistencyModelPipeline, UNet2DConditionModel

import featurekit as fk

torch.manual_seed(0)
shipped = Path(fk.__file__).parent / "weights" / "embedded"
with tempfile.TemporaryDirectory() as folder, torch.no_grad():
    model = Path(shutil.copytree(shipped, Path(folder) / "model"))
    config = json.loads((model / "unet/config.json").read_text()) | {"time_cond_proj_dim": 32}
    shutil.rmtree(model / "unet")
    UNet2DConditionModel.from_config(config).save_pretrained(model / "unet")
    try:
        backbone = fk.load_backbone(str(model))
    except fk.errors.BackboneError as error:
        print("refused, as it should be:", error)
        sys.exit(0)
    words, z = backbone.embed("a house"), torch.randn(1, 8, 16, 16)
    seen = backbone.predictor(words)(z, 261)
    embedding = LatentConsistencyModelPipeline.get_guidance_scale_embedding
    scales = {"none": None, "7.5": embedding(None, torch.tensor([7.5]), 32)}
    for name, scale in scales.items():
        stock = backbone.unet(z, 261, encoder_hidden_states=words.states, timestep_cond=scale)
        off = (seen - stock.sample).abs().max()
        print(f"differs from stock with guidance scale {name} by {off:.3f}, std {seen.std():.3f}")
        scales[name] = off
    sys.exit(1 if scales["none"] < 1e-4 else 0)
