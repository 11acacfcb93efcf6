"""``fk.studio``: a server in a thread of the kernel, its page in a widget or a frame."""

from pathlib import Path
from typing import Any, Protocol

from featurekit.core.locks import held_if_free
from featurekit.images.photo import Source
from featurekit.web.notebook.frame import Frame, put
from featurekit.web.opening import Place, check_extra, server, widget
from featurekit.web.studio import Studio, studio_folder


class OpenStudio(Protocol):
    """A studio that is open: a ``Frame``, or a widget where anywidget is installed."""

    @property
    def address(self) -> str:
        """Where a browser of this machine finds it."""
        ...

    @property
    def picture(self) -> dict[str, Any]:
        """Id, name, width and height of the picture on the desk; empty without any."""
        ...

    @property
    def tabs(self) -> dict[str, Any]:
        """What each tab's page asks for now, by the tab's name; of Drag as a run's settings."""
        ...

    def put(self, image: Source) -> None:
        """Put a picture on the desk.

        Raises:
            ImageError: it is no picture.
        """
        ...

    def close(self) -> None:
        """End the studio; its folder keeps what was made."""
        ...


def studio(
    image: Source | None = None, *, backbone: str | None = None, folder: str | Path | None = None
) -> OpenStudio:
    """Open the studio beside the running program; a notebook shows its page.

    Args:
        image: the picture to begin with: a file, a Pillow image or a uint8 array.
        backbone: as ``load_backbone`` takes it; None: the embedded model.
        folder: what the studio keeps; None: in the user's cache folder.

    Returns:
        The open studio, with its ``address``, ``close()``, and what its page asks for: ``picture``
        and ``tabs``. With the extra ``[notebook]`` it is a widget, whose traits these are.

    Raises:
        ConfigError: the extra ``[studio]`` is not installed.
        ImageError: the picture is none.
        OutputError: the folder cannot be written to, or another studio has it.
    """
    check_extra()
    place = studio_folder(folder or "")
    hold = held_if_free(
        place, of="a studio's folder", advice="close that studio, or give folder=..."
    )
    hold.__enter__()
    try:
        opened = Studio(place, backbone or "embedded")
        if image is not None:
            put(opened, image)
        served = server()(opened, Place(is_framed=True))
    except BaseException:
        hold.__exit__(None, None, None)
        raise
    served.in_thread()
    opened.warm_up()
    frame, made = Frame(opened, served, hold), widget()
    return frame if made is None else made(frame)
