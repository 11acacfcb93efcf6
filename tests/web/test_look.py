"""The tab Look: its numbers are those of the library, and the lines that it copies give them."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from icc_profiles import p3_profile
from PIL import Image
from studio_desk import Bench, client, opened

import featurekit as fk
from featurekit.web.framing import MEDIA_TYPE, unpack
from featurekit.web.look import reading
from featurekit.web.look.tab import look_tab
from featurekit.web.workbench import Workbench

SIZE = (90, 72)
WORDS = "mid.attention0.block0.attn2.map"


@pytest.fixture(scope="module")
def backbone():
    return fk.load_backbone("embedded")


class Embedded(Bench):
    """The embedded model, loaded once for all tests."""

    found = None

    def load_backbone(self, name):
        return Embedded.found

    def sharing(self, backbone):
        return Workbench().sharing(backbone)


@pytest.fixture
def desk(tmp_path, backbone, monkeypatch):
    """A studio with two pictures, which lie in the working folder too."""
    monkeypatch.setattr(Embedded, "found", backbone)
    monkeypatch.chdir(tmp_path)
    tabs = {"look": look_tab}
    studio = opened(tmp_path / "desk", tabs, bench=Embedded, backbone="embedded")
    ids = {}
    for name, seed in (("other.png", 8), ("me.png", 3)):
        fk.scenes.scene(seed, "face").image(96).crop((0, 0, *SIZE)).save(name)
        ids[name] = studio.put_file(Path(name)).id
    with client(studio) as speak:
        yield speak, ids, studio


@pytest.fixture
def asked(desk):
    def ask(action, **values):
        answer = desk[0].post(f"/act/look/{action}", json=values)
        assert answer.status_code == 200, answer.text
        return unpack(answer.content, MEDIA_TYPE)

    return ask


def numbers(found, name):
    grid = found.values[name]
    return np.frombuffer(found.parts[name], np.float32).reshape(grid["rows"], grid["columns"])


def ran(found, backbone):
    """What the copied lines leave behind; the model is the one that is loaded already."""
    lines = found.values["python"]
    assert len(lines.splitlines()) < 20
    names = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fk, "load_backbone", lambda name: backbone if name == "embedded" else None)
        exec(compile(lines, "copied", "exec"), names)
    return names


@pytest.mark.parametrize("side", [64, 256])
def test_the_lines_of_a_match_give_the_numbers_that_are_shown(desk, asked, backbone, side):
    found = asked("match", x=41.5, y=30, other=desk[1]["other.png"], tap="up2", side=side)
    names = ran(found, backbone)
    shown = numbers(found, "here")
    assert np.array_equal(names["heat"].tensor[0, 0].detach().numpy(), shown)
    theirs = numbers(found, "there")
    assert np.array_equal(names["other_heat"].tensor[0, 0].detach().numpy(), theirs)
    match, scale = found.values["match"], min(side / SIZE[0], 1)
    assert [match["x"] * scale, match["y"] * scale] == pytest.approx(names["match"].xy.tolist())
    assert match["score"] == pytest.approx(names["match"].score)
    assert found.values["here"]["cell_px"] == pytest.approx(4 / scale)


@pytest.mark.parametrize("side", [64, 256])
def test_the_lines_hold_for_a_profile_transparency_and_a_turn(desk, asked, backbone, side):
    _, ids, studio = desk
    turned = Image.Exif()
    turned[274] = 6  # Orientation: a quarter turn
    for name, mode in (("p3.png", "RGB"), ("through.png", "RGBA")):
        with Image.open("me.png") as plain:
            changed = plain.convert(mode)
        if mode == "RGBA":
            changed.putalpha(plain.convert("L"))
        changed.save(name, icc_profile=p3_profile(), exif=turned)
        ids[name] = studio.put_file(Path(name)).id
    found = asked("match", x=30, y=41.5, id=ids["p3.png"], other=ids["through.png"], tap="up2",
                  side=side)  # fmt: skip
    names = ran(found, backbone)
    for name, part in (("heat", "here"), ("other_heat", "there")):
        shown = numbers(found, part)
        assert np.array_equal(names[name].tensor[0, 0].detach().numpy(), shown)
    plain = asked("match", x=30, y=41.5, id=ids["me.png"], tap="up2", side=side)
    assert not np.array_equal(numbers(plain, "here"), numbers(found, "here"))


def test_a_match_lies_where_the_feature_is(desk, asked):
    found = asked("match", x=41.5, y=30, tap="up2", side=256)
    heat, cell = numbers(found, "here"), found.values["here"]["cell_px"]
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert (column + 0.5) * cell == pytest.approx(41.5, abs=cell)
    assert (row + 0.5) * cell == pytest.approx(30, abs=cell)
    assert "match" not in found.values


def test_the_lines_of_colours_give_the_picture_that_is_shown(asked, backbone):
    found = asked("colours", tap="up1", timestep=261, side=64)
    shown = Image.open(BytesIO(found.parts["picture"]))
    assert np.array_equal(np.asarray(shown), np.asarray(ran(found, backbone)["colours"]))


def test_the_lines_of_a_word_give_the_numbers_that_are_shown(asked, backbone):
    tap = "up2.attention1.block0.attn2.map"
    found = asked("words", prompt='a "sad" face', words="face", tap=tap, timestep=501, side=64)
    heat = ran(found, backbone)["heat"]
    assert np.array_equal(heat.numpy(), numbers(found, "here"))
    assert heat.std() > 0


def test_a_picture_is_read_once_for_each_tap_timestep_and_size(desk, asked, monkeypatch):
    calls = []
    plain = reading.extract
    monkeypatch.setattr(reading, "extract", lambda *a, **b: calls.append(b) or plain(*a, **b))
    other = desk[1]["other.png"]
    for x in range(1, 40, 4):
        asked("match", x=x, y=9, tap="up2", side=64, other=other)
    asked("colours", tap="up2", side=64)
    assert len(calls) == 2
    asked("match", x=1, y=1, tap="up2", side=64, timestep=261)
    asked("match", x=1, y=1, tap="up1", side=64)
    assert len(calls) == 4


def test_what_is_read_stays_within_its_budget(desk, asked, monkeypatch):
    monkeypatch.setattr(reading, "KEPT_BYTES", 300_000)
    kept = reading.Readings(lambda: Embedded.found)
    shelf = desk[2].shelf
    for timestep in range(1, 30):
        kept.features(shelf.get(), reading.Where("up2", timestep, 64))
        assert kept.held_bytes <= 300_000
    assert kept.held_bytes > 100_000


def test_what_can_be_chosen_is_what_the_model_has(desk, backbone):
    setup = desk[0].post("/act/look/setup").json()
    assert (setup["tap"], setup["timesteps"], setup["side"]) == ("up2", 1000, 64)
    assert setup["sides"][0] == 64
    assert set(setup["blocks"]) <= {one["name"] for one in setup["taps"]}
    assert {one["name"] for one in setup["taps"]} <= set(backbone.activations)
    assert setup["word"] in {one["name"] for one in setup["words"]}


def test_a_tap_of_every_role_that_is_offered_can_be_looked_at(desk, asked):
    offered = desk[0].post("/act/look/setup").json()["taps"]
    for tap in {one["role"]: one for one in offered}.values():
        asked("match", x=9, y=9, tap=tap["name"], side=64)


@pytest.mark.parametrize(("action", "values", "sentence"), [
    ("match", {"tap": "up9", "x": 1, "y": 1}, "no "),
    ("match", {"tap": "up2"}, "x must be given, got nothing"),
    ("match", {"tap": "up2", "x": 1, "y": 1, "timestep": 5000}, "t must lie in [0, 999]"),
    ("match", {"tap": "up2", "x": 1, "y": 1, "other": "none"}, "no picture named 'none'"),
    ("match", {"tap": "up2", "x": 1, "y": 1, "side": 9}, "side must be a number from 32 to 2048"),
    ("words", {"tap": "up2", "prompt": "a", "words": "a"}, "tap must be an attention to words"),
    ("words", {"tap": "up2", "prompt": " ", "words": "a"}, "words must be some of a prompt"),
    ("words", {"tap": WORDS, "prompt": "a face", "words": "dog"}, "dog"),
    ("colours", {"tap": WORDS}, ""),
])  # fmt: skip
def test_what_cannot_be_looked_at_is_a_sentence(desk, action, values, sentence):
    answer = desk[0].post(f"/act/look/{action}", json=values)
    assert answer.status_code in (404, 422)
    assert sentence in answer.json()["error"]


def test_points_beyond_the_picture_are_its_edge(asked):
    inside = asked("match", x=SIZE[0], y=SIZE[1], tap="up2", side=64)
    beyond = asked("match", x=1e6, y=1e6, tap="up2", side=64)
    assert np.array_equal(numbers(inside, "here"), numbers(beyond, "here"))


def test_each_tab_has_modules_of_its_own_with_the_same_weights(backbone):
    own = Workbench().sharing(backbone)
    assert own.denoiser is not backbone.denoiser
    weights = dict(backbone.denoiser.named_parameters())
    assert all(one is weights[name] for name, one in own.denoiser.named_parameters())
    image = torch.zeros(1, 3, 64, 64)
    seen = []
    hook = own.denoiser.register_forward_hook(lambda *given: seen.append(given))
    fk.extract(backbone, image, taps="up1", timesteps=101)
    hook.remove()
    assert not seen
    one, other = (fk.extract(b, image, taps="up1", timesteps=101)[0] for b in (backbone, own))
    assert torch.equal(one.tensor, other.tensor)
