"""A few small pictures as files, tars and tables."""

import io
import tarfile

import numpy as np
import pytest
from PIL import Image

pa = pytest.importorskip("pyarrow", reason="the extra [scale] is not installed")
pq = pytest.importorskip("pyarrow.parquet")
COUNT = 6


def png(number, size=(32, 48)):
    pixels = np.random.default_rng(number).integers(0, 255, (*size, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


FILES = {f"{number}.png": png(number) for number in range(COUNT)}


def tar(path, files, *, folder=""):
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def table(path, *, rows=4, **columns):
    pq.write_table(pa.table(columns), path, row_group_size=rows)
    return path


def stored(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
