"""The studio as a widget: its page in a frame, what the page asks for in traits."""

from pathlib import Path
from typing import Any

import anywidget
from traitlets import Dict, Int, Unicode

from featurekit.images.photo import Source
from featurekit.web.notebook.frame import HEIGHT_PX, Frame


class StudioWidget(anywidget.AnyWidget):
    """A studio that is open. Traits follow the page, also while a cell runs.

    ``view.observe(function, "tabs")`` hears of each change, in a thread of the studio.
    """

    _esm = Path(__file__).with_name("widget.js")
    address = Unicode(read_only=True, help="where this machine's browsers find it").tag(sync=True)
    picture = Dict(read_only=True, help="the picture on the desk; empty without any").tag(sync=True)
    tabs = Dict(read_only=True, help="what each tab's page asks for now").tag(sync=True)
    height = Int(HEIGHT_PX, min=200, help="of the frame, in CSS px").tag(sync=True)

    def __init__(self, frame: Frame) -> None:
        """Show a studio and follow it."""
        super().__init__()
        self._frame = frame
        self.set_trait("address", frame.address)
        self._see()
        frame.follow(self._see)

    def put(self, image: Source) -> None:
        """Put a picture on the desk; see ``Frame.put``."""
        self._frame.put(image)

    def close(self) -> None:
        """End the studio and its views; its folder keeps what was made."""
        frame = getattr(self, "_frame", None)  # none where it never came to be
        if frame is not None:
            frame.close()
        super().close()

    def __repr__(self) -> str:
        """One line."""
        return repr(self._frame)

    def _repr_mimebundle_(  # type: ignore[override]  # what IPython calls it with, by name
        self,
        include: dict[str, Any] | None = None,
        exclude: dict[str, Any] | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """The widget, and for a front end without widgets the frame."""
        found = super()._repr_mimebundle_(include=include or {}, exclude=exclude or {})
        if found is None:
            return None
        return {**found[0], "text/html": self._frame._repr_html_()}, found[1]

    def _see(self) -> None:
        self.set_trait("picture", self._frame.picture)
        self.set_trait("tabs", self._frame.tabs)
