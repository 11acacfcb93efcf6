"""What the tab itself has to find again after a restart: a few values in one file."""

import threading
from pathlib import Path
from typing import Any

from featurekit.core.errors import ConfigError
from featurekit.core.json_files import read_json, write_json


class State:
    """Values by name, written whenever one changes. Any thread may ask."""

    def __init__(self, path: Path) -> None:
        """Take up what the file holds; without one there is nothing."""
        self._path, self._lock = path, threading.Lock()
        try:
            self._values = read_json(path)
        except ConfigError:
            self._values = {}

    def get(self, name: str) -> Any:  # noqa: ANN401 - whatever was set
        """A value; None where there is none."""
        with self._lock:
            return self._values.get(name)

    def set(self, name: str, value: Any) -> None:  # noqa: ANN401 - whatever JSON holds
        """Keep a value.

        Raises:
            OutputError: it cannot be written.
        """
        with self._lock:
            self._values[name] = value
            write_json(self._values, self._path)
