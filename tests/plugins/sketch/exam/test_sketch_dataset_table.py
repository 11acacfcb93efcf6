"""The table of a data set: means by hand, and what is shown of them."""

import pytest

from featurekit_sketch.exam.dataset_table import Table, as_markdown, summary_lines


def row(f1, best=None):
    figures = {"ssim": 2 * f1 - 1, "f1": f1, "ink": f1 / 10, "ink_true": 0.08}
    return {"mean": figures, "best": figures | {"f1": f1 if best is None else best}}


def filled():
    table = Table()
    table.add({"a": 5}, {"sketch": {"a": row(0.5, 0.75)}, "people": {"a": row(0.25)}})
    table.add({"a": 4}, {"sketch": {"a": row(1.0)}, "people": {"a": row(0.75)}})
    table.add({"a": 1, "b": 1}, {"sketch": {"a": row(0.0), "b": row(0.125)}})
    return table.means()


def test_every_picture_counts_alike_in_the_styles_it_has():
    found = filled()
    assert list(found) == ["a", "b"]
    assert (found["a"]["pictures"], found["a"]["people"]) == (3, pytest.approx(10 / 3))
    assert found["a"]["rows"]["sketch"]["mean"]["f1"] == 0.5
    assert found["a"]["rows"]["sketch"]["best"]["f1"] == pytest.approx(1.75 / 3)
    assert "pictures" not in found["a"]["rows"]["sketch"]
    assert (found["b"]["pictures"], found["b"]["people"]) == (1, 1)
    assert found["b"]["rows"]["sketch"] == row(0.125)


def test_a_row_of_fewer_pictures_says_of_how_many():
    people = filled()["a"]["rows"]["people"]
    assert people["pictures"] == 2
    assert people["mean"]["f1"] == 0.5


def test_the_page_has_a_table_for_each_style_and_the_best_of_several():
    first, second = as_markdown(filled()).split("\n\n**b**")
    assert first.splitlines() == [
        "**a**: 3 pictures, 3.33 drawings of each",
        "",
        "| row | ssim | f1 | ink | ink_true | best f1 |",
        "|---|---|---|---|---|---|",
        "| sketch | 0.000 | 0.500 | 0.050 | 0.080 | 0.583 |",
        "| people (2 pictures) | 0.000 | 0.500 | 0.050 | 0.080 | 0.500 |",
    ]
    assert second.splitlines()[:3] == [
        ": 1 pictures, 1 drawings of each",
        "",
        *["| row | ssim | f1 | ink | ink_true |"],
    ]


def test_the_terminal_is_told_a_line_for_each_row():
    assert summary_lines(filled())[:2] == [
        "a: 3 pictures, 3.33 drawings of each, true ink 8.0%",
        "  sketch: SSIM 0.000, F1 0.500, ink 5.0%",
    ]


def test_nothing_gives_no_table():
    assert Table().means() == {}
