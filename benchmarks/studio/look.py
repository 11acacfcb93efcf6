"""The tab Look in a real session, as the documents show it: a point in one face, found in another.

python -m benchmarks.studio.look docs/pictures/studio_look.jpg    # needs chromium and playwright
"""

from collections.abc import Sequence

from playwright.sync_api import Page

import featurekit as fk
from benchmarks.studio.session import in_browser, where_to
from benchmarks.studio.sketch import SIZE, put, taken

FACES = {"first.png": 3, "second.png": 11}
FACE_PX = 512
PANE = "#pane-look"
UNDER_AN_EYE = "176", "233"  # px of the first face


def main(words: Sequence[str] | None = None) -> None:
    """Put two faces on the desk, set the point, and take the page's picture.

    Args:
        words: of the command line; None takes them from ``sys.argv``.
    """
    to = where_to(__doc__, words)
    with in_browser() as (browser, address, _):
        page = browser.new_page(viewport=SIZE)
        page.goto(address)
        page.wait_for_selector("body[data-ready]")
        page.wait_for_selector("[role=tab]:has-text('Drag')", timeout=120_000)  # the last of them
        matched(page)
        taken(page, to)
    print(f"{to}: {to.stat().st_size / 1000:.0f} kB")


def matched(page: Page) -> None:
    """Look for a place of the first face in the second."""
    for button, (name, seed) in zip(("#choose", "#open"), reversed(FACES.items()), strict=True):
        put(page, button, name, fk.scenes.scene(seed, "face").image(FACE_PX))
    page.get_by_role("tab", name="Look").click()
    page.wait_for_selector("text=Timestep", timeout=120_000)
    (other,) = [name for name in FACES if name != "first.png"]
    page.get_by_role("button", name=f"Second picture: {other}").click()
    page.wait_for_selector(f"{PANE} .stage.two")
    page.locator(f"{PANE} .view").first.click()
    page.wait_for_selector(f"{PANE} .points input")
    for number, px in enumerate(UNDER_AN_EYE):
        field = page.locator(f"{PANE} .points input").nth(number)
        field.fill(px)
        with page.expect_response("**/act/look/match"):
            field.press("Tab")
    page.mouse.move(1, 1)
    page.wait_for_timeout(9000)  # both are read and drawn, and the line below is said no more


if __name__ == "__main__":
    main()
