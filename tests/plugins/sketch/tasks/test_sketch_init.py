"""``task=init``: a picture at its full size, and a note whose command works."""

import re
import shlex

import pytest
from PIL import Image

import featurekit as fk
from featurekit.core.errors import ConfigError
from featurekit.scenes import scene


def run(*words):
    return fk.run(fk.compose(["plugin=sketch", "task=init", "backbone=random", *words]))


def test_the_users_picture_is_written_at_its_own_size_with_a_command_that_learns(tmp_path):
    scene(3, "face").image(96).crop((0, 0, 90, 70)).save(tmp_path / "me.png")
    out = tmp_path / "out"
    record = run(f"image={tmp_path / 'me.png'}", "prompt=a face, in oil", f"out={out}")
    with Image.open(out / "picture.png") as written:
        assert written.size == (90, 70)
    note = (out / "how_to_draw.txt").read_text()
    assert "90x70 px" in note
    assert "plugin.fit=true" in note
    command = re.search(r"featurekit run .*", note)[0]
    assert command in record["summary"]
    cfg = fk.compose(shlex.split(command)[2:])
    assert cfg.image == str(out / "picture.png")
    assert cfg.plugin.drawing == str(out / "drawing.png")
    assert cfg.prompt == "a face, in oil"


def test_without_a_picture_one_is_sampled_of_the_prompt_and_else_it_is_a_scene(tmp_path):
    words = ("plugin.steps=16", "plugin.scene=2")
    first = run("prompt=a house", "plugin.steps=16", f"out={tmp_path / 'a'}")
    again = run("prompt=a house", "plugin.steps=16", "seed=1", f"out={tmp_path / 'b'}")
    assert "sampled of 'a house' with seed 0" in first["metrics"]["origin"]
    pictures = [(tmp_path / one / "picture.png").read_bytes() for one in "ab"]
    assert pictures[0] != pictures[1]
    assert again["metrics"]["width"] == 64
    assert run(*words, f"out={tmp_path / 'c'}")["metrics"]["width"] == 128


def test_what_init_would_not_use_or_would_replace_is_refused(tmp_path):
    scene(3, "face").image(64).save(tmp_path / "picture.png")
    with pytest.raises(ConfigError, match="task=init does not use it"):
        run("plugin.drawing=x.png", f"out={tmp_path / 'out'}")
    with pytest.raises(ConfigError, match="choose another out"):
        run(f"image={tmp_path / 'picture.png'}", f"out={tmp_path}")
