"""Generated copies of the layouts of published data sets, small and with invented drags."""

import json
import pickle

import numpy as np
from PIL import Image

COUNTS = {  # samples and drags of DragBench by category
    "art_work": (35, 43),
    "other_objects": (35, 54),
    "building_countryside_view": (22, 49),
    "land_scape": (22, 29),
    "building_city_view": (21, 41),
    "animals": (20, 32),
    "interior_design": (20, 50),
    "human_head": (10, 17),
    "human_upper_body": (10, 18),
    "human_full_body": (10, 16),
}


def picture(width, height, seed=0):
    drawn = np.random.default_rng(seed).integers(0, 256, (height // 4 + 1, width // 4 + 1, 3))
    small = Image.fromarray(drawn.astype(np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def a_mask(width, height):
    mask = np.zeros((height, width), np.uint8)
    mask[2 : height - 2, 2 : width - 2] = 1
    return mask


def write_dragbench(folder, points, *, size=(24, 20), protocol=4, seed=0, **changed):
    """One sample as DragBench has it; what is changed replaces entries of its pickle."""
    folder.mkdir(parents=True)
    width, height = size
    picture(width, height, seed).save(folder / "original_image.png")
    picture(width, height, seed).save(folder / "user_drag.png")
    record = {"prompt": "a thing", "points": points, "mask": a_mask(width, height), **changed}
    (folder / "meta_data.pkl").write_bytes(pickle.dumps(record, protocol))
    return folder


def write_all_of_dragbench(root):
    """All 205 samples and 349 drags of DragBench by category; the lengths of the drags."""
    drawn = np.random.default_rng(1)
    lengths = []
    for category, (samples, drags) in COUNTS.items():
        for number in range(samples):
            count = drags // samples + (number < drags % samples)
            points = spread([[int(n) for n in drawn.integers(3, 17, 2)] for _ in range(2 * count)])
            moves = np.subtract(points[1::2], points[::2])
            lengths += np.hypot(moves[:, 0], moves[:, 1]).tolist()
            folder = root / category / f"JH_2023-09-14-{number:04d}"
            write_dragbench(folder, points, protocol=number % 6)
    (root / "animals" / ".DS_Store").touch()
    (root / "__MACOSX" / "animals").mkdir(parents=True)  # beside what macOS packs
    return lengths


def spread(points):
    """Handles apart from one another and from their targets."""
    for i in range(0, len(points), 2):
        points[i] = [3 + i, points[i][1]]
        if points[i] == points[i + 1]:
            points[i + 1] = [points[i][0] + 1, points[i][1]]
    return points


def write_own(folder, rows, *, size=(24, 20), target=True, mask=True, **more):
    folder.mkdir(parents=True)
    picture(*size).save(folder / "source.png")
    if target:
        picture(*size, seed=5).save(folder / "target.png")
    if mask:
        Image.fromarray(a_mask(*size) * 255).save(folder / "mask.png")
    (folder / "drag.json").write_text(json.dumps({"points": rows, **more}))
    return folder


def write_vfd(folder, points, *, size=(24, 20)):
    folder.mkdir(parents=True)
    picture(*size).save(folder / "input.png")
    picture(*size, seed=5).save(folder / "gt.png")
    Image.fromarray(a_mask(*size) * 255).save(folder / "mask.png")
    (folder / "points.json").write_text(json.dumps({"points": points}))
    return folder
