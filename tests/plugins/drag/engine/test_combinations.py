"""Parts that make no sense together are refused in one sentence."""

from dataclasses import replace

import pytest

from featurekit.backbones import load
from featurekit.core.errors import ConfigError, NoiseLevelError
from featurekit_drag.engine.combinations import check_parts
from featurekit_drag.engine.drag import Drag
from featurekit_drag.engine.settings import DragSettings, Rule

WARPED = {"initialise": "latent_warp"}
STILL = {"supervision": "none", "tracking": "none"}


def settings(rule=None, **words):
    return DragSettings(rule=Rule(**(rule or {})), **words)


REFUSED = [
    ({"supervision": "template"}, {}, "supervision=template and plugin.tracking=along_line must"),
    ({"tracking": "along_line"}, {}, "must go together, got supervision=current"),
    ({"tracking": "none"}, WARPED, "supervision=none and plugin.tracking=none must go together"),
    (STILL, {}, "must leave the moving to .* nothing would move"),
    ({}, {"variable": "bottleneck", "outside": "hard"}, "must have plugin.outside=penalty"),
    ({}, {"variable": "bottleneck", "schedule": "alternating"}, "dragged at one level"),
    (STILL, {"variable": "bottleneck", **WARPED}, "dragged at one level by a supervision"),
    ({}, {"levels": 3}, "levels must be 1 with plugin.schedule=one_level, got 3"),
    (STILL, {"schedule": "alternating", **WARPED}, "must be supervised by current, anchored"),
    ({}, {"schedule": "sub_drags"}, "sub_drags must have plugin.supervision=none"),
    (STILL, {"schedule": "sub_drags"}, "no reference in plugin.identity"),
    (STILL, {"schedule": "sub_drags", "identity": ("stored",)}, "no stored in plugin.identity"),
    ({}, {"identity": ("reference", "stored")}, "one source of keys and values"),
    ({}, {"identity": ("laura",)}, r"some of lora, reference, stored, each once, got \['laura'\]"),
    ({}, {"identity": ("lora", "lora")}, "each once"),
]


@pytest.mark.parametrize(("rule", "words", "message"), REFUSED)
def test_what_makes_no_sense_is_refused(rule, words, message):
    with pytest.raises(ConfigError, match=message) as refusal:
        check_parts(settings(rule, **words))
    assert "\n" not in str(refusal.value)


def test_more_levels_than_are_inverted_are_refused():
    with pytest.raises(NoiseLevelError, match=r"at most the 35 levels .* got 36"):
        check_parts(settings(schedule="alternating", levels=36))
    check_parts(settings(schedule="alternating", levels=35))


def test_the_library_refuses_them_too():
    with pytest.raises(ConfigError, match="nothing would move"):
        Drag(load("random", device="cpu"), settings(STILL))


@pytest.mark.parametrize("outside", ["penalty", "hard"])
@pytest.mark.parametrize("supervision", ["current", "anchored", "field"])
@pytest.mark.parametrize("tracking", ["nearest", "directional"])
@pytest.mark.parametrize("schedule", ["one_level", "alternating"])
@pytest.mark.parametrize("initialise", ["none", "latent_warp"])
def test_everything_else_goes_together(outside, supervision, tracking, schedule, initialise):
    rule = Rule(supervision=supervision, tracking=tracking)
    found = DragSettings(rule=rule, outside=outside, schedule=schedule, initialise=initialise)
    check_parts(replace(found, identity=("lora", "stored")))
