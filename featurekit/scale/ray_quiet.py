"""What Ray prints by itself where a worker is killed: left out, since we say it in a sentence."""

import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

_MODULE, _PRINTS = "ray._private.worker", "print_to_stdstream"  # a thread of Ray's calls it
_WORDS = ["data", "ignore_prefix"]  # that it takes
_SPEAKER = "raylet"  # who says that a worker has died


@contextmanager
def quiet_about_deaths() -> Iterator[None]:
    """Keep Ray's own paragraph on a killed worker off the terminal while the block runs.

    No setting of Ray's does it. A version that prints in another way prints on.
    """
    module = sys.modules.get(_MODULE)
    before = getattr(module, _PRINTS, None)
    if module is None or before is None or list(inspect.signature(before).parameters) != _WORDS:
        yield
        return

    def printed(data: Mapping[str, Any], ignore_prefix: bool) -> None:
        if data.get("pid") != _SPEAKER:
            before(data, ignore_prefix)

    setattr(module, _PRINTS, printed)
    try:
        yield
    finally:
        setattr(module, _PRINTS, before)
