"""What is imported when it is needed: the server, which is an extra, and what stands on torch."""

from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Protocol

from PIL import Image

from featurekit.core.errors import ConfigError
from featurekit.pipeline.registry import import_fault, resolve
from featurekit.web.desk import Desk
from featurekit.web.late import imported, late
from featurekit.web.tab import Tab


@dataclass(frozen=True)
class Place:
    """Where a studio is to be served."""

    host: str = "127.0.0.1"
    port: int | None = None  # None: the usual one, or any that is free
    is_framed: bool = False  # whether a notebook shows the page


SERVER = "featurekit.web.http.server:serve"
WORKBENCH = "featurekit.web.workbench:Workbench"
LOOK = "featurekit.web.look.tab:look_tab"
WIDGET = "featurekit.web.notebook.widget:StudioWidget"
EXTRA = ("starlette", "uvicorn")


class Bench(Protocol):
    """What the studio does with torch; see ``workbench.Workbench``."""

    def load_backbone(self, name: str) -> Any:  # noqa: ANN401 - a Backbone, which needs torch
        """Load the model."""
        ...

    def sharing(self, backbone: Any) -> Any:  # noqa: ANN401 - Backbones
        """The same model with modules of its own."""
        ...

    def shown(self, image: Any) -> Image.Image:  # noqa: ANN401 - a tensor or a Pillow image
        """A picture of whatever kind for the page."""
        ...

    def example(self) -> Image.Image:
        """A picture to begin with."""
        ...


def check_extra() -> None:
    """Refuse to begin where the extra is missing.

    Raises:
        ConfigError: Starlette or uvicorn is not installed.
    """
    missing = [name for name in EXTRA if import_fault(name)]
    if missing:
        raise ConfigError(
            f"the studio needs {' and '.join(missing)}, not installed; "
            f"pip install 'featurekit[studio]'"
        )


def server() -> Any:  # noqa: ANN401 - its types need the extra
    """What serves a studio: ``http/server.serve``.

    Raises:
        ConfigError: the extra is not installed.
    """
    check_extra()
    return resolve(SERVER)


def widget() -> Any:  # noqa: ANN401 - its type needs the extra
    """What shows a studio in a notebook: ``StudioWidget``; None without anywidget."""
    return None if import_fault("anywidget") else resolve(WIDGET)


def own_tab(desk: Desk) -> Tab:
    """The tab that is the core's own, Look; what it stands on is imported when it is asked."""
    page = files("featurekit.web.look") / "page"
    return late("look", "Look", page, LOOK, desk)


def workbench() -> Bench:
    """What needs torch, which takes seconds to import."""
    bench: Bench = imported(WORKBENCH, of="the studio")()
    return bench
