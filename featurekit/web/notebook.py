"""The studio in a notebook: a server in a thread of the kernel, the page in a frame."""

import atexit
from html import escape
from pathlib import Path

from PIL import Image

from featurekit.core.locks import held_if_free
from featurekit.images.photo import Source, open_photo
from featurekit.web.opening import Place, check_extra, server
from featurekit.web.pictures import encode
from featurekit.web.studio import Studio, studio_folder

HEIGHT_PX = 820


class Frame:
    """A studio that is open; a notebook shows its page in a frame."""

    def __init__(self, studio: Studio, served: object, hold: object) -> None:
        """Made by ``studio``."""
        self._studio, self._served, self._hold = studio, served, hold
        atexit.register(self.close)

    @property
    def address(self) -> str:
        """Where a browser of this machine finds it."""
        return str(self._served.address)  # type: ignore[attr-defined]  # its type needs the extra

    def close(self) -> None:
        """End the studio; its folder keeps what was made."""
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


def studio(
    image: Source | None = None, *, backbone: str | None = None, folder: str | Path | None = None
) -> Frame:
    """Open the studio beside the running program; a notebook shows its page.

    Args:
        image: the picture to begin with: a file, a Pillow image or a uint8 array.
        backbone: as ``load_backbone`` takes it; None: the embedded model.
        folder: what the studio keeps; None: in the user's cache folder.

    Returns:
        The open studio, with its ``address`` and ``close()``.

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
        _put(opened, image)
        served = server()(opened, Place(is_framed=True))
    except BaseException:
        hold.__exit__(None, None, None)
        raise
    served.in_thread()
    opened.warm_up()
    return Frame(opened, served, hold)


def _put(opened: Studio, image: Source | None) -> None:
    if image is None:
        return
    if isinstance(image, str | Path):
        opened.put_file(Path(image).expanduser())
        return
    content, _ = encode(image if isinstance(image, Image.Image) and image.mode == "RGB"
                        else open_photo(image, of="image", background="white"))  # fmt: skip
    opened.put_picture(content, "picture.png", select=True)
