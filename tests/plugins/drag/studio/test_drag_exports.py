"""What a person takes along: picture, session, animation, and lines of Python that hold."""

import json
from io import BytesIO

import pytest
import torch
from drag_sessions import backbone
from drag_studio import SIZE, act, closed, desk_of, does, masked, place_of, png, rows
from icc_profiles import p3_profile
from PIL import Image

from featurekit.core.errors import ConfigError
from featurekit.images.io import image_to_pil
from featurekit_drag.session.session import Session


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    made = desk_of(tmp_path_factory.mktemp("exports") / "desk")
    (row,) = rows()
    pin = [row[0] - 4, row[1] + 9]
    does(made, "apply", {"points": [row], "pins": [pin], "mask": masked(made), "seed": 2})
    yield made
    closed(made)


def result(studio):
    return place_of(studio).open().session.result()


def blob(studio, kind):
    return studio.blobs.get(act(studio, "export", {"kind": kind})["address"].removeprefix("/blob/"))


def done(text):
    """What lines of Python give; the model is loaded once for all tests."""
    lines = text.replace('fk.load_backbone("embedded")', "model")
    found = {"model": backbone()}
    exec(compile(lines, "copied", "exec"), found)
    return found


def test_the_lines_give_the_edit_to_the_last_bit(studio):
    text = act(studio, "python")["text"]
    assert 'fk.load_backbone("embedded")' in text
    assert torch.equal(done(text)["edit"], result(studio))


def test_the_lines_give_another_candidate_that_was_chosen(studio):
    told = act(studio, "told")
    other = (told["edit"]["chosen"] + 1) % len(told["edit"]["candidates"])
    act(studio, "choose", {"candidate": other})
    text = act(studio, "python")["text"]
    assert f"session.choose({other})" in text
    assert torch.equal(done(text)["edit"], result(studio))
    act(studio, "go", {"step": told["now"]})


def test_the_lines_of_what_is_not_applied_yet_give_what_it_will_be(studio):
    act(studio, "go", {"step": 0})
    key = masked(studio)
    asked = {"regions": [{"mask": key, "dx": 3, "dy": 1.25}], "mode": "copy", "prompt": 'a "sun"'}
    text = act(studio, "python", asked)["text"]
    assert json.dumps('a "sun"') in text
    lines = done(text)
    does(studio, "apply", asked)
    assert torch.equal(lines["edit"], result(studio))


def test_the_lines_of_a_picture_open_it(tmp_path):
    other = desk_of(tmp_path / "desk")
    opened = done(act(other, "python")["text"])["session"]
    assert torch.equal(opened.result(), result(other))
    opened.close()
    for kind in ("animation", "record"):
        with pytest.raises(ConfigError, match="there must be an edit"):
            act(other, "export", {"kind": kind})
    closed(other)


def test_the_lines_hold_for_a_large_picture_with_a_profile(tmp_path):
    """Larger than it is worked on, of other colours, turned."""
    side, far = 320, 320 / SIZE
    file, turned = BytesIO(), Image.Exif()
    turned[274] = 6  # Orientation: a quarter turn
    with Image.open(BytesIO(png())) as scene:
        large = scene.resize((side, side), Image.Resampling.BICUBIC).rotate(90)
    large.save(file, "PNG", icc_profile=p3_profile(), exif=turned)
    other = desk_of(tmp_path / "desk", picture=False)
    other.put_picture(file.getvalue(), "large.png", select=True)
    asked = {"points": [[far * value for value in rows()[0]]], "mask": masked(other), "seed": 4}
    text = act(other, "python", asked)["text"]
    does(other, "apply", asked)
    assert act(other, "python")["text"] == text
    assert torch.equal(done(text)["edit"], result(other))
    assert result(other).shape[-2:] == (side, side)
    closed(other)


def test_the_picture_is_the_result(studio):
    found = blob(studio, "picture")
    assert found.name == "scene-dragged.png"
    with Image.open(BytesIO(found.content)) as picture:
        assert picture.tobytes() == image_to_pil(result(studio)).tobytes()


def test_the_session_is_loaded_by_the_library(studio, tmp_path):
    file = tmp_path / "me.safetensors"
    file.write_bytes(blob(studio, "session").content)
    with Session.load(file, backbone()) as again:
        assert torch.equal(again.result(), result(studio))
        assert len(again.history()[0]) == len(place_of(studio).open().session.history()[0])


def test_the_animation_moves(studio):
    with Image.open(BytesIO(blob(studio, "animation").content)) as picture:
        assert picture.format == "GIF"
        assert picture.n_frames > 4
        first = picture.convert("RGB").tobytes()
        picture.seek(picture.n_frames // 2)
        assert picture.convert("RGB").tobytes() != first
