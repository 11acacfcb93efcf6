"""Results that the page shows or saves: kept by an id in the studio's folder, or a while only."""

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featurekit.core.atomic import make_folder, replacing
from featurekit.core.errors import ConfigError, UnknownNameError
from featurekit.core.json_files import read_json, write_json

KEPT_BYTES, KEPT = 1 << 30, 1000  # on disk; the oldest go first
PASSING = 24  # in memory: how jobs look while they run
INDEX = "blobs.json"
MEDIA_TYPES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "image/svg+xml": ".svg",
    "application/json": ".json",
    "application/zip": ".zip",
    "application/octet-stream": ".bin",
    "text/plain": ".txt",
}


@dataclass(frozen=True)
class Blob:
    """Bytes with what they are."""

    content: bytes
    media_type: str
    name: str  # that a person saves it under


class Blobs:
    """Results by id. The same bytes have the same id."""

    def __init__(self, folder: Path) -> None:
        """Take up what the folder holds.

        Raises:
            OutputError: it cannot be written to.
        """
        self._folder = make_folder(folder)
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._passing: OrderedDict[str, Blob] = OrderedDict()
        try:
            listed = read_json(self._folder / INDEX).get("blobs")
        except ConfigError:
            return
        for key, entry in listed.items() if isinstance(listed, dict) else ():
            if key.isalnum() and isinstance(entry, dict) and (self._folder / key).is_file():
                self._kept[key] = entry

    def keep(self, content: bytes, media_type: str, name: str) -> str:
        """Keep a result, also for the next server of this folder.

        Args:
            content: the file.
            media_type: one of ``MEDIA_TYPES``.
            name: that a person saves it under.

        Returns:
            Its address.

        Raises:
            ConfigError: the media type is none of them.
            OutputError: it cannot be written.
        """
        if media_type not in MEDIA_TYPES:
            raise ConfigError(f"a result must be one of {', '.join(MEDIA_TYPES)}, got {media_type}")
        key = hashlib.sha256(media_type.encode() + content).hexdigest()[:32]
        with self._lock:
            with replacing(self._folder / key) as temporary:
                temporary.write_bytes(content)
            entry = {"media_type": media_type, "name": name[:120], "bytes": len(content)}
            self._kept[key] = entry
            self._kept.move_to_end(key)
            self._make_room()
            write_json({"blobs": self._kept}, self._folder / INDEX)
        return f"/blob/{key}"

    def show(self, content: bytes, media_type: str) -> str:
        """Keep a result for as long as it is among the latest; nothing is written.

        Returns:
            Its address.
        """
        key = hashlib.sha256(media_type.encode() + content).hexdigest()[:32]
        with self._lock:
            self._passing[key] = Blob(content, media_type, f"now{MEDIA_TYPES[media_type]}")
            self._passing.move_to_end(key)
            while len(self._passing) > PASSING:
                self._passing.popitem(last=False)
        return f"/blob/{key}"

    def get(self, key: str) -> Blob:
        """Fetch a result.

        Raises:
            UnknownNameError: there is none of that id.
        """
        with self._lock:
            if key in self._passing:
                return self._passing[key]
            if key in self._kept:
                entry = self._kept[key]
                try:
                    content = (self._folder / key).read_bytes()
                except OSError:  # somebody removed it
                    del self._kept[key]
                else:
                    return Blob(content, str(entry["media_type"]), str(entry["name"]))
        raise UnknownNameError("result", key[:40], ())

    def _make_room(self) -> None:
        held = sum(int(entry["bytes"]) for entry in self._kept.values())
        while len(self._kept) > 1 and (held > KEPT_BYTES or len(self._kept) > KEPT):
            key, entry = self._kept.popitem(last=False)
            held -= int(entry["bytes"])
            (self._folder / key).unlink(missing_ok=True)
