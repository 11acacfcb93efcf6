"""`run ... backbone=FOLDER` refuses the folder of an SDXL model without saying how it is given.

Expected: the family is found from the folder, as load_backbone, extract, invert and pck do it,
or the message names backbone=sdxl backbone.source=FOLDER.
Seen: "a Stable Diffusion 1.x or 2.x must need text states alone, ...; another family is needed
for it". No document names the way.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from diffusers import UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

import featurekit
from featurekit.scenes import scene

shipped = Path(featurekit.__file__).parent / "weights" / "embedded"
with tempfile.TemporaryDirectory() as folder:
    model = Path(shutil.copytree(shipped, Path(folder) / "xl"))
    shutil.rmtree(model / "unet")
    UNet2DConditionModel(
        sample_size=16,
        in_channels=8,
        out_channels=8,
        block_out_channels=(32, 64, 64),
        norm_num_groups=16,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=256,
        attention_head_dim=4,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=128 + 48,
    ).save_pretrained(model / "unet")
    text = json.loads((model / "text_encoder/config.json").read_text())
    text.pop("architectures")
    CLIPTextModelWithProjection(CLIPTextConfig(**text)).save_pretrained(model / "text_encoder_2")
    shutil.copytree(model / "tokenizer", model / "tokenizer_2")
    scene(7, "building").image(64).save(Path(folder) / "me.png")
    drag = [
        "run",
        "plugin=drag",
        "experiment=drag_dragdiffusion",
        "plugin.points=[[30,30,40,30]]",
        "plugin.lora_steps=0",
        "plugin.updates=1",
        "plugin.steps=4",
    ]
    codes, said = [], []
    for words in (
        ["extract", "backbone=./xl"],
        [*drag, "plugin.animation_frames=0", "backbone=./xl"],
        [*drag, "plugin.animation_frames=0", "backbone=sdxl", "backbone.source=./xl"],
    ):
        call = [
            sys.executable,
            "-m",
            "featurekit",
            *words,
            "image=me.png",
            f"out=found{len(codes)}",
        ]
        done = subprocess.run(call, cwd=folder, capture_output=True, text=True)
        codes.append(done.returncode)
        said.append(done.stderr)
        last = done.stderr.strip().splitlines()[-1:]
        print(words[0], words[-1], "exit code", done.returncode, last)
    sys.exit(1 if codes[1] and "backbone.source" not in said[1] else 0)
