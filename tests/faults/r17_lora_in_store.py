"""A store does not notice that the UNet carries a LoRA now and keeps the features without it.

Expected: a store of other weights is refused, as docs/store.md says; an adapter changes what the
weights are. Seen: the hash is that of the files, so the run says that every picture is there
already.
"""

import sys
import tempfile
from pathlib import Path

import torch
from peft import LoraConfig

import featurekit as fk
from featurekit.scenes import scene
from featurekit.store.export import store_pictures
from featurekit.store.picture_reader import PictureReader
from featurekit.store.read import StoredFeatures

recipe = fk.Recipe(("up1",), (261,))
with tempfile.TemporaryDirectory() as folder:
    picture, store = Path(folder) / "me.png", Path(folder) / "store"
    scene(7, "building").image(64).save(picture)
    backbone = fk.load_backbone("embedded")
    store_pictures(store, [picture], reader=PictureReader(backbone, recipe))
    backbone.unet.add_adapter(LoraConfig(r=4, target_modules=["to_q", "to_v"]))
    torch.manual_seed(0)
    for name, weight in backbone.unet.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.2)
    reader = PictureReader(backbone, recipe)
    try:
        print("again, with a LoRA:", store_pictures(store, [picture], reader=reader)[0])
    except fk.errors.FeatureKitError as error:
        print(f"refused, as it should be: {error}")
        sys.exit(0)
    stored = StoredFeatures(store, names=["up1/261"])[0][1]["up1/261"]
    ref = reader.ref(picture)
    now = dict(reader([ref]))[ref.id]["up1/261"]
    print(f"stored and given now differ by {(stored - now).abs().max():.2f}, std {now.std():.2f}")
    sys.exit(1 if not torch.allclose(stored, now) else 0)
