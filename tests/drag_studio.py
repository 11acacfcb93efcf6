"""What tests of the tab Drag share: a studio with the embedded model and a small scene."""

from io import BytesIO

import numpy as np
from drag_sessions import backbone, subject
from studio_desk import Bench, opened

from featurekit.images.io import image_to_pil
from featurekit.web.asked import Asked
from featurekit.web.jobs import Job, Working
from featurekit.web.workbench import Workbench
from featurekit_drag.studio.tab import make_tab

SIZE, SCENE = 64, 1  # a sun


class Embedded(Bench):
    """The embedded model, loaded once for all tests."""

    def load_backbone(self, name):
        return backbone()

    def sharing(self, backbone):
        return backbone

    def shown(self, image):
        return Workbench().shown(image)


def desk_of(folder, picture=True):
    """A studio with the tab, and the scene on the desk."""
    studio = opened(folder, {"drag": make_tab}, bench=Embedded, backbone="embedded")
    assert not studio.faults
    if picture:
        studio.put_picture(png(), "scene.png", select=True)
    return studio


def png(size=SIZE):
    file = BytesIO()
    image_to_pil(subject(SCENE, size).image).save(file, "PNG")
    return file.getvalue()


def rows():
    """The scene's drag, as a person would pull it."""
    return [[round(value, 2) for value in row] for row in subject(SCENE, SIZE).points.rows]


def runs_of(mask):
    """Runs of a mask (h w) of 0 and 1: out, in, out, ..."""
    flat = np.asarray(mask).ravel() > 0
    ends = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1, [flat.size]])
    found = np.diff(ends)
    return (np.concatenate([[0], found]) if flat[0] else found).astype("<u4").tobytes()


def masked(studio):
    """Brush the scene's mask; its key."""
    values = {"height": SIZE, "width": SIZE}
    return act(studio, "mask", values, {"runs": runs_of(subject(SCENE, SIZE).mask[0, 0])})["mask"]


def act(studio, action, values=None, parts=None):
    """What an action answers; the values of one with bytes are beside its parts."""
    found = studio.act("drag", action, Asked(values or {}, parts or {}))
    return found if isinstance(found, dict) else {**found.values, "parts": found.parts}


def does(studio, job, values=None, *, stop_at=None):
    """Do a job here and now; at a stage of that name it is told to stop."""
    told = []
    state = Job("job", "drag", job)

    def tell(kind, event):
        told.append((kind, event))
        if stop_at and kind == "job" and event["job"]["stage"].startswith(stop_at):
            state.stop.set()

    work = Working(state, tell, lambda image: "/blob/shown")
    found = studio.placed["drag"].tab.jobs[job](Asked(values or {}), work)
    return found, told


def place_of(studio):
    """The tab's place, which its actions hold."""
    return studio.placed["drag"].tab.actions["told"].__self__._place


def closed(studio):
    """End a studio as its server would, with the session kept."""
    place_of(studio).close()
    studio.close()
