"""A studio that is open in the running program, which sees what its page asks for."""

import atexit
import threading
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from featurekit.images.photo import Source, open_photo
from featurekit.web.job_queue import LOG
from featurekit.web.pictures import encode
from featurekit.web.studio import Studio

HEIGHT_PX = 820
CHANGES = ("pictures", "saved", "tab", "tabs")  # kinds of events after which something is new


def put(studio: Studio, image: Source) -> None:
    """Put a picture on the desk of a studio; see ``Frame.put``."""
    if isinstance(image, str | Path):
        studio.put_file(Path(image).expanduser())
        return
    read = (image if isinstance(image, Image.Image) and image.mode == "RGB"
            else open_photo(image, of="image", background="white"))  # fmt: skip
    studio.put_picture(encode(read)[0], "picture.png", select=True)


class Frame:
    """A studio that is open; a notebook shows its page in a frame."""

    def __init__(self, studio: Studio, served: object, hold: object) -> None:
        """Made by ``beginning.studio``."""
        self._studio, self._served, self._hold = studio, served, hold
        self._changed = threading.Event()
        self._is_open = True
        atexit.register(self.close)

    @property
    def address(self) -> str:
        """Where a browser of this machine finds it."""
        return str(self._served.address)  # type: ignore[attr-defined]  # its type needs the extra

    @property
    def picture(self) -> dict[str, Any]:
        """Id, name, width and height of the picture on the desk; empty without any."""
        told = self._studio.shelf.told
        return next((one for one in told["pictures"] if one["id"] == told["current"]), {})

    @property
    def tabs(self) -> dict[str, Any]:
        """What each tab's page asks for now, by the tab's name; of Drag as a run's settings."""
        return self._studio.seen

    def put(self, image: Source) -> None:
        """Put a picture on the desk.

        Args:
            image: a file, a Pillow image or a uint8 array.

        Raises:
            ImageError: it is no picture.
            OutputError: it cannot be kept.
        """
        put(self._studio, image)

    def follow(self, hear: Callable[[], object]) -> None:
        """Call a function whenever ``picture`` or ``tabs`` may have changed, in a thread.

        What the function raises is logged, and the next change is heard all the same.
        """

        def work() -> None:
            while self._changed.wait() and self._is_open:
                self._changed.clear()
                try:
                    hear()
                except Exception:
                    LOG.exception("a change of the studio was not heard")

        def changed(kind: str) -> None:
            if kind in CHANGES:
                self._changed.set()

        self._studio.hub.watch(changed)
        threading.Thread(target=work, name="studio seen", daemon=True).start()

    def close(self) -> None:
        """End the studio; its folder keeps what was made."""
        self._is_open = False
        self._changed.set()
        self._served.stop()  # type: ignore[attr-defined]  # likewise
        self._hold.__exit__(None, None, None)  # type: ignore[attr-defined]  # of held_if_free
        atexit.unregister(self.close)

    def __repr__(self) -> str:
        """One line."""
        return f"studio at {self.address}"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return (
            f'<iframe src="{escape(self.address)}" title="featurekit studio" width="100%" '
            f'height="{HEIGHT_PX}" style="border:0;border-radius:8px" '
            f'allow="clipboard-write; fullscreen"></iframe>'
        )
