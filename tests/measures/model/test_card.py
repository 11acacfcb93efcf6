"""The card: every number from the record, nothing without one, and no half-written files."""

import json

import pytest
from PIL import Image

from featurekit.core.errors import ConfigError, OutputError
from featurekit.measures.model import card
from featurekit.measures.model.card_requirements import BY_KIND, ROWS, Row, kinds, of_kind

NUMBER = 0.5123


def put(figures, path, value):
    for key in path[:-1]:
        figures = figures.setdefault(key, {})
    figures[path[-1]] = value


@pytest.fixture
def record():
    figures = {}
    for row in ROWS:
        put(figures, row.path, NUMBER)
    for path, _ in BY_KIND.values():
        for kind in kinds():
            put(figures, of_kind(path, kind), NUMBER)
    found = figures["correspondence"]
    found["within"] = 0.1
    for name in ("network", "random", "pixels"):
        found["best"][name]["choice"] = f"{name} choice"
    found["network"] = {"up2 t=51": {"face+landscape": 0.91, "trained": 0.8, "held_out": 0.7}}
    history = [{"samples": 10.0, "loss": 2.0, "seconds": 1.0}, {"samples": 20.0, "loss": 1.0}]
    stage = {"samples": 12345, "seconds": 7200, "started": "random weights", "history": history}
    return {"recipe": {"size": 64}, "stages": {"unet": stage}, "figures": figures}


def write(record, folder, pictures=None):
    return card.write_card(
        record,
        {"sheet": Image.new("RGB", (8, 8))} if pictures is None else pictures,
        docs=folder / "docs",
        training=folder / "weights" / "training.json",
    )


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_page_its_pictures_and_the_record_are_written(record, tmp_path):
    text = write(record, tmp_path).read_text()
    assert files(tmp_path) == [
        "docs/embedded-model.md",
        "docs/pictures/embedded/sheet.png",
        "docs/pictures/embedded/training_unet.png",
        "weights/training.json",
    ]
    assert "(pictures/embedded/sheet.png)" in text
    assert "(pictures/embedded/training_unet.png)" in text
    assert json.loads((tmp_path / "weights" / "training.json").read_text()) == record


def test_the_page_shows_each_number_with_its_unit_and_what_was_asked(record, tmp_path):
    put(record["figures"], ("reconstruction", "trained", "psnr"), 36.25)
    put(record["figures"], ("size", "diffusion_mb"), 25.5)
    text = write(record, tmp_path).read_text()
    assert "| autoencoder, PSNR | trained | 36.2 dB | >= 35.0 dB | >= 38.0 dB | met |" in text
    assert "| size of the diffusion model |  | 25.5 MB | <= 25.0 MB |  | **missed** |" in text
    assert "| network, up2 t=51 | 91.0% | 80.0% | 70.0% |" in text
    assert "| unet | 12,345 | 2.0 | random weights |" in text


@pytest.mark.parametrize("row", ROWS, ids=lambda row: ".".join(row.path))
def test_a_record_without_a_number_of_the_table_makes_no_card(record, tmp_path, row):
    put(record["figures"], row.path, None)
    with pytest.raises(ConfigError, match="every number of its table") as raised:
        write(record, tmp_path)
    assert ".".join(row.path) in str(raised.value)
    assert files(tmp_path) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "0.9", True])
def test_what_is_no_finite_number_is_missing(record, tmp_path, value):
    put(record["figures"], ("clip", "retrieval"), value)
    with pytest.raises(ConfigError, match=r"got none for clip\.retrieval"):
        write(record, tmp_path)


def test_a_kind_that_was_not_measured_makes_no_card(record, tmp_path):
    kind = kinds()[-1]
    del record["figures"]["inversion"]["kinds"][kind]
    with pytest.raises(ConfigError, match=rf"inversion\.kinds\.{kind}\.psnr"):
        write(record, tmp_path)


@pytest.mark.parametrize("part", ["recipe", "stages", "figures"])
def test_a_record_without_a_part_is_refused(record, tmp_path, part):
    del record[part]
    with pytest.raises(ConfigError, match=f"must have {part}"):
        write(record, tmp_path)
    assert files(tmp_path) == []


def test_a_stage_that_does_not_tell_its_start_is_refused(record, tmp_path):
    del record["stages"]["unet"]["started"]
    with pytest.raises(ConfigError, match="got no started"):
        write(record, tmp_path)
    assert files(tmp_path) == []


def test_a_card_that_cannot_be_finished_leaves_the_old_page(record, tmp_path):
    before = write(record, tmp_path).read_text()
    put(record["figures"], ("clip", "retrieval"), 0.99)
    record["figures"]["strange"] = object()
    with pytest.raises(OutputError, match="strange"):
        write(record, tmp_path)
    assert (tmp_path / "docs" / card.PAGE).read_text() == before
    assert not [name for name in files(tmp_path) if name.endswith(".part")]


@pytest.mark.parametrize(
    ("row", "value", "verdict"),
    [
        (Row("a", "", ("a",), "{}", 0.9, 0.95), 0.96, "aim"),
        (Row("a", "", ("a",), "{}", 0.9, 0.95), 0.95, "aim"),
        (Row("a", "", ("a",), "{}", 0.9, 0.95), 0.9, "met"),
        (Row("a", "", ("a",), "{}", 0.9, 0.95), 0.89, "**missed**"),
        (Row("a", "", ("a",), "{}", 25, most=True), 25, "met"),
        (Row("a", "", ("a",), "{}", 25, most=True), 25.1, "**missed**"),
        (Row("a", "", ("a",), "{}"), 0.0, ""),
    ],
)
def test_a_verdict_says_how_far_a_number_reaches(row, value, verdict):
    assert row.verdict(value) == verdict


def test_a_curve_has_a_panel_for_each_figure(record):
    history = record["stages"]["unet"]["history"]
    one = card.curves(history, title="unet")
    two = card.curves([{**r, "psnr": 30.0} for r in history], title="unet")
    assert two.width == 2 * one.width


def test_a_folder_is_as_large_as_all_its_files(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"x" * 1_500_000)
    (tmp_path / "c").write_bytes(b"x" * 500_000)
    assert card.folder_mb(tmp_path) == 2.0


@pytest.mark.parametrize("width", [300, 3000])
def test_a_picture_of_the_page_is_no_wider_than_is_read_and_has_few_colours(width):
    noisy = Image.effect_noise((width, width // 3), 80).convert("RGB")
    found = card.light(noisy)
    assert found.size == (min(width, card.WIDEST_PX), round(min(width, card.WIDEST_PX) / 3))
    assert len(found.convert("RGB").getcolors(1 << 20)) <= card.COLOURS
