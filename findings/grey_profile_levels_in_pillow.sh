#!/usr/bin/env bash
# A picture with a linear grey ICC profile is converted to sRGB with dark levels that are wrong by up to ten.
#
# Versions: Pillow 12.3.0 (its wheel carries Little CMS 2.19), NumPy 2.4.0.
# Valid input: an 8-bit grey picture of all 256 levels, and a version 2 grey profile whose tone curve is the identity.
# Expected: level n is shown as sRGB's own encoding of n / 255, so 1 becomes 13 and 5 becomes 38.
# Seen: ImageCms.profileToProfile with its default flags is off in the dark levels; the same call with the flag
#   NOOPTIMIZE is right everywhere to one level. The default path reads the curve through a table whose steps are even.
# Exits with 0 while this is so, with 1 where it changed.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" -q install pillow==12.3.0 numpy==2.4.0
cat > "$work/look.py" <<'PY'
import io
import struct
import sys

import numpy as np
from PIL import Image, ImageCms, features


def tag(kind, body):
    return kind + bytes(4) + body + bytes(-len(body) % 4)


fixed = lambda *numbers: b"".join(struct.pack(">i", round(number * 65536)) for number in numbers)
text = b"linear grey\0"
parts = {
    b"desc": tag(b"desc", struct.pack(">I", len(text)) + text + bytes(78)),
    b"cprt": tag(b"text", b"no rights reserved\0"),
    b"wtpt": tag(b"XYZ ", fixed(0.9642, 1.0, 0.8249)),
    b"kTRC": tag(b"curv", struct.pack(">I", 0)),  # no points: the identity
}
table, body, place = struct.pack(">I", len(parts)), b"", 128 + 4 + 12 * len(parts)
for name, data in parts.items():
    table += name + struct.pack(">II", place + len(body), len(data))
    body += data
size = place + len(body)
head = struct.pack(">I4sI4s4s4s", size, b"none", 0x02100000, b"mntr", b"GRAY", b"XYZ ")
head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + fixed(0.9642, 1.0, 0.8249) + bytes(48)
profile = ImageCms.ImageCmsProfile(io.BytesIO(head + table + body))

ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
share = np.arange(256) / 255
true = np.rint(255 * np.where(share <= 0.0031308, 12.92 * share, 1.055 * share ** (1 / 2.4) - 0.055))
off = {}
for name, flags in (("default", 0), ("NOOPTIMIZE", ImageCms.Flags.NOOPTIMIZE)):
    shown = ImageCms.profileToProfile(ramp, profile, ImageCms.createProfile("sRGB"), outputMode="RGB", flags=flags)
    levels = np.asarray(shown)[0, :, 0].astype(int)
    off[name] = int(np.abs(levels - true).max())
    print(f"{name}: levels 1, 5 and 20 are {levels[[1, 5, 20]].tolist()}, true {true[[1, 5, 20]].astype(int).tolist()}; "
          f"at most {off[name]} off")
print("Pillow", Image.__version__, "Little CMS", features.version("littlecms2"))
sys.exit(0 if off["default"] >= 5 and off["NOOPTIMIZE"] <= 1 else 1)
PY
"$work/env/bin/python" "$work/look.py"
