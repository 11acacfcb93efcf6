"""The tables of docs/results.md are those of the records beside them, and no others stand there."""

import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
try:
    import evidence
    import evidence_pictures as pictures
    import evidence_tables as tables
finally:
    sys.path.pop(0)

PAGE = tables.PAGE.read_text("utf-8")
RECORDS = tables.read_records()


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_a_table_is_that_of_its_record(name):
    assert dict(tables.tables_in(PAGE))[name] == tables.table(RECORDS[name])


def test_every_table_of_the_page_has_a_record():
    left = re.sub(r"<!-- table:.*?<!-- end -->", "", PAGE, flags=re.DOTALL)
    assert not re.findall(r"^\|.*", left, flags=re.MULTILINE)
    assert sorted(name for name, _ in tables.tables_in(PAGE)) == sorted(RECORDS)


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_a_record_says_where_its_figures_come_from(name):
    record = RECORDS[name]
    if record["origin"].startswith(tables.TRANSCRIBED):
        assert record["layout"] == "cells"
    else:
        assert record["origin"].startswith("measured")
        assert {"command", "settings", "versions"} <= {
            key for key, value in record.items() if value
        }


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_a_record_names_no_place_of_the_machine_that_made_it(name):
    text = (tables.EVIDENCE / f"{name}.json").read_text("utf-8")
    assert not re.search(r'"(/|~|[A-Z]:\\)', text)


def test_writing_a_record_again_changes_no_byte(tmp_path):
    for name, record in RECORDS.items():
        tables.write_record(record, tmp_path / "again.json")
        written = (tmp_path / "again.json").read_text("utf-8")
        assert written == (tables.EVIDENCE / f"{name}.json").read_text("utf-8"), name


def test_a_changed_figure_reaches_the_page():
    record = {"layout": "cells", "columns": ["a", {"title": "b", "format": ".2f"}],
              "rows": [["x", 1.234], [None, 5]]}  # fmt: skip
    page = "text\n<!-- table:t -->\n| old |\n<!-- end -->\nmore\n"
    new = tables.rendered(page, {"t": record})
    assert new == (
        "text\n<!-- table:t -->\n| a | b |\n|---|---|\n| x | 1.23 |\n| | 5.00 |\n"
        "<!-- end -->\nmore\n"
    )
    assert tables.rendered(new, {"t": record}) == new
    (text,) = [text for _, text in tables.tables_in(new)]
    assert tables.table(tables.transcribed(text)) == text


@pytest.mark.parametrize("records", [{}, {"t": {}, "u": {}}, {"u": {}}])
def test_a_table_without_a_record_and_a_record_without_a_table_are_refused(records):
    with pytest.raises(ValueError, match="every record must have a table and every table a record"):
        tables.rendered("<!-- table:t -->\n| a |\n<!-- end -->\n", records)


def test_a_table_without_an_end_is_refused():
    page = "<!-- table:t -->\n| a |\n<!-- table:u -->\n| b |\n<!-- end -->\n"
    with pytest.raises(ValueError, match="table 't' must end with <!-- end -->"):
        tables.tables_in(page)


def test_the_sketch_table_is_made_of_a_run(tmp_path):
    row = dict.fromkeys(("ssim", "f1", "f1_exact", "pearson", "ink", "grey", "ink_true"), 0.25)
    kinds = {"face": row, "vehicle": {**row, "f1": 0.5}, "flowers": {**row, "f1": 1.0}}
    held_out = {style: {"sketch": kinds, "tuned edges": kinds, "XDoG": kinds}
                for style in ("brush", "inline")}  # fmt: skip
    run = {"status": "done", "config": {"plugin": {"tests": 16}}, "seed": 0, "versions": {},
           "weights": {}, "metrics": {"held_out": held_out}}  # fmt: skip
    (tmp_path / "run.json").write_text(json.dumps(run))
    lines = tables.table(evidence.of_run("sketch-scenes", tmp_path)).splitlines()
    assert [line.split(" | ")[1] for line in lines[2:]] == [
        *("**ours**", "tuned edge map", "XDoG", "**ours**", "tuned edge map"),
    ]
    assert lines[2].startswith("| brush (true ink 0.250, 0.250) | **ours** | 0.25 | 0.250 |")
    assert lines[2].split(" | ")[9] == "0.750"  # mean of the kinds that are not drawn
    kinds_line = tables.table(evidence.of_run("sketch-kinds", tmp_path)).splitlines()[2]
    assert kinds_line == "| brush | 0.25 / 0.25 | 0.50 / 0.50 | 1.00 / 1.00 |"


def test_a_run_that_is_not_done_is_not_recorded(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"status": "failed"}))
    with pytest.raises(SystemExit, match="must be of a finished run"):
        evidence.of_run("sketch-scenes", tmp_path)


def test_a_record_that_nothing_makes_is_refused():
    with pytest.raises(SystemExit, match="no command makes 'threads'; known: store-recipes"):
        evidence.make("threads")


def test_of_every_picture_that_a_page_shows_it_is_said_what_draws_it():
    said = [*pictures.DRAWN, *pictures.REDUCED, *pictures.BY_HAND]
    assert len(said) == len(set(said))
    shown = pictures.shown()
    assert "drag_first.png" in shown
    assert shown - set(said) == set()
    assert set(said) - shown <= {"drag_photographs.jpg"}  # of a page that links to it


@pytest.mark.parametrize("name", sorted({*pictures.DRAWN, *pictures.REDUCED, *pictures.BY_HAND}))
def test_a_picture_of_the_list_is_there(name):
    assert (pictures.PICTURES / name).is_file()
    script = pictures.DRAWN.get(name, "Makefile").partition(" ")[0]
    assert (ROOT / script).is_file()


def test_a_picture_by_hand_and_one_of_a_run_that_is_not_there_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match=r"nothing draws 'studio_look\.jpg'"):
        pictures.draw("studio_look.jpg")
    with pytest.raises(SystemExit, match=r"needs that run; make evidence RUN=sketch-scenes first"):
        pictures.draw("sketch_first.jpg")


def test_a_table_that_nothing_makes_is_said_to_be_transcribed():
    lines = evidence.listed_tables().splitlines()
    assert len(lines) == len(RECORDS)
    assert all("transcribed" in line for line in lines if line.endswith("nothing makes it"))
