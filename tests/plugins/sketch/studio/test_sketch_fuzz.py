"""Whatever a page asks: an answer, or a mistake in one sentence; no file outside the folder."""

import random

from sketch_studio import desk_of, drawing, face
from studio_desk import picture

from featurekit.core.errors import FeatureKitError
from featurekit.web.asked import Asked
from featurekit.web.jobs import Job, Working

REQUESTS = 400
WORDS = [
    "..", "../..", "/etc/passwd", "C:\\boot.ini", "", "a" * 1900, "\U0001f600", "brush", "inline",
    "s0123456789ab", "lines", "colour", "grey", "png", "svg", "zip", "record", "style", "\x01", "-",
]  # fmt: skip
NAMES = [
    "style", "styles", "shares", "student", "x", "y", "side", "fast", "what", "name", "fit", "ink",
    "title", "pair", "prompt", "seed", "iterations", "count", "svg",
]  # fmt: skip
ACTIONS = [
    "told", "check", "unpair", "scene", "rename", "remove", "lens", "export", "python", "batch",
    "unbatch",
]  # fmt: skip
REFUSED = ["learn", "distil", "batch"]  # what comes to no long work without a pair or a file


def value(draw):
    kind = draw.randrange(7)
    if kind == 0:
        return [draw.choice(WORDS) for _ in range(draw.randrange(4))]
    if kind == 1:
        return [draw.choice([0, 1, -1, 0.5, 1e300, "a"]) for _ in range(draw.randrange(4))]
    if kind == 2:
        return draw.choice([True, False, None, {}])
    if kind == 3:
        return draw.choice([0, 1, -1, 64, 1024, 1e9, 2**70, 0.5, 100])
    return draw.choice(WORDS)


def test_random_requests_are_answered_or_refused_in_a_sentence(tmp_path):
    studio = desk_of(tmp_path / "in" / "desk")
    draw = random.Random(0)
    files = [drawing(), face(), b"", b"none", picture(9, 9), drawing(style="inline")[:99]]
    answered, refused = 0, []
    for _ in range(REQUESTS):
        values = {name: value(draw) for name in draw.sample(NAMES, draw.randrange(6))}
        parts = {name: draw.choice(files) for name in ("drawing", "file") if draw.random() < 0.7}
        job = draw.random() < 0.1
        try:
            if job:
                name = draw.choice(REFUSED)
                work = Working(Job("job", "sketch", name), lambda *_: None, lambda _: "/blob/x")
                studio.placed["sketch"].tab.jobs[name](Asked({**values, "styles": []}), work)
            else:
                studio.act("sketch", draw.choice(ACTIONS), Asked(values, parts))
            answered += 1
        except FeatureKitError as error:
            refused.append(str(error))
    assert answered > REQUESTS / 10
    assert len(refused) > REQUESTS / 10
    assert all(refused)
    assert not [one for one in refused if "Traceback" in one or str(tmp_path) in one]
    assert [one.name for one in tmp_path.iterdir()] == ["in"]
    assert [one.name for one in (tmp_path / "in").iterdir()] == ["desk"]
