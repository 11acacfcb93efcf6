"""Learning at two scales: pictures are read once, and a style draws from its file as it did."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from two_scale_runs import SIDE, counted, drawn, samples_of, stage, training_on

import featurekit as fk
from featurekit.core.errors import ConfigError
from featurekit.core.metrics import ssim
from featurekit.core.types import Job, silent
from featurekit.measures.augmentations import views_of
from featurekit_sketch.config import SketchConfig
from featurekit_sketch.sampling.prior import fit_prior, save_prior
from featurekit_sketch.settings import Tiling
from featurekit_sketch.tasks.drawers import drawer_of
from featurekit_sketch.tasks.learning import learn_styles
from featurekit_sketch.training.framing import Corner
from featurekit_sketch.training.style_file import LINES, TONES, digest, load_style, save_style
from featurekit_sketch.two_scales import reading
from featurekit_sketch.two_scales import training as module
from featurekit_sketch.two_scales.course import Taught
from featurekit_sketch.two_scales.training import ReadSamples, sample_view
from featurekit_sketch.working_size import resized_ink, size_of

A_PICTURE = 4  # rows of the UNet: two timesteps at two scales


@pytest.fixture(scope="module")
def backbone():
    return fk.load_backbone("random")


@pytest.fixture(scope="module")
def training(backbone):
    return training_on(backbone)


@pytest.fixture(scope="module")
def undrawn(training, backbone):
    return training.read_samples(samples_of(backbone), stage)


@pytest.fixture(scope="module")
def learnt(training, undrawn, tmp_path_factory):
    """A drawn picture, and the style that was learnt from it, badly."""
    subject = drawn()
    (read,) = training.read([subject.image], stage)
    path = tmp_path_factory.mktemp("learnt") / "training.safetensors"
    return subject, read, *training.learn([(subject, read)], undrawn, path, stage=stage)


class Stopped(Exception):  # noqa: N818
    """In place of a training, with its arguments."""


def course_of(training, subjects, undrawn, monkeypatch, tmp_path):
    """The course that a training would follow."""

    def stop(taught, course, *_):
        raise Stopped(taught, course)

    monkeypatch.setattr(module, "Trainer", stop)
    with pytest.raises(Stopped) as stopped:
        training.learn(subjects, undrawn, tmp_path / "none.safetensors", stage=stage)
    return stopped.value.args


def nothing(training):
    return training.read_samples([], stage)


def job(backbone, folder, **settings):
    config = SketchConfig(network="two_scales", side_px=SIDE, iterations=3, views=3, **settings)
    folder.mkdir()
    words = {"task": "train", "image": None, "prompt": "", "seed": 0, "out": folder}
    return Job(backbone=backbone, settings=config, stage=lambda _: nullcontext(silent), **words)


def test_several_styles_cost_the_reading_of_one(backbone, tmp_path):
    subject = drawn()
    lessons = {
        "one": [subject],
        "two": [replace(subject, ink=subject.ink.flip(-1))],
        "three": [replace(subject, ink=subject.ink.flip(-2))],
    }
    prior = save_prior(fit_prior(backbone, ("a red circle", "a face")), tmp_path / "prior")
    rows = {}
    for count in (1, 3):
        words = {"prior": str(prior), "samples": 0, "steps": 16}
        given = job(backbone, tmp_path / str(count), **words)
        with counted(backbone) as found:
            styles = learn_styles(given, dict(list(lessons.items())[:count]))
        rows[count] = sum(found)
        assert list(styles) == list(lessons)[:count]
    assert rows[1] == rows[3]
    files = sorted(path.name for path in (tmp_path / "3").glob("*.safetensors"))
    assert files == [f"{name}.training.safetensors" for name in ("one", "three", "two")]
    metrics = styles["two"].metrics
    assert metrics["samples"] == 0
    states = [style.style.state["0.ink.weight"] for style in styles.values()]
    assert not torch.equal(states[0], states[1])


def test_views_and_sampled_pictures_are_read_once_each(backbone, training, tmp_path):
    subject = drawn()
    with counted(backbone) as rows:
        (read,) = training.read([subject.image], stage)
        assert sum(rows) == 3 * A_PICTURE
        undrawn = training.read_samples(samples_of(backbone), stage)
        assert sum(rows) == (3 + 2 * 2) * A_PICTURE
        for style in "ab":
            path = tmp_path / f"{style}.safetensors"
            training.learn([(subject, read)], undrawn, path, stage=stage)
    assert sum(rows) == (3 + 2 * 2) * A_PICTURE


def test_several_examples_of_other_sizes_are_learnt_together(training, undrawn, tmp_path):
    pairs = [drawn(), drawn(2, "building", side=96, cut=(slice(0, 50), slice(0, 96)))]
    read = training.read([one.image for one in pairs], stage)
    assert [len(one.lying) for one in read] == [4, 4]  # the fewest of each
    assert [size_of(one.image) for one in read] == [(64, 64), (46, 89)]
    path = tmp_path / "training.safetensors"
    given = list(zip(pairs, read, strict=True))
    drawer, trace = training.learn(given, undrawn, path, stage=stage)
    assert len(trace) == 6
    assert all(torch.tensor(list(row.values())).isfinite().all() for row in trace)
    for one in pairs:
        assert drawer(one.image).shape == one.ink.shape


def test_views_of_a_picture_share_its_views_among_its_corners(training, monkeypatch, tmp_path):
    subject = drawn(side=96, cut=(slice(0, 50), slice(0, 96)))
    wide = replace(training, views=6)
    (read,) = wide.read([subject.image], stage)
    corners = [Corner(), Corner(True, False), Corner(False, True), Corner(True, True)]
    assert list(read.lying) == [*corners, *corners[:2]]
    _, course = course_of(wide, [(subject, read)], nothing(wide), monkeypatch, tmp_path)
    (example,) = course.examples
    ink = resized_ink(subject.ink, size_of(read.image))
    views = views_of(read.image, ink, count=6, seed=read.seed)
    for number, view in enumerate(views):
        assert torch.equal(example.inks[number], view.ink)
        frame, (right, bottom) = example.maps(number).image, example.lying[number]
        rows = slice(frame.shape[-2] - 46, None) if bottom else slice(0, 46)
        columns = slice(frame.shape[-1] - 89, None) if right else slice(0, 89)
        assert torch.equal(frame[..., rows, columns], view.image.half())


def test_every_view_has_noise_of_its_own_and_the_first_that_of_drawing(training, learnt):
    _, read, drawer, _ = learnt
    own = drawer.reader(read.image)
    assert all(torch.equal(read.maps(0).maps[name], one) for name, one in own.maps.items())
    view = views_of(read.image, torch.ones(1, 1, SIDE, SIDE), count=2, seed=read.seed)[1].image
    unlike = drawer.reader(view).maps["fine.u3.1"]
    assert not torch.equal(read.maps(1).maps["fine.u3.1"], unlike)


@pytest.mark.parametrize("side", [64, 48])
def test_ink_of_a_sampled_picture_is_bent_like_its_view(
    backbone, side, training, learnt, monkeypatch, tmp_path
):
    smaller = replace(training, side_px=side)
    undrawn = smaller.read_samples(samples_of(backbone), stage)
    _, course = course_of(smaller, [learnt[:2]], undrawn, monkeypatch, tmp_path)
    for number, picture in enumerate(undrawn.pictures):
        given = course.self_training.pictures[number]()
        assert size_of(picture) == (side, side)
        ink = torch.ones(1, 1, 64, 64)
        ink[..., 10:20, 5:40] = 0
        view = sample_view(picture, ink[..., :side, :side], number, smaller.seed)
        bent = given.bent(ink)
        assert torch.equal(bent[..., :side, :side], view.ink)
        assert bent[..., side:, :].eq(1).all()
        assert bent[..., side:].eq(1).all()
        assert torch.equal(given.own.image[..., :side, :side], picture.half())
        assert torch.equal(given.view.image[..., :side, :side], view.image.half())


def test_the_same_training_gives_the_same_style_whatever_the_random_state(
    training, learnt, undrawn, tmp_path
):
    subject, read, drawer, trace = learnt
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(77)
        before = torch.default_generator.get_state()
        path = tmp_path / "training.safetensors"
        again, same = training.learn([(subject, read)], undrawn, path, stage=stage)
        assert torch.equal(torch.default_generator.get_state(), before)
    assert same == trace
    assert torch.equal(again(subject.image), drawer(subject.image))


def test_a_checkpoint_of_another_training_is_refused(training, learnt, undrawn, tmp_path):
    subject, read, _, _ = learnt
    path = tmp_path / "training.safetensors"
    training.learn([(subject, read)], undrawn, path, stage=stage)
    others = {
        "drawing": (training, replace(subject, ink=subject.ink.flip(-1)), undrawn),
        "kind of ink": (training, replace(subject, made_of=TONES), undrawn),
        "rate": (replace(training, learning_rate=1e-3), subject, undrawn),
        "iterations": (replace(training, iterations=7), subject, undrawn),
        "samples": (training, subject, ReadSamples(undrawn.pictures[:1], undrawn.maps)),
    }
    for name, (other, drawing, pictures) in others.items():
        with pytest.raises(ConfigError, match="is of another training"):
            other.learn([(drawing, read)], pictures, path, stage=stage)
        assert name


def test_a_training_on_other_maps_is_another(training, monkeypatch):
    both = ("unet", "vae")
    key = training.key([drawn()], 2, both)
    assert training.key([drawn()], 2, both) == key
    monkeypatch.setattr(reading, "COARSEST", 1)
    assert training.key([drawn()], 2, both) != key
    assert training.key([drawn()], 2, ("vae",)) != key


def test_networks_standardise_by_views_and_sampled_pictures(
    training, learnt, undrawn, monkeypatch, tmp_path
):
    subject, read, _, _ = learnt
    taught, _ = course_of(training, [(subject, read)], undrawn, monkeypatch, tmp_path)
    assert isinstance(taught, Taught)
    given = [*(read.maps(i) for i in range(3)), *(undrawn.maps(2 * i) for i in range(2))]
    values = torch.cat([one.maps["v2.1"][..., ::4, ::4].float().flatten(2) for one in given], 2)
    for network in (*taught.networks, *taught.means):
        found = network.reduced["v2_1"]
        assert torch.allclose(found.mean.flatten(), values.mean(2)[0], atol=1e-4)
        assert torch.allclose(found.deviation.flatten(), values[0].std(1), rtol=0.01)


def test_a_style_from_its_file_draws_the_same_bytes(backbone, learnt, tmp_path):
    subject, _, drawer, _ = learnt
    style = drawer.style(size_of(subject.image), prompt="a face")
    path = save_style(style, tmp_path / "style.safetensors")
    kept = load_style(path, backbone.name, digest(backbone.weights))
    again = drawer_of(kept, backbone, Tiling())
    pictures = [subject.image, drawn(3, "vehicle", side=96).image, subject.image[..., :33, :50]]
    for image in pictures:
        found = drawer(image)
        assert found.shape[-2:] == image.shape[-2:]
        assert torch.equal(again(image), found)
        assert 0 < float(found.mean()) < 1
    assert again.told == drawer.told


def test_drawings_in_colour_are_learnt_and_drawn_in_colour_and_not_by_itself(
    training, undrawn, monkeypatch, tmp_path
):
    subject = drawn()
    coloured = torch.cat([subject.ink, 1 - 0.5 * (1 - subject.ink), torch.ones(1, 1, 64, 64)], 1)
    subject = replace(subject, ink=coloured, made_of=TONES)
    (read,) = training.read([subject.image], stage)
    path = tmp_path / "training.safetensors"
    drawer, trace = training.learn([(subject, read)], undrawn, path, stage=stage)
    assert {row["own"] for row in trace} == {0}
    assert (drawer.made_of, drawer.offset) == (TONES, 0)
    assert drawer(subject.image).shape == (1, 3, 64, 64)
    _, course = course_of(training, [(subject, read)], undrawn, monkeypatch, tmp_path)
    assert course.self_training is None


def test_a_style_of_which_one_drawing_has_tones_draws_tones(training, learnt, tmp_path):
    subject, read, _, _ = learnt
    pairs = [(subject, read), (replace(subject, made_of=TONES), read)]
    path = tmp_path / "training.safetensors"
    drawer, _ = training.learn(pairs, nothing(training), path, stage=stage)
    assert drawer.made_of == TONES


def test_the_smallest_training_is_finite(backbone, tmp_path):
    """One picture, read once: its coarsest maps have a single cell."""
    small = training_on(backbone, iterations=2, views=1, side_px=32)
    subject = drawn(side=32)
    (read,) = small.read([subject.image], stage)
    path = tmp_path / "training.safetensors"
    drawer, trace = small.learn([(subject, read)], nothing(small), path, stage=stage)
    assert len(trace) == 2
    assert drawer.made_of == LINES
    assert drawer(subject.image).isfinite().all()


def test_a_drawing_is_learnt(tmp_path):
    """Redrawn far better than blank paper, and with about as much ink."""
    learning = training_on(fk.load_backbone("embedded"), iterations=60, views=1)
    subject = drawn(0)
    (read,) = learning.read([subject.image], stage)
    path = tmp_path / "training.safetensors"
    drawer, _ = learning.learn([(subject, read)], nothing(learning), path, stage=stage)
    redrawn, true = drawer(subject.image), 2 * subject.ink - 1
    blank = float(ssim(torch.ones_like(true), true))
    assert float(ssim(2 * redrawn - 1, true)) > blank + 0.15
    assert float((1 - redrawn).mean()) == pytest.approx(float((1 - subject.ink).mean()), rel=0.15)


def test_who_looks_on_sees_the_means_draw_and_changes_nothing(
    training, undrawn, learnt, tmp_path, backbone
):
    subject, read, drawer, trace = learnt
    seen = []

    def look(glimpse):
        with counted(backbone) as rows:
            seen.append((glimpse.done, glimpse.of, glimpse.draw(subject.image), len(rows)))
        losses.append(glimpse.loss)

    losses = []
    watched = replace(training, watch=look)
    path = tmp_path / "training.safetensors"
    same, _ = watched.learn([(subject, read)], undrawn, path, stage=stage)
    assert losses == [row["total"] for row in trace]
    assert [one[:2] for one in seen] == [(done, 6) for done in range(1, 7)]
    assert [one[3] > 0 for one in seen] == [True] + 5 * [False]  # a picture is read once
    assert torch.equal(same(subject.image), drawer(subject.image))
    assert all(one[2].shape == subject.ink.shape for one in seen)
