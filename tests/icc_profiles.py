"""Colour profiles written here from published primaries, and what their numbers look like in sRGB.

The layout is ICC.1:2010, version 2 profiles: matrix and curves, grey, and a table for CMYK.
"""

import struct
from itertools import product

import numpy as np

D50, D65_XY = np.array([0.9642, 1.0, 0.8249]), (0.3127, 0.3290)
BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
SRGB_XY = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))  # IEC 61966-2-1
P3_XY = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))  # Display P3
ADOBE_XY = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))  # Adobe RGB (1998)
ADOBE_GAMMA = 563 / 256
# what light a full layer of each ink lets through, linear sRGB; black lets none
INKS = np.array([[0.0, 0.35, 0.75], [0.8, 0.0, 0.2], [1.0, 0.85, 0.0], [0.0, 0.0, 0.0]])
GRID = 9  # of the table of inks


def to_linear(levels):
    share = np.asarray(levels, dtype=float) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def from_linear(light):
    light = np.clip(light, 0, 1)
    share = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return share * 255


def to_xyz(primaries):
    """Matrix from linear red, green and blue to XYZ of D65."""
    corners = np.array([[x / y, 1, (1 - x - y) / y] for x, y in (*primaries, D65_XY)]).T
    return corners[:, :3] * np.linalg.solve(corners[:, :3], corners[:, 3])


def adapted():
    """Matrix from XYZ of D65 to XYZ of D50, by Bradford's cone responses."""
    x, y = D65_XY
    white = np.array([x / y, 1, (1 - x - y) / y])
    return np.linalg.inv(BRADFORD) @ np.diag((BRADFORD @ D50) / (BRADFORD @ white)) @ BRADFORD


def seen(levels, primaries, linear=to_linear):
    """Levels (... 3) of a space with these primaries, as levels of sRGB, not rounded."""
    way = np.linalg.inv(to_xyz(SRGB_XY)) @ to_xyz(primaries)
    return from_linear(linear(levels) @ way.T)


def seen_adobe(levels):
    return seen(levels, ADOBE_XY, lambda given: (np.asarray(given) / 255) ** ADOBE_GAMMA)


def seen_inks(levels):
    """Inks (... 4) of 0 to 255 laid over each other, as levels of sRGB, not rounded."""
    share = np.asarray(levels, dtype=float)[..., None] / 255
    return from_linear((1 - share * (1 - INKS)).prod(-2))


def rgb_profile(primaries, curve):
    colourants = (adapted() @ to_xyz(primaries)).T
    tags = {
        name: b"XYZ \0\0\0\0" + _fixed(*one) for name, one in zip("rgb", colourants, strict=True)
    }
    parts = {f"{name}XYZ": part for name, part in tags.items()}
    return _profile(b"mntr", b"RGB ", b"XYZ ", parts | {f"{name}TRC": curve for name in "rgb"})


def p3_profile():
    points = [round(float(value) * 65535) for value in to_linear(np.linspace(0, 255, 1024))]
    return rgb_profile(P3_XY, _curve(*points))


def srgb_profile():
    """sRGB once more, by another maker: its curve as 1024 points, its primaries rounded."""
    points = [round(float(value) * 65535) for value in to_linear(np.linspace(0, 255, 1024))]
    rounded = tuple((x, y + 1e-4) for x, y in SRGB_XY)
    return rgb_profile(rounded, _curve(*points))


def adobe_profile():
    return rgb_profile(ADOBE_XY, _curve(round(ADOBE_GAMMA * 256)))


def grey_profile(gamma):
    return _profile(b"mntr", b"GRAY", b"XYZ ", {"kTRC": _curve(round(gamma * 256))})


def ink_profile():
    """CMYK by a table of 8 bits of Lab, with the inks above."""
    grid = np.array(list(product(np.linspace(0, 255, GRID), repeat=4)))
    light = to_linear(seen_inks(grid))
    lab = _lab((light @ (adapted() @ to_xyz(SRGB_XY)).T) / D50)
    cells = np.clip(np.round(lab), 0, 255).astype(np.uint8).tobytes()
    straight = bytes(range(256))
    table = b"mft1\0\0\0\0" + bytes([4, 3, GRID, 0]) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    table += straight * 4 + cells + straight * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", dict.fromkeys(("A2B0", "A2B1", "A2B2"), table))


def _lab(ratio):
    """XYZ as a share of white to L, a and b in the table's 0 to 255."""
    root = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    x, y, z = root[..., 0], root[..., 1], root[..., 2]
    return np.stack([(116 * y - 16) * 2.55, 500 * (x - y) + 128, 200 * (y - z) + 128], axis=-1)


def _fixed(*values):
    return b"".join(struct.pack(">i", round(float(value) * 65536)) for value in values)


def _curve(*points):
    """A table of 16 bits, or one number: gamma times 256."""
    return b"curv\0\0\0\0" + struct.pack(f">I{len(points)}H", len(points), *points)


def _profile(kind, space, between, parts):
    name = b"made in a test\0"
    tags = {
        "desc": b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + b"\0" * 78,
        "cprt": b"text\0\0\0\0none\0",
        "wtpt": b"XYZ \0\0\0\0" + _fixed(*D50),
        **parts,
    }
    table, data = struct.pack(">I", len(tags)), b""
    for key, part in tags.items():
        place = 132 + 12 * len(tags) + len(data)
        table += key.encode() + struct.pack(">II", place, len(part))
        data += part + b"\0" * (-len(part) % 4)
    size = struct.pack(">I", 128 + len(table) + len(data))
    head = size + b"test" + struct.pack(">I", 0x02400000) + kind + space + between
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28 + _fixed(*D50)
    return head.ljust(128, b"\0") + table + data
