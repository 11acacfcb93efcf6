"""latents_mean and latents_std of an autoencoder are not applied.

Expected: as the stock SDXL pipelines do: encode is (z - mean) * scaling_factor / std, decode
undoes it; or a refusal.
Seen: encode is z * scaling_factor alone, so the UNet is shown latents of another place and size
than it was trained on; nothing is said. encode and decode undo each other, hence inversion
reports look healthy.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionXLImg2ImgPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

import featurekit as fk

MEAN, STD = [-1.6, 1.2, 0.4, -2.1], [8.4, 5.9, 3.7, 5.3]
shipped = Path(fk.__file__).parent / "weights" / "embedded"
torch.manual_seed(0)
with tempfile.TemporaryDirectory() as folder, torch.no_grad():
    model = Path(shutil.copytree(shipped, Path(folder) / "model"))
    shutil.rmtree(model / "unet"), shutil.rmtree(model / "vae")
    UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(32, 64),
        norm_num_groups=16,
        cross_attention_dim=256,
        attention_head_dim=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=128 + 48,
    ).save_pretrained(model / "unet")
    AutoencoderKL(
        block_out_channels=(32, 64, 64),
        norm_num_groups=16,
        layers_per_block=1,
        latent_channels=4,
        scaling_factor=0.5,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latents_mean=MEAN,
        latents_std=STD,
    ).save_pretrained(model / "vae")
    text = json.loads((model / "text_encoder/config.json").read_text())
    text.pop("architectures")
    CLIPTextModelWithProjection(CLIPTextConfig(**text)).save_pretrained(model / "text_encoder_2")
    shutil.copytree(model / "tokenizer", model / "tokenizer_2")
    index = json.loads((model / "model_index.json").read_text())
    index = {
        k: v for k, v in index.items() if k not in ("requires_safety_checker", "safety_checker")
    }
    index |= {
        "_class_name": "StableDiffusionXLPipeline",
        "tokenizer_2": ["transformers", "CLIPTokenizer"],
    }
    index["text_encoder_2"] = ["transformers", "CLIPTextModelWithProjection"]
    (model / "model_index.json").write_text(json.dumps(index))

    image = torch.rand(1, 3, 64, 64) * 2 - 1
    try:
        backbone = fk.load_backbone(str(model))
    except fk.errors.BackboneError as error:
        print("refused, as it should be:", error)
        sys.exit(0)
    seen = backbone.encode(image)
    stock = StableDiffusionXLImg2ImgPipeline.from_pretrained(model)
    draw = torch.Generator().manual_seed(0)
    asked = (image, torch.tensor([0]), 1, 1, torch.float32, torch.device("cpu"))
    want = stock.prepare_latents(*asked, generator=draw, add_noise=False)
    mean, std = (torch.tensor(each).view(1, 4, 1, 1) for each in (MEAN, STD))
    as_stock = (seen / 0.5 - mean) * 0.5 / std  # what featurekit left out
    ways = {"stock pipeline": want, "featurekit": seen, "with mean and std": as_stock}
    for name, z in ways.items():
        means = [round(value, 2) for value in z.mean((0, 2, 3)).tolist()]
        print(f"channel means, {name:18} {means}")
    off, left = ((one - want).mean((0, 2, 3)).abs().max() for one in (seen, as_stock))
    print(f"largest error of a channel's mean: {off:.3f} as it is, {left:.3f} with both applied")
    sys.exit(1 if off > 3 * left else 0)
