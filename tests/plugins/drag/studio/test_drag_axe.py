"""The tab Drag for everybody: axe finds nothing serious, light or dark, whatever is on the desk."""

import pytest
from drag_person import Person, brushed
from drag_studio import act, desk_of, does, masked, rows
from studio_desk import NEEDS_AXE, serious, until

pytestmark = NEEDS_AXE
THEMES = ("light", "dark")


@pytest.fixture(scope="module")
def applied(tmp_path_factory):
    """A studio in which the scene was edited once, with a choice of another candidate after it."""
    made = desk_of(tmp_path_factory.mktemp("axe") / "desk")
    made.model.get()
    does(made, "apply", {"points": rows(), "mask": masked(made), "prompt": "a sun"})
    return made


@pytest.fixture
def fresh(tmp_path):
    made = desk_of(tmp_path / "desk", picture=True)
    made.model.get()
    return made


def seen_by(person, theme):
    person.page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
    return serious(person.page)


def at_desk(studio, serve, tab_of, **size):
    person = Person(tab_of(serve(studio)[0].address, **size))
    person.page.wait_for_selector("#pane-drag .drag-tools")
    person.waits("drag && drag.told")
    return person


def test_an_empty_desk(tmp_path, serve, tab_of):
    studio = desk_of(tmp_path / "desk", picture=False)
    person = Person(tab_of(serve(studio)[0].address))
    for theme in THEMES:
        assert not seen_by(person, theme)


def test_a_picture_then_points_a_mask_and_a_refusal(fresh, serve, tab_of):
    person = at_desk(fresh, serve, tab_of)
    for theme in THEMES:
        assert not seen_by(person, theme)
    brushed(person, 0.2, 0.2, 0.3, 0.2)
    person.pulls((0.8, 0.8), (0.7, 0.8))  # from outside of the mask
    person.page.keyboard.press("p")
    person.page.mouse.click(*person.at(0.5, 0.25))
    person.waits("drag.isRefused")
    for theme in THEMES:
        assert not seen_by(person, theme)
    person.page.keyboard.press("?")
    for theme in THEMES:
        assert not seen_by(person, theme)
    assert all("422" in line for line in tab_of.wrong)  # the browser's own lines
    tab_of.wrong.clear()


def test_a_result_and_the_way_to_the_next(applied, serve, tab_of):
    person = at_desk(applied, serve, tab_of)
    person.waits("drag.images.result")
    for theme in THEMES:
        assert not seen_by(person, theme)
    person.page.click("#drag-compare")
    until(lambda: person.knows("drag.isCompared"))
    for theme in THEMES:
        assert not seen_by(person, theme)


def test_an_edit_that_was_stopped(tmp_path, serve, tab_of):
    studio = desk_of(tmp_path / "desk")
    studio.model.get()
    with pytest.raises(KeyboardInterrupt):
        does(studio, "apply", {"points": rows(), "mask": masked(studio)}, stop_at="redraw")
    assert act(studio, "told")["going"]
    person = at_desk(studio, serve, tab_of, width=360)
    person.page.wait_for_selector("#drag-resume:not([hidden])")
    for theme in THEMES:
        assert not seen_by(person, theme)
