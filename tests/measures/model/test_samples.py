"""Samples: how they are drawn, how a CLIP judges them, and what is reported."""

import pytest
import torch
from PIL import Image

from featurekit.backbones import random
from featurekit.measures.model import samples
from featurekit.measures.model.colour_test import phrases
from featurekit.measures.model.samples import Judge, Sampler, prefers, subject
from featurekit.scenes import TRAINED_KINDS
from featurekit.scenes.colours import COLOURS

RED = "a red house on a blue background"


class Knowing:
    """A CLIP that embeds words by which of a few they hold, and any picture as one text."""

    WORDS = ("house", "cat", "star", *COLOURS)

    def __init__(self, seen):
        self.seen = seen

    def embed_text(self, texts):
        rows = torch.tensor([[float(w in t.split()) for w in self.WORDS] for t in texts])
        return torch.nn.functional.normalize(rows, dim=1)

    def embed_image(self, image):
        return self.embed_text([self.seen])


class Count:
    def __init__(self):
        self.total = 0

    def add(self, number):
        self.total += number


def judged(seen, caption=RED):
    captions = {"house": RED, "cat": "a green cat with a pink collar", "star": "a gray star"}
    test = samples.ColourTest({"house": 0.1, "background": 0.1})
    picture = Image.new("RGB", (16, 16), COLOURS["red"])
    picture.paste(COLOURS["blue"], (0, 0, 8, 16))
    return Judge(test, captions, Knowing(seen)).rows([picture], [caption])[0]


def test_a_right_picture_is_right_in_class_and_colour():
    found = judged(RED)
    assert found["clip_class"]
    assert found["clip_colour"]
    assert found["clip"]
    assert found["colour"]
    assert not found["colour_control"]


def test_a_picture_of_another_thing_in_the_right_colours_fails_the_class_alone():
    found = judged("a red cat on a blue background")
    assert not found["clip_class"]
    assert not found["clip"]


def test_a_right_thing_in_wrong_colours_fails_the_colour():
    picture, clip = Image.new("RGB", (16, 16)), Knowing("a green house on a blue background")
    assert not prefers(clip, picture, RED, ["a green house on a blue background"])
    assert prefers(clip, picture, RED, ["a green cat on a pink background"])


def test_without_a_judge_its_figures_are_left_out():
    picture = Image.new("RGB", (16, 16), COLOURS["red"])
    judge = Judge(samples.ColourTest({"house": 0.1}), {}, None)
    assert set(judge.rows([picture], [RED])[0]) == {"colour", "colour_control"}


def test_a_tie_is_no_preference():
    picture, clip = Image.new("RGB", (16, 16)), Knowing(RED)
    assert not prefers(clip, picture, RED, [RED])


@pytest.mark.parametrize(
    ("caption", "about"),
    [
        ("a sad face with long orange hair", "face"),
        ("a dotted orange rabbit", "rabbit"),
        ("a tall white brick house with a black roof", "house"),
        ("a white tower under a checkered pink sky", "tower"),
        ("a purple heart and a tiled yellow star on a gray background", "heart"),
    ],
)
def test_a_caption_is_about_the_end_of_its_first_phrase(caption, about):
    assert subject(caption) == about


def test_other_subjects_come_in_the_captions_own_colours():
    captions = samples.subjects(TRAINED_KINDS, count=6)
    assert {"face", "landscape"} <= set(captions)
    own = "a red face with a blue shirt"
    others = samples.other_subjects(own, captions)
    assert len(others) == len(captions) - 1
    for other in others:
        assert subject(other) != "face"
        assert {phrase.colour for phrase in phrases(other)} <= {"red", "blue"}


def test_a_sample_does_not_depend_on_those_beside_it():
    sampler = Sampler(random.load("cpu"), 2, 0, Count())
    alone = sampler(["a red face"], 3.0)
    both = sampler(["a red face", "a blue star"], 3.0)
    levels = [torch.tensor(list(picture.tobytes())).float() for picture in (alone[0], both[0])]
    assert (levels[0] - levels[1]).abs().max() <= 1
    assert both[0].tobytes() != both[1].tobytes()
    assert sampler.progress.total == 3


def test_the_sheets_have_captions_of_every_kind_and_written_ones():
    kinds = list(samples.sheet_captions().values())
    assert kinds.count("written") == len(samples.WRITTEN)
    assert all(kinds.count(kind) == samples.SHOWN for kind in TRAINED_KINDS)


def test_rates_are_shares_of_the_pictures_that_were_judged():
    rows = [{"colour": True, "clip": False}, {"colour": False}, {"colour": True}]
    assert samples._means(rows) == {"colour": pytest.approx(2 / 3), "clip": 0.0}


@pytest.mark.filterwarnings("ignore:the prompt has")
def test_samples_are_reported_by_group_and_kind_beside_true_pictures(monkeypatch):
    monkeypatch.setattr(samples, "CALIBRATED", 15)
    monkeypatch.setattr(samples, "SHEET_GUIDANCES", (1.0,))
    told, clip = [], Knowing(RED)
    measured = samples.measure_samples(
        random.load("cpu"),
        clip=clip,
        count=5,
        steps=1,
        progress=lambda *numbers: told.append(numbers),
    )
    figures = measured.figures
    assert set(figures["kinds"]) >= set(TRAINED_KINDS)
    assert figures["trained"]["count"] == 5
    assert figures["trained"]["true"]["colour"] > figures["trained"]["samples"]["colour"]
    assert {"clip_class", "colour_control"} <= set(figures["held_out"]["samples"])
    assert told[-1][0] == told[-1][1]
    assert list(measured.pictures) == ["samples_guidance_1"]
