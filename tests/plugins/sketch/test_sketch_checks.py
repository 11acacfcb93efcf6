"""What is refused of a sketch without any weights: settings, files and pictures."""

import pytest
import torch
from PIL import Image, ImageDraw

from featurekit import backbones
from featurekit.cli.router import main
from featurekit_sketch.distillation.student import Student
from featurekit_sketch.distillation.student_file import StudentFile, save_student
from featurekit_sketch.sampling.prior import Prior, save_prior


class LoadedError(Exception):
    """Weights were to be loaded: nothing was refused before."""


@pytest.fixture
def told(tmp_path, monkeypatch, capsys):
    """Run with a pair, a prior and what else stands on the desk; give exit code and sentence."""

    def load(*_, **__):
        raise LoadedError

    monkeypatch.setattr(backbones, "load", load)
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (40, 24), "teal").save("me.png")
    drawing = Image.new("L", (40, 24), 255)
    ImageDraw.Draw(drawing).line((4, 4, 30, 18), fill=0, width=2)
    drawing.save("mine.png")
    drawing.resize((20, 12)).save("small.png")
    (tmp_path / "out").mkdir()
    drawing.save("out/curve.png")
    (tmp_path / "out" / "run.json").write_text("{}")  # of an earlier run
    states = torch.zeros(3, 4)
    prior = Prior(mean=states, deviations=torch.ones(2), axes=torch.zeros(2, 12),
                  source="captions", encoder="", kept=1.0)  # fmt: skip
    save_prior(prior, tmp_path / "prior.safetensors")

    def run(*words):
        code = main(["run", "plugin=sketch", "out=out", *words])
        return code, capsys.readouterr().err

    return run


PAIR = ("image=me.png", "plugin.drawing=mine.png")


@pytest.mark.parametrize(
    "words",
    [
        (),
        PAIR,
        ("image=me.png", "plugin.drawing=small.png", "plugin.fit=true"),
        ("plugin.prior=prior.safetensors",),
        (*PAIR, "plugin.targets=[me.png]"),
        ("task=extract", "image=me.png", "plugin.style=any.safetensors"),
    ],
)
def test_what_can_work_is_left_to_the_weights(told, words):
    with pytest.raises(LoadedError):
        told(*words)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("plugin.prior=no.safetensors",), "a prior must be a file, but 'no.safetensors' is no"),
        (("plugin.prior=me.png",), "tensors must be in a whole .safetensors file, but 'me.png'"),
        (("plugin.views=0",), "plugin.views must lie in"),
        (("plugin.drawing_style=crayon",), "no plugin.drawing_style named 'crayon'"),
        (("image=me.png",), "got image alone; give plugin.drawing=FILE too"),
        (("image=me.png", "plugin.drawing=no.png"), "drawing must be a picture"),
        (("image=me.png", "plugin.drawing=small.png"), "must have the size of its picture"),
        (("image=no.png", "plugin.drawing=mine.png"), "'no.png'"),
        ((*PAIR, "plugin.targets=[no.png]"), "no.png"),
        ((*PAIR, "plugin.style=any.safetensors"), "task=train does not use it"),
        ((*PAIR, "plugin.targets=[out/curve.png]"), "choose another out"),
        (("task=extract", "image=me.png"), "got no plugin.style=FILE; give it"),
        (("task=extract", "image=no.png", "plugin.style=a.safetensors"), "no.png"),
    ],
)
def test_what_cannot_work_is_refused_before_weights_are_loaded(told, words, sentence):
    code, err = told(*words)
    assert code == 2
    assert sentence in err


def test_a_student_draws_without_a_model(told, tmp_path):
    with torch.random.fork_rng(devices=[]):
        student = StudentFile(Student().eval(), "a" * 64, 32, pairs=2, iterations=1)
    save_student(student, tmp_path / "student.safetensors")
    words = ("task=extract", "image=me.png", "plugin.student=student.safetensors")
    code, said = told(*words)
    assert code == 0, said
    assert "load the backbone" not in said
    assert (tmp_path / "out" / "me.png").is_file()
    with pytest.raises(LoadedError):
        told("task=extract", "image=me.png", "plugin.style=style.safetensors")
