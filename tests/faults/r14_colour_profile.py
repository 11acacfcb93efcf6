"""The colour profile of a picture is neither applied when it is read nor kept when it is written.

Expected: the numbers are taken to sRGB by the embedded profile (phones write Display P3,
cameras Adobe RGB), or the result carries the profile of its picture.
Seen: the file's numbers are taken for sRGB; an edit then looks paler than the picture it was
made of, also where nothing moved.
"""

import io
import struct
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageCms

import featurekit as fk
from featurekit.images.io import image_to_pil
from featurekit.plugin import write_image


def profile(red, green, blue, gamma=2.2):
    """A matrix profile with these primaries (XYZ, D50)."""

    def fixed(*values):
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    white = (0.9642, 1.0, 0.8249)
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    name = b"wide\0"
    parts = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + b"\0" * 78,
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": b"XYZ \0\0\0\0" + fixed(*white),
        **{
            key: b"XYZ \0\0\0\0" + fixed(*xyz)
            for key, xyz in ((b"rXYZ", red), (b"gXYZ", green), (b"bXYZ", blue))
        },
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }
    table, data = struct.pack(">I", len(parts)), b""
    for key, part in parts.items():
        table += key + struct.pack(">II", 132 + 12 * len(parts) + len(data), len(part))
        data += part + b"\0" * (-len(part) % 4)
    head = struct.pack(
        ">I4sI4s4s4s",
        132 + 12 * len(parts) + len(data),
        b"lcms",
        0x02400000,
        b"mntr",
        b"RGB ",
        b"XYZ ",
    )
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28 + fixed(*white)
    return head.ljust(128, b"\0") + table + data


P3 = profile((0.5151, 0.2412, -0.0011), (0.2919, 0.6922, 0.0419), (0.1572, 0.0666, 0.7841))
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "phone.png"
    Image.new("RGB", (64, 64), (200, 60, 40)).save(path, icc_profile=P3)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    seen_by_people = ImageCms.profileToProfile(
        Image.open(path), io.BytesIO(P3), srgb, outputMode="RGB"
    ).getpixel((8, 8))
    image = fk.load_image(path)
    got = image_to_pil(image).getpixel((8, 8))
    kept = "icc_profile" in Image.open(write_image(image, Path(folder) / "edit.png")).info
    print(f"in sRGB {seen_by_people}, read as {got}, profile in the written picture: {kept}")
    off = max(abs(a - b) for a, b in zip(seen_by_people, got, strict=True))
    sys.exit(1 if not kept and off > 3 else 0)
