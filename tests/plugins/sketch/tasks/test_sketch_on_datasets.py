"""``task=evaluate plugin.dataset=``: rows, sheet, resuming, what is left out, what is refused."""

import gc
import weakref

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from sketch_data import (
    drawing,
    photo,
    write_bsds500,
    write_fs2k,
    write_own,
    write_photographs,
)

import featurekit as fk
from featurekit import backbones
from featurekit.cli.router import main
from featurekit.core.errors import BackboneError, ConfigError, FeatureKitError, PluginError
from featurekit.core.json_files import read_json
from featurekit.measures.perceptual import alexnet
from featurekit_sketch.datasets.items import Item
from featurekit_sketch.datasets.layouts import open_dataset
from featurekit_sketch.metrics.controls import EdgeTuning, blank
from featurekit_sketch.metrics.figures import FIGURES
from featurekit_sketch.metrics.several import against, mean_of, people
from featurekit_sketch.tasks import evaluate_dataset

CONTROLS = ["blank paper", "all black", "tuned edges", "XDoG"]


def run(data, out, *words, **more):
    given = ["plugin=sketch", "task=evaluate", f"plugin.dataset={data}", f"out={out}", *words]
    return fk.run(fk.compose(given), **more)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_bsds500(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def style(tmp_path_factory):
    """A style that was learnt from one picture, badly."""
    folder = tmp_path_factory.mktemp("style")
    words = [
        f"image={photo(folder / 'p.png', 3)}",
        f"plugin.drawing={drawing(folder / 'd.png', 3)}",
    ]
    few = ["plugin.samples=2", "plugin.iterations=2", "plugin.views=1"]
    fk.run(fk.compose(["plugin=sketch", *words, *few, f"out={folder / 'out'}"]))
    return folder / "out" / "style.safetensors"


@pytest.fixture(scope="module")
def measured(data, style, tmp_path_factory):
    out = tmp_path_factory.mktemp("measured")
    return out, run(data, out, f"plugin.style={style}")


class Pale:
    """A drawer that draws how light a picture is, and counts."""

    told, part_px = "not read", 64

    def __init__(self, ends_at=None):
        self.calls, self.ends_at = 0, ends_at

    def __call__(self, image):
        self.calls += 1
        if self.calls == self.ends_at:
            raise KeyboardInterrupt
        return (image[:, :1] + 1) / 2


@pytest.fixture
def pale(monkeypatch):
    """Put a drawer of the test's in place of the style's."""

    def put(**more):
        drawer = Pale(**more)
        monkeypatch.setattr(evaluate_dataset, "drawer_of", lambda *_: drawer)
        return drawer

    return put


def test_every_row_is_in_one_table(measured):
    out, record = measured
    found = record["metrics"]
    assert (found["dataset"], found["resized"], found["skipped"]) == ("BSDS500", 0, 0)
    table = found["styles"]["boundaries"]
    assert (table["pictures"], table["people"]) == (4, 5)
    assert list(table["rows"]) == ["sketch", *CONTROLS, "people"]
    for row in table["rows"].values():
        assert set(row) == {"mean", "best"}
        assert set(row["mean"]) == set(row["best"]) == set(FIGURES)
    assert read_json(out / "table.json") == {**found, "skipped": []}
    page = (out / "table.md").read_text()
    assert all(f"\n| {row} | " in page for row in table["rows"])
    assert record["stop"] == "4 of 4 pictures are measured"
    assert record["schedule"].startswith("DDIM, ")
    assert "BSDS500: all 4 pictures, at their own size" in record["notes"]


def test_the_figures_are_those_of_each_picture(measured, data):
    _, record = measured
    table = record["metrics"]["styles"]["boundaries"]["rows"]
    pairs = [item.read() for item in open_dataset(data).items]
    tuning = EdgeTuning()
    for pair in pairs:
        tuning.add(pair.image, pair.drawings["boundaries"])
    assert record["metrics"]["edges"]["boundaries"]["strength"] == tuning.best.strength
    for row, draw in {"blank paper": blank, "tuned edges": tuning.best}.items():
        each = [against(draw(pair.image), pair.drawings["boundaries"]) for pair in pairs]
        for part, figures in mean_of(each).items():
            assert table[row][part] == pytest.approx(figures)
    own = mean_of([people(pair.drawings["boundaries"]) for pair in pairs])
    assert table["people"]["best"] == pytest.approx(own["best"])


def test_the_sheet_has_the_first_pictures(measured):
    out, record = measured
    with Image.open(out / record["outputs"]["sheet"]) as sheet:
        assert sheet.width > 5 * 32
    assert len(list((out / "drawn").glob("sketch-*.png"))) == 4


def test_the_same_command_again_draws_nothing(measured, data, style, pale):
    out, record = measured
    drawer = pale()
    again = run(data, out, f"plugin.style={style}")
    assert drawer.calls == 0
    assert again["metrics"] == record["metrics"]


def test_an_interrupted_run_goes_on_with_the_next_picture(data, style, tmp_path, pale):
    pale(ends_at=3)
    words = [f"plugin.style={style}"]
    with pytest.raises(KeyboardInterrupt, match=r"run the same command with out=.* to go on"):
        run(data, tmp_path / "a", *words)
    rest, whole = pale(), None
    found = run(data, tmp_path / "a", *words)
    assert rest.calls == 2
    whole = pale()
    assert run(data, tmp_path / "b", *words)["metrics"] == found["metrics"]
    assert whole.calls == 4  # each picture once, the sheet's too


def test_one_picture_at_a_time_is_held(data, tmp_path, monkeypatch):
    read, alive, most = Item.read, weakref.WeakSet(), []

    def counted(item):
        pair = read(item)
        alive.add(pair)
        gc.collect()
        most.append(len(alive))
        return pair

    monkeypatch.setattr(Item, "read", counted)
    run(data, tmp_path)
    assert len(most) == 8  # to tune the edges on, and to measure
    assert max(most) <= 2  # the last one, until the next is there


def test_a_limit_takes_the_first_and_says_so(data, tmp_path):
    record = run(data, tmp_path, "plugin.tests=3")
    assert record["metrics"]["styles"]["boundaries"]["pictures"] == 3
    assert record["stop"] == "3 of 4 pictures are measured"
    assert (
        "BSDS500: the first 3 of 4 pictures, at their own size; plugin.tests=4 takes all"
        in record["notes"]
    )


def test_without_a_style_the_controls_are_measured(data, tmp_path):
    record = run(data, tmp_path)
    assert list(record["metrics"]["styles"]["boundaries"]["rows"]) == [*CONTROLS, "people"]
    assert any("the controls alone are measured" in note for note in record["notes"])


def test_each_style_has_its_table(tmp_path):
    record = run(write_fs2k(tmp_path / "data"), tmp_path / "out")
    tables = record["metrics"]["styles"]
    assert {style: table["pictures"] for style, table in tables.items()} == {
        "style 1": 2,
        "style 3": 1,
    }
    assert set(record["metrics"]["edges"]) == set(tables)
    assert all(list(table["rows"]) == CONTROLS for table in tables.values())


def test_photographs_have_a_table_for_each_rule(tmp_path):
    write_photographs(tmp_path / "data")
    record = run(tmp_path / "data", tmp_path / "out", "plugin.edge_model=sketch_data:greys")
    tables = record["metrics"]["styles"]
    assert list(tables) == ["XDoG", "edge model"]
    assert list(tables["XDoG"]["rows"]) == CONTROLS[:3]
    assert list(tables["edge model"]["rows"]) == CONTROLS
    assert any("rules draw the truth" in note for note in record["notes"])


def test_what_cannot_be_used_is_left_out_named_and_makes_the_exit_code_3(tmp_path, capfd):
    root = write_own(tmp_path / "data", 3, ("a",))
    (root / "pictures/p0.jpg").write_bytes(b"broken")
    drawing(root / "drawings/a/p1.png", 1, size=(64, 64))
    photo(root / "pictures/alone.jpg", 7)
    words = ["run", "plugin=sketch", "task=evaluate", f"plugin.dataset={root}"]
    assert main([*words, f"out={tmp_path / 'out'}"]) == 3
    found = read_json(tmp_path / "out" / "run.json")
    assert found["stop"] == "2 of 3 pictures are measured"
    assert found["metrics"]["resized"] == 1
    assert "drawings that were resized to their pictures: 1\nleft out: 2\n" in found["summary"]
    lacking, broken = found["skipped"]
    assert lacking == "alone: there is no drawing of it in drawings/a"
    assert broken.startswith("p0: image must be a picture")
    assert read_json(tmp_path / "out" / "table.json")["skipped"] == found["skipped"]
    assert "p0: image must be a picture" in capfd.readouterr().out


def test_lpips_is_measured_where_its_weights_are_given(data, tmp_path):
    drawn = torch.Generator().manual_seed(1)
    weights = {
        f"features.{name}": torch.randn(weight.shape, generator=drawn) / 20
        for name, weight in alexnet.empty().state_dict().items()
    }
    for i, width in enumerate(alexnet.WIDTHS):
        weights[f"lin{i}.model.1.weight"] = torch.rand(1, width, 1, 1, generator=drawn)
    save_file(weights, tmp_path / "lpips.safetensors")
    words = ["plugin.tests=1", f"plugin.lpips={tmp_path / 'lpips.safetensors'}"]
    record = run(data, tmp_path / "out", *words)
    rows = record["metrics"]["styles"]["boundaries"]["rows"]
    assert all(row["mean"]["lpips"] > 0 for row in rows.values())
    assert not any("LPIPS is left out" in note for note in record["notes"])


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        (["image=p.png"], ConfigError, "leave out image, or plugin.dataset"),
        (["plugin.style=none.safetensors"], ConfigError, "plugin.style must be a file, got 'none"),
        (["plugin.edge_model=sketch_data:greys"], ConfigError, "BSDS500 have them; leave it out"),
        (
            ["plugin.edge_model=nowhere:at_all"],
            PluginError,
            "plugin.edge_model 'nowhere:at_all'",
        ),
        (["plugin.edge_model=greys"], PluginError, "plugin.edge_model must be 'module:callable'"),
        (["plugin.lpips=none"], BackboneError, "the weights of LPIPS must be in one"),
        (
            ["plugin.drawing_style=inline"],
            ConfigError,
            "plugin.drawing_style must be left",
        ),
        (["task=train"], ConfigError, "plugin.dataset must be left as it is"),
        (["plugin.dataset=nowhere"], ConfigError, "a folder that can be read, 'nowhere' is not"),
        (
            ["plugin.dataset=null", "plugin.edge_model=a:b"],
            ConfigError,
            "plugin.edge_model must be left as it is",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_the_weights(
    data, tmp_path, monkeypatch, words, kind, said
):
    monkeypatch.setattr(backbones, "load", lambda *_, **__: pytest.fail("a model was loaded"))
    with pytest.raises(kind, match=said):
        run(data, tmp_path, *words)


def test_a_set_of_which_no_picture_can_be_measured_is_an_error(tmp_path, style, pale, monkeypatch):
    root = write_own(tmp_path / "data", 1, ("a",))
    monkeypatch.setattr(Pale, "__call__", lambda *_: torch.full((1, 1, 32, 32), 2.0))
    pale()
    with pytest.raises(FeatureKitError, match="measured, got none; p0: drawn ink must lie in"):
        run(root, tmp_path / "out", f"plugin.style={style}")
    (root / "pictures/p0.jpg").write_bytes(b"x")
    with pytest.raises(ConfigError, match="can be measured, got none; p0: image must be"):
        run(root, tmp_path / "out")
