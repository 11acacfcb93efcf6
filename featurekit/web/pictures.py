"""Pictures on the desk: kept as they came, decoded by the guarded reader, shown at any size."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, TypeGuard

from PIL import Image

from featurekit.core.atomic import make_folder, replacing
from featurekit.core.errors import ConfigError, FeatureKitError, ImageError, UnknownNameError
from featurekit.core.json_files import read_json, write_json
from featurekit.images.photo import open_photo

LARGEST_SIDE_PX = 8192
MOST = 24  # pictures; the ones unused for longest go first
SHOWN_SIDES = (16, LARGEST_SIDE_PX)
LARGE_PX = 4_000_000  # above which a picture is shown as JPEG
DECODED, ENCODED_BYTES = 2, 64 << 20  # kept in memory
INDEX = "pictures.json"


@dataclass(frozen=True)
class Picture:
    """A picture on the desk. Points are in its own pixels, whatever size it is shown at."""

    id: str
    name: str  # as the person calls it; for the eye alone
    width: int
    height: int
    path: Path  # as it came, for ``fk.load_image``
    image: Image.Image  # RGB, upright, whole

    def at_most(self, side: int) -> Image.Image:
        """The picture with a longer side of so many pixels at most; never enlarged."""
        if max(self.width, self.height) <= side:
            return self.image
        factor = side / max(self.width, self.height)
        size = (max(1, round(self.width * factor)), max(1, round(self.height * factor)))
        return self.image.resize(size, Image.Resampling.LANCZOS)

    @property
    def told(self) -> dict[str, Any]:
        """What the page is told of it."""
        return {"id": self.id, "name": self.name, "width": self.width, "height": self.height}


class Shelf:
    """The pictures of a studio, in a folder; one of them is on the desk."""

    def __init__(self, folder: Path) -> None:
        """Take up what the folder holds.

        Args:
            folder: for the pictures; it is made.

        Raises:
            OutputError: it cannot be written to.
        """
        self._folder = make_folder(folder)
        self._lock = threading.RLock()
        self._known: OrderedDict[str, dict[str, Any]] = OrderedDict()  # the latest used last
        self._decoded: OrderedDict[str, Picture] = OrderedDict()
        self._encoded: OrderedDict[tuple[str, int], tuple[bytes, str]] = OrderedDict()
        self._current: str | None = None
        self._read()

    def put(self, content: bytes, name: str, *, select: bool = True) -> Picture:
        """Lay a picture on the shelf.

        Args:
            content: the file.
            name: what the person calls it.
            select: whether it becomes the one on the desk.

        Raises:
            ImageError: it is no picture, or one that is damaged, animated, too large or too small.
            OutputError: it cannot be kept.
        """
        key = hashlib.sha256(content).hexdigest()[:24]
        path = self._folder / key
        with self._lock:
            if key not in self._known:
                with replacing(path) as temporary:
                    temporary.write_bytes(content)
                try:
                    picture = self._decode(key, name)
                except FeatureKitError:
                    path.unlink(missing_ok=True)
                    raise
                self._known[key] = picture.told
            self._known.move_to_end(key)
            if select:
                self._current = key
            self._make_room()
            self._write()
            return self.get(key)

    def select(self, key: str) -> Picture:
        """Put one of the pictures on the desk.

        Raises:
            UnknownNameError: there is none of that name.
        """
        with self._lock:
            picture = self.get(key)
            self._current = key
            self._known.move_to_end(key)
            self._write()
            return picture

    def get(self, key: str | None = None) -> Picture:
        """Fetch a picture.

        Args:
            key: its name; None is the one on the desk.

        Raises:
            ConfigError: no picture is on the desk.
            UnknownNameError: there is none of that name.
            ImageError: its file was damaged meanwhile.
        """
        with self._lock:
            found = self._current if key is None else key
            if found is None:
                raise ConfigError("a picture must be on the desk first; drop one on the page")
            if found not in self._known:
                raise UnknownNameError("picture", found[:40], self._known)
            if found not in self._decoded:
                self._decoded[found] = self._decode(
                    found, str(self._known[found].get("name", "picture"))
                )
            self._decoded.move_to_end(found)
            while len(self._decoded) > DECODED:
                self._decoded.popitem(last=False)
            return self._decoded[found]

    def shown(self, key: str, side: int) -> tuple[bytes, str]:
        """A picture as a file for the page.

        Args:
            key: its name.
            side: longer side in px, at most.

        Returns:
            PNG or, of a large one, JPEG; and which.

        Raises:
            UnknownNameError: there is none of that name.
        """
        side = min(max(side, SHOWN_SIDES[0]), SHOWN_SIDES[1])
        with self._lock:
            if (key, side) not in self._encoded:
                self._encoded[key, side] = encode(self.get(key).at_most(side))
            self._encoded.move_to_end((key, side))
            while sum(len(one) for one, _ in self._encoded.values()) > ENCODED_BYTES:
                if len(self._encoded) == 1:
                    break
                self._encoded.popitem(last=False)
            return self._encoded[key, side]

    @property
    def told(self) -> dict[str, Any]:
        """What the page is told: all pictures, the latest first, and which is on the desk."""
        with self._lock:
            return {"pictures": list(self._known.values())[::-1], "current": self._current}

    def _decode(self, key: str, name: str) -> Picture:
        path = self._folder / key
        try:
            image = open_photo(path, of="picture", background="white")
        except ImageError as error:  # the reader names the file, which the person knows by another
            raise ImageError(str(error).replace(repr(str(path)), repr(name))) from error
        if max(image.size) > LARGEST_SIDE_PX:
            raise ImageError(
                f"a picture in the studio must have at most {LARGEST_SIDE_PX} px a side, got "
                f"{image.width} x {image.height}; make it smaller"
            )
        return Picture(key, name, image.width, image.height, path, image)

    def _make_room(self) -> None:
        for key in tuple(self._known):
            if len(self._known) <= MOST:
                return
            if key != self._current:
                self._forget(key)

    def _forget(self, key: str) -> None:
        self._known.pop(key, None)
        self._decoded.pop(key, None)
        for kept in [one for one in self._encoded if one[0] == key]:
            del self._encoded[kept]
        (self._folder / key).unlink(missing_ok=True)

    def _write(self) -> None:
        write_json({"pictures": list(self._known.values()), "current": self._current},
                   self._folder / INDEX)  # fmt: skip

    def _read(self) -> None:
        """Take up pictures of an earlier server, those whose files are there."""
        try:
            record = read_json(self._folder / INDEX)
        except ConfigError:  # there was none, or it was cut off
            return
        listed = record.get("pictures")
        for entry in listed if isinstance(listed, list) else ():
            key = entry.get("id") if isinstance(entry, Mapping) else None
            if _is_key(key) and (self._folder / key).is_file():
                self._known[key] = dict(entry)
        current = record.get("current")
        self._current = current if current in self._known else None


def encode(image: Image.Image) -> tuple[bytes, str]:
    """A Pillow image as PNG, quickly; a large one as JPEG."""
    file = BytesIO()
    if image.width * image.height > LARGE_PX:
        image.convert("RGB").save(file, "JPEG", quality=94)
        return file.getvalue(), "image/jpeg"
    image.save(file, "PNG", compress_level=1)
    return file.getvalue(), "image/png"


def _is_key(found: object) -> TypeGuard[str]:
    return isinstance(found, str) and len(found) == 24 and found.isalnum()
