"""What tests of the tab Sketch share: a studio with the embedded model, a face, small runs."""

import atexit
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path
from shutil import copytree, rmtree
from tempfile import mkdtemp

import pytest
from drag_sessions import backbone
from studio_desk import Bench, opened
from two_scale_runs import drawn

from featurekit.core.file_bytes import read_metadata
from featurekit.images.io import image_to_pil, read_tensors
from featurekit.web.asked import Asked
from featurekit.web.jobs import Job, Working
from featurekit.web.pictures import encode
from featurekit.web.workbench import Workbench
from featurekit_sketch.distillation import filtering
from featurekit_sketch.studio import learning, runs
from featurekit_sketch.studio.pairs import ink_image
from featurekit_sketch.studio.tab import make_tab
from featurekit_sketch.training import style_training

SIDE = 64
SMALL = {"samples": 2, "steps": 16, "views": 2, "side_px": SIDE, "iterations": 8}


class Embedded(Bench):
    """The embedded model, loaded once for all tests."""

    def load_backbone(self, name):
        return backbone()

    def sharing(self, backbone):
        return backbone

    def shown(self, image):
        return Workbench().shown(image)


def desk_of(folder, picture=True):
    """A studio with the tab, and a face on the desk."""
    studio = opened(folder, {"sketch": make_tab}, bench=Embedded, backbone="embedded")
    assert not studio.faults
    if picture:
        studio.put_picture(face(), "face.png", select=True)
    return studio


def face(seed=1, side=SIDE):
    """A face as a file."""
    return png(drawn(seed, side=side).image)


def drawing(seed=1, side=SIDE, style="brush"):
    """Its drawing as a file."""
    return png(ink_image(drawn(seed, side=side, style=style).ink))


def png(image):
    """A picture (1 3 h w) as a file."""
    return encode(image_to_pil(image))[0]


def jpeg(image, **how):
    """The same, with losses."""
    file = BytesIO()
    image_to_pil(image).save(file, "JPEG", **how)
    return file.getvalue()


@contextmanager
def small_runs(**settings):
    """Trainings are a matter of seconds in the block."""

    def small(task, desk):
        cfg = runs.settings_for(task, desk)
        for name, value in {**SMALL, **settings}.items():
            cfg.plugin[name] = value
        return cfg

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learning, "settings_for", small)
        patch.setattr(filtering.Rule, "fault", lambda self, ink: "")  # these styles draw in grey
        patch.setattr(style_training, "world_captions", lambda: ("a face", "two blue houses"))
        yield


def act(studio, action, values=None, **parts):
    """What an action answers; the values of one with bytes are beside its parts."""
    found = studio.act("sketch", action, Asked(values or {}, parts))
    return found if isinstance(found, dict) else {**found.values, "parts": found.parts}


def does(studio, job, values=None, *, stop_at=None):
    """Do a job here and now; it is told to stop when it has told an iteration of that number."""
    told, shown = [], {}
    state = Job("job", "sketch", job)

    def tell(kind, event):
        told.append((kind, event))
        learns = kind == "job" and event["job"]["stage"].startswith("learning")
        if stop_at and learns and event["job"]["done"] >= stop_at:
            state.stop.set()

    def show(image):
        shown[f"/blob/{len(shown)}"] = image
        return f"/blob/{len(shown) - 1}"

    found = studio.placed["sketch"].tab.jobs[job](Asked(values or {}), Working(state, tell, show))
    return found, told, shown


def numbers(told):
    """What a job told of its iterations."""
    values = [event["values"] for kind, event in told if kind == "told"]
    return [one for one in values if "iteration" in one]


def names(told):
    """Names of the pictures that a job showed, in order."""
    values = [event["values"] for kind, event in told if kind == "told"]
    return [one["name"] for one in values if "name" in one]


def blob(studio, address):
    """Bytes at an address."""
    return studio.blobs.get(address.rpartition("/")[2]).content


def weights_of(path):
    """All of a file of weights, whatever the order of its record."""
    return read_metadata(path), {name: one.tolist() for name, one in read_tensors(path).items()}


def shelf_of(studio):
    """The tab's shelf of styles, which its actions hold."""
    return studio.placed["sketch"].tab.jobs["learn"].__self__._shelf


def style_of(studio, key):
    """A style as the page is told of it."""
    (found,) = [one for one in act(studio, "told")["styles"] if one["id"] == key]
    return found


def listening(studio):
    """Words that the tab's page is told from now on."""
    heard, publish = [], studio.hub.publish

    def hear(kind, values):
        heard.append(values.get("name"))
        publish(kind, values)

    studio.hub.publish = hear
    return heard


@cache
def learnt_once():
    """A desk's folder with a style and its student; its id, what was told, shown and heard."""
    folder = Path(mkdtemp())
    atexit.register(rmtree, folder, ignore_errors=True)
    studio = desk_of(folder / "desk")
    pair = act(studio, "check", {"name": "mine.png"}, drawing=drawing())["pair"]
    with small_runs():
        asked = {"pair": pair["key"], "title": "Mine", "prompt": "a face", "seed": 2}
        heard = listening(studio)
        result, told, shown = does(studio, "learn", asked)
        does(studio, "distil", {"style": result["style"], "count": 3, "iterations": 3})
    studio.close()
    return folder / "desk", result["style"], told, shown, heard


def learnt_desk(folder):
    """A studio in which a style was learnt, and the style's id."""
    kept, style, *_ = learnt_once()
    copytree(kept, folder)
    return desk_of(folder, picture=False), style
