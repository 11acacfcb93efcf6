"""The tab Look."""

from importlib.resources import files

from featurekit.web.desk import Desk
from featurekit.web.tab import Tab


def look_tab(desk: Desk) -> Tab:
    """Make the tab."""
    return Tab("look", "Look", files("featurekit.web.look") / "page")
