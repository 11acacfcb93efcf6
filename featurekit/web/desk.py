"""What a tab is given: the model, the pictures, a folder of its own, and a way to the page."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featurekit.web.pictures import Picture


@dataclass(frozen=True)
class Desk:
    """A tab's place in the studio. Every part may be used from any thread."""

    folder: Path  # exists; what a tab keeps there is there after a restart
    model_name: str  # as ``fk.load_backbone`` takes it
    backbone: Callable[[], Any]
    """The model; waits until it is loaded, and raises a FeatureKitError where it cannot be.

    Each tab has modules of its own, which share the weights: hooks of one are unseen by the others.
    Within a tab one thread at a time may use it; actions are, a job runs beside them.
    """
    picture: Callable[[str | None], Picture]
    """The picture of an id; of None the one on the desk. Raises a FeatureKitError without any."""
    publish: Callable[[str, Mapping[str, Any]], None]
    """Tell the tab's page of something: a word and values, heard by ``studio.on("tab", ...)``."""
    keep: Callable[[bytes, str, str], str]
    """Keep a result (bytes, media type, name to save it under); gives its address."""
    show: Callable[[bytes, str], str]
    """The same for a while: in memory, among the latest few."""
