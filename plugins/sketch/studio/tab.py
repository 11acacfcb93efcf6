"""The tab Sketch, as the page shows it before torch is imported; ``whole.py`` is what it does."""

from importlib.resources import files

from featurekit.web.desk import Desk
from featurekit.web.late import late
from featurekit.web.tab import Tab

WHOLE = "featurekit_sketch.studio.whole:whole_tab"


def make_tab(desk: Desk) -> Tab:
    """Make the tab; what it stands on is imported when it is first asked."""
    page = files("featurekit_sketch") / "studio" / "page"
    return late("sketch", "Sketch", page, WHOLE, desk)
