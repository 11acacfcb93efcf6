"""What a session refuses, in one sentence, and stays usable."""

from dataclasses import replace

import pytest
import torch
from drag_sessions import FAST, OPTIMISED, backbone, opened, rows

from featurekit.core.errors import (
    ConfigError,
    ImageError,
    MaskError,
    NoiseLevelError,
    PointsError,
    ShapeError,
    UnknownNameError,
)
from featurekit_drag.engine.settings import PlanSettings, WarpSettings
from featurekit_drag.session.session import Session


@pytest.fixture
def session():
    with opened() as made:
        yield made


BAD = [
    ({"points": []}, PointsError, "at least one drag is needed"),
    ({"points": [[1, 2, 3]]}, PointsError, "row 1 has 3"),
    ({"points": [[10, 10, 32.5, 10]]}, PointsError, r"inside the image \(0 to 32, 0 to 32\)"),
    ({"points": [[15, 15, 20, 15], [15, 15, 10, 15]]}, PointsError, "two rows share one"),
    ({"points": [[15, 15, 20, 15]], "pins": [[-1, 0]]}, PointsError, "pins must lie inside"),
    ({"points": [[15, 15, 20, 15]], "mode": "mov"}, UnknownNameError, "did you mean move"),
    ({"points": [[1, 1, 5, 5]]}, MaskError, "every handle must lie inside the mask"),
    ({"points": [[5, 5, 7, 7]], "regions": [["m.png", 1, 0]]}, PointsError, "got both"),
]


@pytest.mark.parametrize(("asked", "kind", "sentence"), BAD)
def test_what_cannot_be_asked_for_is_one_sentence(session, asked, kind, sentence):
    for method in (session.preview, session.start):
        with pytest.raises(kind, match=sentence):
            method(**asked)
    session.start(rows())  # and the session is usable
    assert session.step()


def test_a_drag_that_is_refused_leaves_the_one_that_goes_on(session):
    session.start(rows())
    session.step()
    with pytest.raises(PointsError):
        session.start([])
    assert session.step()


@pytest.mark.parametrize(
    ("changed", "kind", "sentence"),
    [
        ({"mask": torch.zeros(1, 1, 32, 32)}, MaskError, "1 where the image may change"),
        ({"mask": torch.ones(1, 1, 16, 16)}, ShapeError, "mask"),
        ({"settings": WarpSettings(PlanSettings(taps=("up9",)))}, UnknownNameError, "up9"),
        ({"settings": WarpSettings(PlanSettings(mode="pull"))}, UnknownNameError, "pull"),
        ({"settings": replace(FAST, redraw=replace(FAST.redraw, strength=0.01))},
         NoiseLevelError, "0.01"),
    ],
)  # fmt: skip
def test_what_cannot_be_opened_is_one_sentence(changed, kind, sentence):
    with pytest.raises(kind, match=sentence):
        opened(**changed)


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        (torch.zeros(3, 64, 64), ShapeError),
        (torch.zeros(1, 3, 4, 64), ImageError),
        (torch.full((1, 3, 64, 64), 255.0), ImageError),
        (torch.full((1, 3, 64, 64), float("nan")), ImageError),
    ],
)
def test_a_picture_of_other_numbers_or_axes_is_refused(image, kind):
    with pytest.raises(kind):
        Session.open(backbone(), image, settings=FAST)


@pytest.mark.parametrize("what", ["step", "resume"])
def test_nothing_goes_on_before_it_was_started(session, what):
    with pytest.raises(ConfigError, match=f"must be started before {what}"):
        getattr(session, what)()


def test_what_only_a_warp_can_do_is_refused_of_other_methods():
    with opened(settings=OPTIMISED) as session, pytest.raises(ConfigError, match="WarpSettings"):
        session.start(rows(), mode="move")


def test_the_settings_of_a_backbone_are_those_of_the_command():
    with opened(settings=None) as session:
        found = session._desk.saved.settings
    assert (found.side_px, found.redraw.steps, found.animation_frames) == (64, 4, 0)
