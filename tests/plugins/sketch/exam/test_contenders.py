"""Who draws in which row, what is measured once and kept, and what voids it."""

import pytest
import torch

from featurekit.core.errors import ImageError
from featurekit_sketch.datasets.items import Pair
from featurekit_sketch.exam.contenders import Contender, Exam, Once, control_contenders
from featurekit_sketch.exam.kept_rows import KeptRows
from featurekit_sketch.metrics.controls import Edges
from featurekit_sketch.metrics.several import against, people

SIDE = 16


def sheet(*rows):
    ink = torch.ones(1, 1, SIDE, SIDE)
    for row in rows:
        ink[0, 0, row] = 0
    return ink


def pair(seed=0, **drawings):
    generator = torch.Generator().manual_seed(seed)
    image = 2 * torch.rand(1, 3, SIDE, SIDE, generator=generator) - 1
    return Pair(image, drawings or {"a": (sheet(5), sheet(6)), "XDoG": (sheet(3),)}, 0)


SHARED_OTHERWISE = pair(a=(sheet(5),), XDoG=(sheet(6), sheet(3)))  # the same sheets


class Drawn:
    """Draws the same sheet and counts how often it was asked."""

    def __init__(self, ink):
        self.ink, self.calls = ink, 0

    def __call__(self, image):
        assert not torch.is_grad_enabled()
        self.calls += 1
        return self.ink


def exam(path, *contenders, **more):
    return Exam(contenders, KeptRows(path / "rows.jsonl"), **more)


def test_each_row_has_its_figures_in_every_style_and_people_where_there_are_several(tmp_path):
    given = pair()
    rows = exam(tmp_path, Contender("sketch", Drawn(sheet(5)), "1")).rows("p", given)
    assert list(rows) == ["sketch", "people"]
    assert rows["sketch"] == {
        style: against(sheet(5), truths) for style, truths in given.drawings.items()
    }
    assert rows["people"] == {"a": people(given.drawings["a"])}


def test_controls_have_edges_of_each_style_and_xdog_not_against_itself(tmp_path):
    edges = {"a": Edges(0.1), "XDoG": Edges(0.2, 1.0)}
    given = pair()
    rows = exam(tmp_path, *control_contenders(edges, automatic=True)).rows("p", given)
    assert list(rows) == ["blank paper", "all black", "tuned edges", "XDoG", "people"]
    for style, best in edges.items():
        truths = given.drawings[style]
        assert rows["tuned edges"][style] == against(best(given.image), truths)
    assert list(rows["XDoG"]) == ["a"]
    by_people = exam(tmp_path, *control_contenders(edges, automatic=False)).rows("p", given)
    assert list(by_people["XDoG"]) == ["a", "XDoG"]


def test_what_is_measured_is_kept_and_found_again(tmp_path):
    draw = Drawn(sheet(5))
    first = exam(tmp_path, Contender("sketch", draw, "1")).rows("p", pair())
    again = exam(tmp_path, Contender("sketch", draw, "1")).rows("p", pair())
    assert draw.calls == 1
    assert again == first


@pytest.mark.parametrize(
    ("other", "given", "more"),
    [
        (Contender("sketch", Drawn(sheet(5)), "2"), pair(), {}),
        (Contender("student", Drawn(sheet(5)), "1"), pair(), {}),
        (Contender("sketch", Drawn(sheet(5)), "1"), pair(seed=1), {}),
        (
            Contender("sketch", Drawn(sheet(5)), "1"),
            pair(a=(sheet(5), sheet(7)), XDoG=(sheet(3),)),
            {},
        ),
        (Contender("sketch", Drawn(sheet(5)), "1"), pair(b=(sheet(5), sheet(6))), {}),
        (Contender("sketch", Drawn(sheet(5)), "1"), SHARED_OTHERWISE, {}),
        (Contender("sketch", Drawn(sheet(5)), "1"), pair(), {"lpips_identity": "other"}),
        (Contender("sketch", Drawn(sheet(5)), "1", never="XDoG"), pair(), {}),
    ],
)
def test_another_drawer_picture_drawing_or_measure_is_measured_anew(tmp_path, other, given, more):
    exam(tmp_path, Contender("sketch", Drawn(sheet(5)), "1")).rows("p", pair())
    exam(tmp_path, other, **more).rows("p", given)
    assert other.draw.calls == 1
    other.draw.calls = 0


def test_one_more_contender_leaves_the_others_kept(tmp_path):
    draw, student = Drawn(sheet(5)), Drawn(sheet(4))
    one = Contender("sketch", draw, "1")
    exam(tmp_path, one).rows("p", pair())
    rows = exam(tmp_path, one, Contender("student", student, "1")).rows("p", pair())
    assert (draw.calls, student.calls) == (1, 1)
    assert list(rows) == ["sketch", "student", "people"]


def test_colour_is_measured_as_grey(tmp_path):
    colour = torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1).expand(-1, -1, SIDE, SIDE)
    ink = Contender("sketch", Drawn(colour), "1").ink(pair().image)
    assert ink.shape == (1, 1, SIDE, SIDE)
    torch.testing.assert_close(ink, torch.full_like(ink, 0.5 * 0.587 + 0.114))


def test_a_drawer_that_draws_no_ink_is_refused_and_nothing_is_kept(tmp_path):
    bad = Contender("sketch", Drawn(sheet(5) * float("nan")), "1")
    with pytest.raises(ImageError, match="drawn ink must lie in"):
        exam(tmp_path, bad).rows("p", pair())
    assert not (tmp_path / "rows.jsonl").exists()


def test_a_picture_is_drawn_once_in_a_row():
    draw = Drawn(sheet(5))
    once, first, second = Once(draw), pair().image, pair(1).image
    with torch.no_grad():
        assert once(first) is once(first) is draw.ink
        assert draw.calls == 1
        once(second)
        once(first)
    assert draw.calls == 3
