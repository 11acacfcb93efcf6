"""Small copies of the layouts of data sets with drawings, made of scenes."""

import csv
import json
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from featurekit.scenes import scene

SIDE = 32
PEOPLE = 5


def photo(path: Path, seed: int, size: tuple[int, int] = (SIDE, SIDE)) -> Path:
    """A scene as a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scene(seed, "face").image(64).resize(size).save(path)
    return path


def lines(seed: int, person: int = 0, size: tuple[int, int] = (SIDE, SIDE)) -> Image.Image:
    """A drawing of the scene, moved by as many pixels as the person's number."""
    drawn = scene(seed, "face").drawing(SIDE, "inline").convert("L")
    black = np.roll(np.asarray(drawn) < 153, person, axis=1)
    return Image.fromarray(np.where(black, 0, 255).astype(np.uint8)).resize(size)


def drawing(path: Path, seed: int, person: int = 0, size: tuple[int, int] = (SIDE, SIDE)) -> Path:
    """The same on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines(seed, person, size).save(path)
    return path


def boundaries(path: Path, seed: int, *, people: int = PEOPLE, packed: bool = True) -> Path:
    """A .mat of BSDS500: a cell for each person."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = np.empty((1, people), dtype=object)
    for person in range(people):
        marked = (np.asarray(lines(seed, person)) == 0).astype(np.uint8)
        cells[0, person] = {"Segmentation": marked.astype(np.uint16) + 1, "Boundaries": marked}
    savemat(path, {"groundTruth": cells}, do_compression=packed)
    return path


def write_bsds500(root: Path, counts: dict[str, int] | None = None) -> Path:
    """Pictures 100, 101, ... of each part, and what Windows leaves beside them."""
    number = 100
    for split, count in (counts or {"test": 2, "val": 1, "train": 1}).items():
        for _ in range(count):
            photo(root / "images" / split / f"{number}.jpg", number)
            boundaries(root / "groundTruth" / split / f"{number}.mat", number)
            number += 1
        (root / "images" / split / "Thumbs.db").write_bytes(b"not a picture")
    return root


def write_contours(root: Path, count: int = 2) -> Path:
    """Pictures with five drawings each, in two widths of which one is shifted."""
    for seed in range(count):
        photo(root / "image" / f"30{seed}_x.jpg", seed)
        for person in range(PEOPLE):
            name = f"30{seed}_x_0{person + 1}.png"
            drawing(root / "sketch-rendered" / "width-3" / name, seed, person)
            drawing(root / "sketch-rendered" / "width-11" / name, seed, person + 9)
    return root


def write_fs2k(root: Path) -> Path:
    """Two test faces of styles 1 and 3, and one to train on."""
    records = {"test": ["photo1/image0001", "photo3/image0002"], "train": ["photo1/image0007"]}
    for part, names in records.items():
        for name in names:
            seed = int(name[-1])
            photo(root / "photo" / f"{name}.jpg", seed)
            sketch = name.replace("photo", "sketch").replace("image", "sketch")
            drawing(root / "sketch" / f"{sketch}.png", seed)
        entries = [{"image_name": name, "gender": 1, "style": 0} for name in names]
        (root / f"anno_{part}.json").write_text(json.dumps(entries))
    return root


def write_own(root: Path, count: int = 2, styles: tuple[str, ...] = ("a", "b")) -> Path:
    """Our own layout as folders: two styles of each picture."""
    for seed in range(count):
        photo(root / "pictures" / f"p{seed}.jpg", seed)
        for person, style in enumerate(styles):
            drawing(root / "drawings" / style / f"p{seed}.png", seed, person)
    return root


def write_table(root: Path, rows: list[tuple[str, ...]], columns: tuple[str, ...]) -> Path:
    """Our own layout as a table."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / "pairs.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([columns, *rows])
    return root


def write_photographs(root: Path, count: int = 3) -> Path:
    """Pictures alone."""
    for seed in range(count):
        photo(root / f"{seed}.jpg", seed)
    return root


def greys(image):
    """An edge model of a user's own: how light the picture is."""
    return (image.mean(1, keepdim=True) + 1) / 2
