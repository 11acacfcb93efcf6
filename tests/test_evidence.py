"""The tables of the pages are those of the records beside them; a command makes each of them."""

import json
import re
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
try:
    from benchmarks import evidence
    from benchmarks.records import commands, layouts, pictures, recording, tables
finally:
    sys.path.pop(0)

DOCS = ROOT / "docs"
PAGES = tables.pages()
MEASURED = ("results.md", "analyses.md")  # pages that have no figure but of records
RECORDS = tables.read_records()
TABLES = {name: text for page in PAGES.values() for name, text in tables.tables_in(page)}
A_FIGURE = r"(?<![\w.])\d*\.\d+(?!\w)|\d ?%"


@pytest.mark.parametrize("name", sorted({**RECORDS, **layouts.AGAIN}))
def test_a_table_is_that_of_its_record(name):
    assert TABLES[name] == layouts.table(name, RECORDS)


def test_every_table_has_a_record_and_every_record_a_table():
    tables.checked(PAGES.values(), RECORDS)


@pytest.mark.parametrize("page", MEASURED)
def test_a_page_of_figures_has_no_other_table(page):
    left = re.sub(r"<!-- table:.*?<!-- end -->", "", PAGES[DOCS / page], flags=re.DOTALL)
    assert not re.findall(r"^\|.*", left, flags=re.MULTILINE)


@pytest.mark.parametrize("page", MEASURED)
def test_in_the_text_of_a_page_of_figures_none_is_typed_by_hand(page):
    marks = r"<!-- table:.*?<!-- end -->|```.*?```|`[^`\n]*`|\]\([^)]*\)"
    text = re.sub(marks, "", PAGES[DOCS / page], flags=re.DOTALL)
    names = r"\b(FLUX|Diffusion) ?\.?1(\.5)?|95 % (bootstrap|of the fall)"
    assert not re.findall(A_FIGURE, re.sub(names, "", text))
    assert re.findall(A_FIGURE, "a face at .74, 3.5 s, 95% of them") == [".74", "3.5", "5%"]


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_a_record_says_what_made_it_and_what_makes_it_again(name):
    record = RECORDS[name]
    assert record["origin"].startswith("measured")
    assert {"command", "settings", "versions"} <= {key for key, value in record.items() if value}
    again = commands.RECORDS[name].replace("--record {record}", "")
    said = record["command"].removeprefix("python ")
    given, places = commands.GIVEN, "{out}"
    assert shlex.split(given.sub("IT", said)) == shlex.split(
        given.sub("IT", again.replace(places, "IT"))
    )


SCRIPTS = sorted((ROOT / "benchmarks").rglob("[!_]*.py"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_script_names_itself_in_its_usage_and_in_the_record_that_it_writes(path):
    own = ".".join(path.relative_to(ROOT / "benchmarks").with_suffix("").parts)
    said = r'python -m benchmarks\.([\w.]*\w)|\btyped\("(.+?)"|^OWN = "(.+?)"'
    found = re.findall(said, path.read_text("utf-8"), flags=re.MULTILINE)
    assert {"".join(one) for one in found} <= {own}


def test_a_command_is_recorded_as_typed_without_places_of_this_machine():
    words = ["--counts", "10", "--record", "one.json", "~/pictures", "a b"]
    assert recording.typed("store.speed", words) == (
        "python -m benchmarks.store.speed --counts 10 FOLDER 'a b'"
    )


@pytest.mark.parametrize("command", sorted({*commands.RECORDS.values()}))
def test_a_command_of_the_list_can_be_run(command):
    by, script, *rest = shlex.split(command)
    assert by == "-m"
    assert find_spec(script)
    assert ("{record}" in rest) != any("{out}" in word for word in rest)


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


@pytest.mark.parametrize("records", [{}, {"t": {}, "u": {}}, {"u": {}}])
def test_a_table_without_a_record_and_a_record_without_a_table_are_refused(records):
    with pytest.raises(ValueError, match="every record must have a table and every table a record"):
        tables.checked(["<!-- table:t -->\n| a |\n<!-- end -->\n", "no table"], records)


def test_a_table_that_lays_out_anothers_record_must_stand_too():
    mark, end, scenes = "<!-- table:{} -->\n", "<!-- end -->\n", {"sketch-scenes": {}}
    pages = [mark.format("sketch-scenes") + end, mark.format("sketch-kinds") + end]
    tables.checked(pages, scenes)
    for few in (pages[:1], [*pages, pages[1]]):
        with pytest.raises(ValueError, match=r"but not: (sketch-kinds|one that stands twice)"):
            tables.checked(few, scenes)


def test_a_table_that_stands_on_two_pages_is_refused():
    page = "<!-- table:t -->\n| a |\n<!-- end -->\n"
    with pytest.raises(ValueError, match="but not: one that stands twice"):
        tables.checked([page, page], {"t": {}})


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
    records = {"sketch-scenes": evidence.of_run("sketch-scenes", tmp_path)}
    lines = layouts.table("sketch-scenes", records).splitlines()
    assert [line.split(" | ")[1] for line in lines[2:]] == [
        *("**ours**", "tuned edge map", "XDoG", "**ours**", "tuned edge map"),
    ]
    assert lines[2].startswith("| brush (true ink 0.250, 0.250) | **ours** | 0.25 | 0.250 |")
    assert lines[2].split(" | ")[9] == "0.750"  # mean of the kinds that are not drawn
    kinds_line = layouts.table("sketch-kinds", records).splitlines()[2]
    assert kinds_line == "| brush | 0.25 / 0.25 | 0.50 / 0.50 | 1.00 / 1.00 |"


def swept(folder, f1):
    """Write a finished run for each ablation."""
    names = sorted(path.stem for path in evidence.ABLATIONS.glob("*.yaml"))
    for number, name in enumerate(names):
        row = {"ssim": 0.5, "f1": f1.get(name, 0.25), "ink": 0.06, "ink_true": 0.05}
        kinds = {"face": row, "vehicle": {**row, "f1": 0.5}, "flowers": {**row, "f1": 1.0}}
        edges = {kind: {**one, "f1": 0.125} for kind, one in kinds.items()}
        run = {"status": "done", "config": {"plugin": {"ablation": name}}, "seed": 0,
               "versions": {}, "weights": {},
               "metrics": {"held_out": {"brush": {"sketch": kinds, "edges": edges}}}}  # fmt: skip
        (folder / f"{number}_sketch").mkdir(parents=True)
        (folder / f"{number}_sketch" / "run.json").write_text(json.dumps(run))
    return names


def test_the_table_of_ablations_is_made_of_a_sweep_each_by_its_name(tmp_path):
    names = swept(tmp_path / "sweep", {"whole": 0.75, "no_vae": 0.625})
    record = evidence.of_runs("sketch-ablations", tmp_path / "sweep")
    assert record["settings"] == {"ablation": "whole"}
    rows = [line.split(" | ") for line in layouts.sketch_ablations(record).splitlines()[2:]]
    assert [row[0] for row in rows] == ["| `whole`", *(f"| `{name}`" for name in names[:-1]),
                                        "| edges at their best"]  # fmt: skip
    assert rows[0][1:] == ["0.500", "0.750", "1.20", "0.500", "0.750", "1.20 |"]
    assert {row[0]: row[2] for row in rows}["| `no_vae`"] == "0.625"
    assert rows[-1][2] == "0.125"


def test_a_sweep_that_lacks_a_run_is_not_recorded(tmp_path):
    names = swept(tmp_path, {})
    (tmp_path / f"{len(names) - 1}_sketch" / "run.json").unlink()
    with pytest.raises(SystemExit, match="must be of all ablations, 9, got 8 runs"):
        evidence.of_runs("sketch-ablations", tmp_path)


def test_a_run_that_is_not_done_is_not_recorded(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"status": "failed"}))
    with pytest.raises(SystemExit, match="must be of a finished run"):
        evidence.of_run("sketch-scenes", tmp_path)


def test_a_record_that_nothing_makes_is_refused():
    with pytest.raises(SystemExit, match="no command makes 'patience'; known: drag-scenes"):
        evidence.make("patience", {})


def test_what_is_not_ours_must_be_given(capfd):
    asked = "'peers' needs what you must have yourself; give it: --given GOODDRAG=PATH DIFT=PATH"
    with pytest.raises(SystemExit, match=asked):
        evidence.make("peers", {"DRAGDIFFUSION": "anywhere"})


def test_a_command_is_given_its_places(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(commands, "FOLDERS", tmp_path)
    (tmp_path / "before").mkdir()
    (tmp_path / "before" / "run.json").touch()
    words = "-c 'import sys; print(sys.argv[1:])' {record} {out} {before} PHOTO"
    commands.ran("one", words, {"PHOTO": "my photo.png"}, tmp_path / "one.json")
    asked = [*map(str, (tmp_path / "one.json", tmp_path / "one", tmp_path / "before"))]
    assert capfd.readouterr().out.splitlines()[-1] == str([*asked, "my photo.png"])
    with pytest.raises(SystemExit, match="what makes 'one' must succeed, but it ended with 3"):
        commands.ran("one", "-c 'raise SystemExit(3)'", {})


def test_of_every_picture_that_a_page_shows_it_is_said_what_draws_it():
    said = [*commands.PICTURES, *pictures.REDUCED]
    assert len(said) == len(set(said))
    shown = pictures.shown()
    assert "drag_first.png" in shown
    assert shown - set(said) == set()
    assert set(said) - shown <= {"drag_photographs.jpg"}  # of a page that links to it


@pytest.mark.parametrize("name", sorted({*commands.PICTURES, *pictures.REDUCED}))
def test_a_picture_of_the_list_is_there_and_can_be_drawn(name):
    assert (pictures.FOLDER / name).is_file()
    by, script, *_ = commands.PICTURES.get(name, "-m featurekit").split()
    assert by == "-m"
    assert find_spec(script)


def test_a_picture_that_nothing_draws_and_one_of_a_run_that_is_not_there_are_refused(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(commands, "FOLDERS", tmp_path)
    with pytest.raises(SystemExit, match=r"nothing draws 'mine\.jpg'"):
        pictures.draw("mine.jpg", {})
    with pytest.raises(SystemExit, match=r"the run sketch-scenes; make evidence RUN=sketch-scenes"):
        pictures.draw("sketch_first.jpg", {})


def test_the_list_names_a_command_for_each():
    lines = evidence.listed_tables().splitlines()
    assert len(lines) == len(RECORDS) + len(layouts.AGAIN)
    assert all("; python " in line for line in lines)
