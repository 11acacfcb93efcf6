"""What is sketched already stays, where nothing that decides it has changed; pictures of packs."""

import tarfile
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import featurekit as fk
from featurekit.core.errors import ConfigError, ImageError
from featurekit.core.sharding import Share
from featurekit.measures.model.lines import gradient
from featurekit.pipeline import run as run_module
from featurekit.scenes import scene
from featurekit_sketch.sampling import cdst_sampler
from featurekit_sketch.tasks import extract, picture_shares, teaching
from featurekit_sketch.training.style_file import Style


class Edges:
    """A drawer that counts."""

    told, part_px, drawn = "by edges", 64, 0

    def parts(self, height, width):
        return 1

    def __call__(self, image, progress=None):
        Edges.drawn += 1
        slopes = gradient(image)
        return (slopes <= slopes.quantile(0.9)).float()


@pytest.fixture(autouse=True)
def edges(monkeypatch):
    Edges.drawn = 0
    for module in (extract, picture_shares):
        monkeypatch.setattr(module, "drawer_for", lambda *_: Edges())
    return Edges


@pytest.fixture
def desk(tmp_path):
    (tmp_path / "style.safetensors").write_bytes(b"a style")
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(5):
        scene(number, "face").image(48).save(photos / f"{number}.png")
    return tmp_path


def run(desk, *words, out="out", image="photos"):
    given = [f"plugin.style={desk / 'style.safetensors'}", f"image={desk / image}"]
    words = ["plugin=sketch", "backbone=random", "task=extract", *given, *words]
    return fk.run(fk.compose([*words, f"out={desk / out}"]))


def sketches(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


def test_the_same_command_sketches_only_what_is_missing(desk):
    run(desk)
    before = sketches(desk / "out")
    (desk / "out" / "3.png").unlink()
    assert Edges.drawn == 5
    record = run(desk)
    assert Edges.drawn == 6
    assert record["summary"] == "4 of them were there already"
    assert record["metrics"] == {"pictures": 5}
    assert sketches(desk / "out") == before


def test_pictures_that_the_embedded_model_does_not_know_are_counted(desk):
    for number in range(6):
        one = scene(number, "face" if number < 5 else "vehicle")
        one.image(64).save(desk / "photos" / f"{number}.png")
    for drawn in (6, 6):  # what is there already keeps its figure
        record = run(desk, "backbone=embedded")
        assert Edges.drawn == drawn
        assert record["metrics"] == {"pictures": 6, "unknown_pictures": 1}
        assert "does not know 1 of 6 pictures (it misses" in record["summary"]


def test_what_decides_a_sketch_has_changed_and_it_is_made_anew(desk):
    run(desk)
    scene(9, "face").image(48).save(desk / "photos" / "2.png")  # another picture of the same name
    run(desk)
    assert Edges.drawn == 6
    (desk / "style.safetensors").write_bytes(b"another style")
    run(desk)
    assert Edges.drawn == 11
    run(desk, "plugin.svg=true")
    assert Edges.drawn == 16
    assert len(list((desk / "out").glob("*.svg"))) == 5


def test_a_sketch_that_somebody_has_painted_over_is_no_sketch(desk):
    run(desk)
    Image.new("RGB", (48, 48)).save(desk / "out" / "1.png")
    (desk / "out" / "2.png").write_bytes(b"damaged")
    run(desk)
    assert Edges.drawn == 7


def test_pictures_of_a_tar_and_of_a_table_are_sketched_as_those_of_a_folder(desk):
    run(desk)
    files = sorted((desk / "photos").iterdir())
    with tarfile.open(desk / "photos.tar", "w") as tar:
        for path in files:
            tar.add(path, path.name)
    table = {"key": [path.name for path in files], "jpg": [path.read_bytes() for path in files]}
    pq.write_table(pa.table(table), desk / "photos.parquet")
    run(desk, image="photos.tar", out="of_tar")
    run(desk, "plugin.columns=[key,jpg]", image="photos.parquet", out="of_table")
    assert len(sketches(desk / "out")) == 6
    assert sketches(desk / "of_tar") == sketches(desk / "out")
    assert sketches(desk / "of_table") == sketches(desk / "out")


def test_a_file_that_a_table_names_is_not_replaced(desk):
    names = [f"{number}.png" for number in range(5)]
    table = {"id": names, "image": [f"photos/{name}" for name in names]}
    pq.write_table(pa.table(table), desk / "named.parquet")
    with pytest.raises(ConfigError, match="no result replaces what it is made of"):
        run(desk, image="named.parquet", out="photos")


def test_an_address_is_refused(desk):
    style = f"plugin.style={desk / 'style.safetensors'}"
    words = ["plugin=sketch", "task=extract", "image=https://a.b/c.png", style]
    with pytest.raises(ImageError, match="nothing is fetched over a network"):
        fk.run(fk.compose([*words, f"out={desk / 'out'}"]))


# an engine whose workers are this process


@pytest.fixture
def three_workers(monkeypatch):
    starts = []

    def place(work, progress):
        return [work(Share(i, 3), progress) for i in range(3)]

    @contextmanager
    def start():
        starts.append(place)
        yield place

    monkeypatch.setattr(run_module, "start_of", lambda engine, **_: start if engine else None)
    return starts


def test_workers_sketch_each_picture_once_and_tell_what_is_broken(desk, three_workers):
    (desk / "photos" / "broken.png").write_bytes(b"no picture")
    run(desk, out="one")
    assert Edges.drawn == 5
    record = run(desk, "engine=ray", out="three")
    assert Edges.drawn == 10
    assert [one.split(":")[0] for one in record["skipped"]] == ["broken.png"]
    assert record["schedule"] == "by edges"
    assert "there already" not in record["summary"]  # else one has done another's
    assert sketches(desk / "three") == sketches(desk / "one")


def test_workers_sample_the_model_s_own_pictures_as_one_process(desk, three_workers, monkeypatch):
    style = Style(state={}, backbone="random", weights="", timesteps=(1,), channels={},
                  sources=("unet",), image_size=(40, 40), features="noise", steps=20, seed=0,
                  prompt="a face", network="two_scales", side_px=40)  # fmt: skip
    monkeypatch.setattr(cdst_sampler, "TOGETHER", 1)
    monkeypatch.setattr(teaching, "load_style", lambda *_: style)
    monkeypatch.setattr(teaching, "drawer_of", lambda *_: Edges())
    words = ["plugin=sketch", "backbone=random", "task=distil", "plugin.student_iterations=1",
             "plugin.pairs=3", "plugin.pairs_of=sampled", "plugin.steps=16",
             f"plugin.style={desk / 'style.safetensors'}"]  # fmt: skip
    found = []
    for out, engine in (("one", ""), ("three", "ray")):
        fk.run(fk.compose([*words, f"out={desk / out}", f"engine={engine}"]))
        kept = [path for part in ("samples", "pairs") for path in (desk / out / part).iterdir()]
        found.append({path.name: path.read_bytes() for path in kept})
        found[-1]["student"] = (desk / out / "student.safetensors").read_bytes()
    assert len(three_workers) == 1  # for samples and pairs
    assert len(found[0]) == 5
    assert found[0] == found[1]
