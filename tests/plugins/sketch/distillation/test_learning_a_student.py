"""Learning a student: it learns; stopping and going on is the same as never stopping."""

import copy
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from featurekit.core.errors import ConfigError, TrainingError
from featurekit.images.io import read_tensors
from featurekit_sketch.distillation import learning
from featurekit_sketch.distillation.filtering import ink_share
from featurekit_sketch.distillation.learning import (
    StudentLearning,
    StudentTraining,
    apart,
    losses_of,
    rate_at,
)
from featurekit_sketch.distillation.lessons import batch_of
from featurekit_sketch.distillation.pair_shards import Pair, Pairs, places_in, write_shard
from featurekit_sketch.distillation.student import Student
from featurekit_sketch.distillation.student_drawer import StudentDrawer
from featurekit_sketch.distillation.watching import balanced

SIDE = 32
FEW = StudentLearning(iterations=6, batch=2, side_px=SIDE)
CHILD = """
import sys
from pathlib import Path

from featurekit_sketch.distillation import learning
from test_learning_a_student import training

learning.SAVE_SECONDS = 0.0
training(Path(sys.argv[1]))(progress=lambda done, total: print(done, flush=True))
"""


def pair_of(number):
    """A square on noise, of which the border is drawn."""
    draw = torch.Generator().manual_seed(number)
    picture = 0.2 * torch.rand(1, 3, SIDE, SIDE, generator=draw) - 0.8
    ink = torch.ones(1, 1, SIDE, SIDE)
    top, left = torch.randint(2, 12, (2,), generator=draw).tolist()
    picture[..., top : top + 16, left : left + 16] += 1.2
    ink[..., top : top + 16, left : left + 16] = 0
    ink[..., top + 2 : top + 14, left + 2 : left + 14] = 1
    return Pair(f"square {number}", picture, ink)


def pairs_in(folder, count=12):
    if not list(folder.glob("pairs-*")):
        write_shard([pair_of(number) for number in range(count)], folder, 0, key="k")
    return Pairs(places_in(folder, key="k"))


def training(folder, *, given=FEW, key="key"):
    return StudentTraining(pairs_in(folder), given, 0, folder / "training.safetensors", key)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """All that a training has at its end which nothing stopped."""
    whole = training(tmp_path_factory.mktemp("straight"))
    whole()
    return read_tensors(whole.path)


def assert_equal(found, wanted):
    assert set(found) == set(wanted)
    for name, one in wanted.items():
        assert torch.equal(found[name], one), name


@pytest.mark.parametrize("at", [1, 3, 5])
def test_stopped_and_gone_on_with_is_the_same_bit_for_bit(tmp_path, straight, at):
    training(tmp_path)(until=at)
    learnt = training(tmp_path)()
    assert_equal(read_tensors(tmp_path / "training.safetensors"), straight)
    assert len(learnt.losses) == FEW.iterations
    assert [row["iteration"] for row in learnt.curve] == [1, 2, 3, 4, 5, 6]


def test_who_looks_on_sees_the_average_draw_and_changes_nothing(tmp_path, straight):
    seen, picture = [], pair_of(0).picture

    def look(glimpse):
        seen.append((glimpse.done, glimpse.of, glimpse.loss, glimpse.draw(picture)))

    learnt = replace(training(tmp_path), watch=look)()
    assert_equal(read_tensors(tmp_path / "training.safetensors"), straight)
    assert [one[:2] for one in seen] == [(done, FEW.iterations) for done in range(1, 7)]
    assert [one[2] for one in seen] == [row["loss"] for row in learnt.losses]
    average = Student().eval()
    average.load_state_dict(
        {name[8:]: one for name, one in straight.items() if name.startswith("average.")}
    )
    with torch.no_grad():
        wanted = StudentDrawer(average.forward, FEW.side_px, "")(picture)
    assert torch.equal(seen[-1][3], wanted)


def test_killed_and_gone_on_with_is_the_same_bit_for_bit(tmp_path, straight):
    pairs_in(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
    ) as child:
        for line in child.stdout:
            if int(line) == 3:
                child.send_signal(signal.SIGKILL)
                break
    assert 2 <= len(read_tensors(tmp_path / "training.safetensors")["losses"]) < FEW.iterations
    training(tmp_path)()
    assert_equal(read_tensors(tmp_path / "training.safetensors"), straight)


def test_ctrl_c_in_the_middle_of_a_step_loses_no_more_than_it(tmp_path, straight, monkeypatch):
    steps = iter([False, False, True])
    real = learning.keep_average

    def interrupted(*given):
        if next(steps):
            raise KeyboardInterrupt
        real(*given)

    with monkeypatch.context() as patched:
        patched.setattr(learning, "keep_average", interrupted)
        with pytest.raises(KeyboardInterrupt, match="to go on from iteration 2"):
            training(tmp_path)()
    said = []
    again = StudentTraining(
        pairs_in(tmp_path), FEW, 0, tmp_path / "training.safetensors", "key", said.append
    )
    again()
    assert said == ["going on at iteration 2 of 6"]
    assert_equal(read_tensors(tmp_path / "training.safetensors"), straight)


def test_a_training_that_is_done_only_gives_its_student(tmp_path):
    first = training(tmp_path)()
    again = training(tmp_path)()
    assert_equal(again.student.state_dict(), first.student.state_dict())
    assert again.curve == first.curve


def test_another_training_is_not_gone_on_with(tmp_path):
    training(tmp_path)(until=1)
    with pytest.raises(ConfigError, match="out must be a new folder, or one whose student"):
        training(tmp_path, key="other")()


def test_numbers_that_are_not_finite_end_it_and_keep_the_checkpoint(tmp_path):
    training(tmp_path)(until=2)
    before = read_tensors(tmp_path / "training.safetensors")
    wild = StudentLearning(iterations=6, batch=2, side_px=SIDE, learning_rate=math.inf)
    with pytest.raises(TrainingError, match="must stay finite, got NaN or infinity at iteration 3"):
        training(tmp_path, given=wild)()
    assert_equal(read_tensors(tmp_path / "training.safetensors"), before)


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """A student that has learnt, and its pairs."""
    folder = tmp_path_factory.mktemp("learnt")
    given = StudentLearning(iterations=60, batch=4, side_px=SIDE)
    return training(folder, given=given)(), pairs_in(folder)


def test_a_student_learns_to_draw_as_its_teacher(learnt):
    """Of pairs that it has not seen."""
    curve = learnt[0].curve
    assert curve[-1]["f1"] > 0.75
    assert curve[-1]["ssim"] > curve[0]["ssim"]
    assert 0.8 < curve[-1]["ink"] < 1.25


def test_a_balanced_student_draws_as_much_ink_as_its_teacher(learnt):
    student, pairs = copy.deepcopy(learnt[0].student), learnt[1]
    student.ink.bias.data.add_(1.5)
    other = balanced(student, pairs)
    drawn = [StudentDrawer(one, 0, "")(pair.picture) for one in (student, other) for pair in pairs]
    wanted = sum(ink_share(pair.ink) for pair in pairs)
    found = [sum(map(ink_share, half)) for half in (drawn[: len(pairs)], drawn[len(pairs) :])]
    assert found[0] > 1.2 * wanted
    assert found[1] == pytest.approx(wanted, rel=0.1)
    assert student.ink.bias != other.ink.bias


def test_pairs_aside_are_not_learnt_from_and_hardly_move():
    names = [str(number) for number in range(200)]
    learnt_from, watched = apart(names)
    assert len(learnt_from) == 180
    assert len(watched) == learning.WATCHED
    assert not set(learnt_from) & set(watched)
    assert apart(names[::-1]) == (learnt_from, watched)
    more, _ = apart([*names, *(f"more {number}" for number in range(20))])
    assert len(set(watched) & set(more)) <= 4


def test_one_pair_is_too_few():
    with pytest.raises(ConfigError, match="at least 2 pairs, got 1"):
        apart(["one"])


def test_the_rate_rises_and_falls_to_nothing():
    given = StudentLearning(iterations=1000, learning_rate=1.0)
    rates = [rate_at(iteration, given) for iteration in range(1000)]
    assert rates[0] == pytest.approx(1 / 25)
    assert max(rates) == rates[100] == pytest.approx(1)
    assert rates[50] == pytest.approx((1 + 1 / 25) / 2)
    assert rates[-1] < 1e-4


def test_the_loss_is_least_for_the_teachers_ink():
    ink = pair_of(0).ink
    right, wrong, blank = 9 * (1 - 2 * ink), 9 * (2 * ink - 1), torch.full_like(ink, -9.0)
    found = [float(sum(losses_of(one, ink))) for one in (right, blank, wrong)]
    assert found[0] < 0.01
    assert found == sorted(found)


def test_lessons_are_of_one_size_and_differ_by_chance_alone():
    pairs = [pair_of(0), Pair("large", torch.zeros(1, 3, 50, 70), torch.ones(1, 1, 50, 70))]
    first, second, other = (
        batch_of(pairs, SIDE, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert first[0].shape == (2, 3, SIDE, SIDE)
    assert first[1].shape == (2, 1, SIDE, SIDE)
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[0], other[0])
    assert first[0].abs().max() <= 1
    assert 0 <= first[1].min() <= first[1].max() <= 1


def test_picture_and_ink_of_a_lesson_stay_together():
    """What is bright is what is drawn, however it is bent, moved and enlarged."""
    whole = pair_of(3)
    pair = Pair("", (1 - whole.ink).expand(-1, 3, -1, -1) * 2 - 1, whole.ink)
    for seed in range(12):
        picture, ink = batch_of([pair], SIDE, torch.Generator().manual_seed(seed))
        both = torch.stack([picture.mean(1).flatten(), ink.flatten()])
        assert abs(float(torch.corrcoef(both)[0, 1])) > 0.6
