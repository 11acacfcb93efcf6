"""A mask whose black is not exactly 0 lets everything move, and nothing says so.

Expected: what is darker than mid grey is held (README: "in the mask, white may change"), or a
run says that the mask holds nothing.
Seen: any level above 0 counts as white. Black of level 1 or 16 (exports, video range): the
whole picture; JPEG: a rim of 2 px, a sixth more area; a soft brush: three times the area. The
run does not even give the note that a run without a mask gives. Neighbour: a JPEG of a mask for
`analyse labels` becomes many classes instead of two, below the limit of 64.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from featurekit.core.errors import MaskError
from featurekit.images.class_masks import load_classes
from featurekit.plugin import load_mask

SIDE = 128
mask = Image.new("L", (SIDE, SIDE), 0)
ImageDraw.Draw(mask).ellipse((40, 40, 88, 88), fill=255)
levels = np.asarray(mask)
kinds = {
    "as painted.png": (mask, {}),
    "black is 1.png": (Image.fromarray(np.maximum(levels, 1)), {}),
    "black is 16.png": (Image.fromarray((16 + levels * (219 / 255)).astype(np.uint8)), {}),
    "quality 75.jpg": (mask, {"quality": 75}),
    "soft brush.png": (mask.filter(ImageFilter.GaussianBlur(8)), {}),
}
shares = {}
with tempfile.TemporaryDirectory() as folder:
    for name, (picture, how) in kinds.items():
        picture.save(Path(folder) / name, **how)
        shares[name] = float(load_mask(Path(folder) / name, SIDE, SIDE).mean())
        print(f"{name:18} may change: {shares[name]:.1%}")
    square = Image.new("L", (64, 64), 0)
    ImageDraw.Draw(square).rectangle((20, 10, 44, 44), fill=255)
    square.save(Path(folder) / "classes.jpg", quality=80)
    try:
        found = len(load_classes(Path(folder) / "classes.jpg", 64, 64).values)
    except MaskError as error:
        found = str(error)
    print("classes of a JPEG with two:", found)
painted = shares["as painted.png"]
near = all(abs(share - painted) < 0.02 for share in shares.values())
sys.exit(0 if near and found not in range(3, 99) else 1)
