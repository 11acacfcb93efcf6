"""A run replaces what runs wrote and nothing else."""

import pytest
import specimen

from featurekit.core.errors import ConfigError
from featurekit.pipeline.config import compose
from featurekit.pipeline.registry import load_plugin
from featurekit.pipeline.run import run


@pytest.fixture
def blur(third_party, tmp_path):
    """Run the specimen plugin, which says what it writes."""
    named = 'writes={{"smear": ("smear*.png", "{{image}}.jpg")}}, presets='
    third_party(spec=specimen.SPEC.replace("presets=", named))

    def ran(*words):
        return run(compose(["plugin=blur", "backbone=random", f"out={tmp_path}/out", *words]))

    return ran


@pytest.mark.parametrize("name", ["smear.png", "smear_2.png"])
def test_a_file_with_the_name_of_a_result_is_refused_where_no_run_was(blur, tmp_path, name):
    (tmp_path / "out").mkdir()
    own = tmp_path / "out" / name
    own.write_bytes(b"mine")
    with pytest.raises(ConfigError, match=rf"but '.*{name}' exists and there is no run\.json of"):
        blur()
    with pytest.raises(ConfigError, match="choose another out, or move the file"):
        blur()  # the refusal leaves nothing that makes it a folder of a run
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]
    assert own.read_bytes() == b"mine"


def test_names_after_pictures_are_known_of_a_file_and_of_a_folder(blur, tmp_path):
    photos = tmp_path / "photos"
    for folder in (photos, tmp_path / "out"):
        folder.mkdir()
    (photos / "me[1].png").write_bytes(b"")
    (tmp_path / "out" / "me[1].jpg").write_bytes(b"mine")
    for image in (photos, photos / "me[1].png"):
        with pytest.raises(ConfigError, match=r"but '.*me\[1\]\.jpg' exists"):
            blur(f"image='{image}'")


def test_other_files_stay_and_an_earlier_run_is_replaced(blur, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.png").write_bytes(b"mine")
    assert blur()["status"] == "done"
    (tmp_path / "out" / "smear.png").write_bytes(b"of a run")
    assert blur()["status"] == "done"
    assert (tmp_path / "out" / "smear.png").read_bytes() != b"of a run"
    assert (tmp_path / "out" / "notes.png").read_bytes() == b"mine"


def test_bundled_plugins_say_what_each_task_writes():
    for name in ("drag", "sketch"):
        plugin = load_plugin(name)
        assert set(plugin.writes) == set(plugin.tasks)


def test_a_drag_writes_what_it_says(tmp_path):
    words = ["plugin=drag", f"out={tmp_path}", "plugin.candidates=2", "cache=none"]
    record = run(compose(words))
    made = {path.name for path in tmp_path.iterdir()} - {"run.json"}
    told = load_plugin("drag").writes["edit"]
    assert made == {path.name for name in told for path in tmp_path.glob(name)}
    assert made == set(record["outputs"].values())
