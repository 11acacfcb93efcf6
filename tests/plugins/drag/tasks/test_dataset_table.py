"""Tables of a data set: MD over all drags, disc MD over samples, spreads over seeds, by hand."""

import pytest

from featurekit_drag.tasks.dataset_table import as_markdown, averages, tables


def row(everywhere, **more):
    plain = {
        "all": everywhere,
        "mask": everywhere,
        "discs": everywhere,
        "dai": {"1": 0.5},
        "dai_script": {"1": 0.25},
        "if": None,
        "if_outside": None,
        "mse_ratio": None,
        "lpips_truth": None,
    }
    return plain | more


def record(category, edit, noop=None):
    rows = {"edit": edit, "noop": noop or row([[float(len(edit["all"][0]))]])}
    return {"category": category, "lengths_px": [10.0] * len(edit["all"][0]), "rows": rows}


def test_md_is_over_all_drags_and_disc_md_over_samples():
    figures = averages([row([[1, 3, 5]]), row([[11]])])
    assert figures["md_px"] == figures["masked_md_px"] == 5
    assert figures["disc_md_x100"] == pytest.approx(100 * (3 + 11) / 2)
    assert figures["md_px_std"] is None


def test_the_spread_is_that_of_the_seeds():
    figures = averages([row([[1, 3], [2, 4], [3, 5]]), row([[5], [6], [7]])])
    assert figures["md_px"] == 4
    assert figures["md_px_std"] == pytest.approx(1)
    assert figures["disc_md_x100_std"] == pytest.approx(100)


def test_figures_that_samples_lack_are_means_of_those_that_have_them():
    rows = [row([[1]], **{"if": 0.8}), row([[2]], mask=None), row([[3]], **{"if": 0.6})]
    figures = averages(rows)
    assert figures["if"] == pytest.approx(0.7)
    assert figures["masked_md_px"] == 2
    assert figures["mse_ratio"] is None
    assert averages([row([[2]], mask=None)])["masked_md_px"] is None
    assert figures["dai"] == {"1": 0.5}
    assert figures["dai_script"] == {"1": 0.25}


def test_categories_have_tables_of_their_own():
    records = [record("b", row([[1, 3]])), record("a", row([[5]])), record("b", row([[8]]))]
    table = tables(records)
    assert (table["samples"], table["pairs"], table["mean_move_px"]) == (3, 4, 10)
    assert list(table["categories"]) == ["a", "b"]
    assert table["categories"]["b"]["pairs"] == 3
    assert table["categories"]["b"]["rows"]["edit"]["md_px"] == 4
    assert table["rows"]["edit"]["md_px"] == 17 / 4
    assert list(table["rows"]) == ["edit", "noop"]


def test_a_row_that_one_sample_alone_has_is_its_own():
    one, other = record("a", row([[4]])), record("b", row([[6]]))
    one["rows"]["truth"] = row([[1]])
    table = tables([one, other])
    assert table["rows"]["truth"]["md_px"] == 1
    assert "| b | 1 | 1 | 6.00 | 1.00 | - |" in as_markdown(table)


def test_the_page_has_a_line_for_each_row_and_each_category():
    records = [record("art", row([[1.0, 3.0], [2.0, 4.0]], **{"if": 0.87654}))]
    lines = as_markdown(tables(records)).splitlines()
    assert lines[0].startswith("| row | MD px | masked MD px | disc MD x100 | IF |")
    assert lines[2].startswith("| edit | 2.50 ± 0.71 | 2.50 ± 0.71 | 250.00 ± 70.71 | 0.8765 | - |")
    assert "| art | 1 | 2 | 2.50 ± 0.71 | 2.00 |" in lines
    assert lines[-1].startswith("| all | 1 | 2 |")
    assert len({line.count("|") for line in lines[:4]}) == 1
