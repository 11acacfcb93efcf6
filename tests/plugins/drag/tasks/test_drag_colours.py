"""A drag of a picture with a colour profile: what is held looks as before, and it says sRGB."""

import numpy as np
import pytest
from icc_profiles import (
    P3_XY,
    adobe_profile,
    ink_profile,
    p3_profile,
    seen,
    seen_adobe,
    seen_inks,
)
from PIL import Image

import featurekit as fk
from featurekit.scenes import scene

SIDE, BOX, FEATHER = 64, (20, 20, 44, 44), 2
SMALL = ["animation_frames=0", "candidates=1", "fill=model"]
PHOTO = np.asarray(scene(3, "flowers").image(SIDE))
PLAIN = np.zeros((SIDE, SIDE, 4), np.uint8)  # inks that a printer would use, in flat fields
PLAIN[: SIDE // 2], PLAIN[SIDE // 2 :] = (0, 255, 0, 0), (255, 0, 255, 0)

PICTURES = {
    "Display P3": (Image.fromarray(PHOTO), p3_profile(), seen(PHOTO, P3_XY), 2),
    "Adobe RGB": (Image.fromarray(PHOTO), adobe_profile(), seen_adobe(PHOTO), 2),
    "CMYK": (Image.fromarray(PLAIN, mode="CMYK"), ink_profile(), seen_inks(PLAIN), 6),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_outside_the_mask_the_edit_looks_as_the_picture_did(tmp_path, kind):
    picture, profile, shown, near = PICTURES[kind]
    picture.save(tmp_path / "me.tif", icc_profile=profile)
    mask = Image.new("L", (SIDE, SIDE))
    mask.paste(255, BOX)
    mask.save(tmp_path / "m.png")
    words = [f"plugin.{one}" for one in (*SMALL, f"feather_px={FEATHER}")]
    named = [f"image={tmp_path / 'me.tif'}", f"plugin.mask={tmp_path / 'm.png'}"]
    points = "plugin.points=[[30,30,36,30]]"
    out = f"out={tmp_path / 'out'}"
    fk.run(fk.compose(["plugin=drag", "backbone=random", *words, *named, points, out]))

    held = np.ones((SIDE, SIDE), bool)
    margin = FEATHER + 1
    held[BOX[1] - margin : BOX[3] + margin, BOX[0] - margin : BOX[2] + margin] = False
    with Image.open(tmp_path / "out" / "edit.png") as edit:
        assert (edit.info.get("srgb"), "icc_profile" in edit.info) == (1, False)
        pixels = np.asarray(edit).astype(float)
    assert np.abs(pixels - shown)[held].max() < near
    numbers = np.asarray(picture.convert("RGB")).astype(float)
    assert np.abs(numbers - shown)[held].max() > 10  # to take the numbers as they are would show
