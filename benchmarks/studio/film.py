"""A film of a session of the studio, as the README shows it: a drag, its edit, the comparison.

python -m benchmarks.studio.film docs/pictures/studio.gif    # needs chromium and playwright

Serves a studio with the embedded model and drives its page: nothing in it is drawn by hand, only
the pointer, which a browser without a screen has none of. The seconds of the edit are cut short.
"""

from collections.abc import Iterator, Sequence
from io import BytesIO

from PIL import Image, ImageDraw
from playwright.sync_api import Page

from benchmarks.studio.preview import at, opened, until
from benchmarks.studio.session import in_browser, where_to
from featurekit.core.atomic import replacing

SIZE = 1100, 760  # px of the page
COLOURS = 224  # of a frame
MOVE_MS, WORK_MS, REST_MS = 70, 160, 1600
PULL = 110, 16  # px of the screen that the target is pulled, and frames that it takes
Frame = tuple[Image.Image, int]  # and how long it stands, ms


def main(words: Sequence[str] | None = None) -> None:
    """Film it.

    Args:
        words: of the command line; None takes them from ``sys.argv``.
    """
    to = where_to(__doc__, words)
    with in_browser() as (browser, address, _):
        page = opened(browser, address)
        page.set_viewport_size({"width": SIZE[0], "height": SIZE[1]})
        page.wait_for_timeout(500)
        frames = [*pulled(page), *edited(page), *compared(page)]
    pictures = [picture.quantize(COLOURS) for picture, _ in frames]
    with replacing(to) as temporary:
        pictures[0].save(
            temporary, "GIF", save_all=True, append_images=pictures[1:], loop=0,
            duration=[length for _, length in frames],
        )  # fmt: skip
    print(f"{to}: {len(frames)} frames, {to.stat().st_size / 1e6:.1f} MB")


def pulled(page: Page) -> Iterator[Frame]:
    """Pull the target of the bundled scene's drag on; the preview follows."""
    x, y = at(page, "drag.doc.drags[0].u", "drag.doc.drags[0].v")
    yield shot(page, (x, y)), REST_MS // 2
    page.mouse.move(x, y)
    page.mouse.down()
    by, count = PULL
    for number in [*range(1, count), *range(count, -1, -1)]:
        here = x + by * number / count, y - by * number / count / 8
        page.mouse.move(*here)
        page.wait_for_timeout(30)
        yield shot(page, here), MOVE_MS
    page.mouse.up()
    until(page, "drag.preview.exact")
    yield shot(page, (x, y)), REST_MS // 2


def edited(page: Page) -> Iterator[Frame]:
    """Apply, and show what the page shows until the result is there."""
    button = page.locator("#pane-drag").get_by_role("button", name="Apply")
    button.click()
    last = b""
    for _ in range(600):
        page.wait_for_timeout(100)
        now = page.screenshot()
        if now != last:
            last = now
            yield Image.open(BytesIO(now)).convert("RGB"), WORK_MS
        if page.get_by_role("button", name="Compare").is_visible():
            break
    page.wait_for_timeout(400)
    yield shot(page), REST_MS


def compared(page: Page) -> Iterator[Frame]:
    """Before and after, side by side."""
    page.get_by_role("button", name="Compare").click()
    page.wait_for_timeout(400)
    yield shot(page), REST_MS


def shot(page: Page, pointer: tuple[float, float] | None = None) -> Image.Image:
    """The page as it is, with a pointer."""
    picture = Image.open(BytesIO(page.screenshot())).convert("RGB")
    if pointer is not None:
        x, y = pointer
        arrow = [(x, y), (x, y + 17), (x + 4, y + 13), (x + 7, y + 19), (x + 10, y + 18)]
        arrow += [(x + 7, y + 12), (x + 12, y + 12)]
        ImageDraw.Draw(picture).polygon(arrow, fill="black", outline="white")
    return picture


if __name__ == "__main__":
    main()
