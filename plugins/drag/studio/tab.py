"""The tab Drag, as the page shows it before torch is imported; ``whole.py`` is what it does."""

from importlib.resources import files

from featurekit.web.desk import Desk
from featurekit.web.late import late
from featurekit.web.tab import Tab

WHOLE = "featurekit_drag.studio.whole:whole_tab"


def make_tab(desk: Desk) -> Tab:
    """Make the tab; what it stands on is imported when it is first asked."""
    page = files("featurekit_drag") / "studio" / "page"
    return late("drag", "Drag", page, WHOLE, desk)
