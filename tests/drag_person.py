"""Somebody at the page of the tab Drag, for tests in a browser."""

from itertools import pairwise

from studio_desk import until

DRAG = "document.querySelector('#pane-drag').drag"


class Person:
    """Somebody at the page."""

    def __init__(self, page):
        self.page = page

    def knows(self, what):
        return self.page.evaluate(f"(() => {{ const drag = {DRAG}; return {what}; }})()")

    def waits(self, what):
        until(lambda: self.knows(f"Boolean({what})"))

    def at(self, x, y):
        """A place of the picture on the screen; x and y are shares."""
        place = self.knows(f"drag.view.toScreen({x} * drag.view.width, {y} * drag.view.height)")
        box = self.page.locator("#pane-drag .view").bounding_box()
        return place[0] + box["x"], place[1] + box["y"]

    def pulls(self, *places, drop=True):
        self.page.mouse.move(*self.at(*places[0]))
        self.page.mouse.down()
        for (x, y), (u, v) in pairwise(places):
            for k in range(1, 6):
                self.page.mouse.move(*self.at(x + (u - x) * k / 5, y + (v - y) * k / 5))
        if drop:
            self.page.mouse.up()

    def shows(self):
        """A number of what the picture's view shows."""
        return self.page.evaluate(
            """(() => { const canvas = document.querySelector("#pane-drag .view canvas");
            const { width, height } = canvas, context = canvas.getContext("2d");
            const { data } = context.getImageData(0, 0, width, height);
            let sum = 0; for (let i = 0; i < data.length; i += 41) sum = (sum * 31 + data[i]) % 1e9;
            return sum; })()"""
        )

    def points(self):
        """The numbers in the list of points, by label."""
        return self.page.evaluate(
            """Object.fromEntries([...document.querySelectorAll(".drag-asking li")].map((row) =>
            [row.querySelector(".label").textContent,
            [...row.querySelectorAll("input")].map((input) => +input.value)]))"""
        )


def brushed(person, x, y, u, v):
    person.page.keyboard.press("b")
    person.page.locator(".drag-asking input[type=range]").fill("14")
    person.pulls((x, y), (u, v))
    person.page.keyboard.press("v")
