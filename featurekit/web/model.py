"""The studio's model: loaded once, in the background, and lent to every tab."""

import threading
from collections.abc import Callable
from typing import Any

from featurekit.core.errors import FeatureKitError


class Model:
    """A backbone that is loaded when it is first needed, or sooner."""

    def __init__(
        self,
        name: str,
        load: Callable[[], Any],
        tell: Callable[[str, dict[str, Any]], None],
    ) -> None:
        """Name it; nothing is loaded yet.

        Args:
            name: as the person gave it.
            load: loads it; may raise a FeatureKitError.
            tell: publishes what became of it.
        """
        self.name = name
        self._load, self._tell = load, tell
        self._lock = threading.Lock()
        self._found: Any = None
        self._fault: FeatureKitError | None = None
        self.status = "waiting"  # "loading", "ready", "failed"

    def get(self) -> Any:  # noqa: ANN401 - a Backbone, whose type needs torch
        """The backbone, once it is loaded.

        Raises:
            FeatureKitError: it cannot be.
        """
        with self._lock:
            if self._found is None and self._fault is None:
                self._become("loading")
                try:
                    self._found = self._load()
                except FeatureKitError as fault:
                    self._fault = fault
                self._become("failed" if self._fault else "ready")
            if self._fault is not None:
                raise self._fault
            return self._found

    @property
    def told(self) -> dict[str, Any]:
        """What the page is told of it."""
        return {"name": self.name, "status": self.status, "error": str(self._fault or "")}

    def _become(self, status: str) -> None:
        self.status = status
        self._tell("model", self.told)
