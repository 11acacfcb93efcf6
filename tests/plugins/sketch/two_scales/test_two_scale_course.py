"""The course at two scales: what is learnt when hangs on nothing but the iteration."""

from dataclasses import replace
from functools import partial
from statistics import fmean

import invented
import pytest
import torch
from torch import nn, optim

from featurekit_sketch.training.framing import Corner
from featurekit_sketch.training.trainer import Trainer
from featurekit_sketch.two_scales.course import (
    DECAY,
    LONGEST,
    OWN,
    SLOW,
    DrawnViews,
    Taught,
    TwoScaleCourse,
    one_cycle,
)
from featurekit_sketch.two_scales.loss import line_loss
from featurekit_sketch.two_scales.network import TwoScaleNetwork
from featurekit_sketch.two_scales.reading import MapSpec
from featurekit_sketch.two_scales.self_training import WIDEST, SelfTraining, Undrawn

SPECS = (
    *(MapSpec("fine.u0.0", 6, 8), MapSpec("half.u0.0", 6, 16)),
    *(MapSpec("v0.0", 5, 4), MapSpec("v1.0", 4, 2), MapSpec("v2.0", 3, 1)),
)
SIDE, RATE, ITERATIONS, VIEWS = 32, 2e-3, 20, 4


def maps(seed, side=SIDE):
    return invented.two_scale_maps(SPECS, side, side, seed=seed).channels_last()


def ink(seed, height=SIDE, width=SIDE):
    """A drawing of one line."""
    paper = torch.ones(1, 1, height, width)
    paper[..., 4 + 3 * seed : 6 + 3 * seed, :] = 0
    return paper


class ChosenError(Exception):
    """What a lesson is to be of."""


def views(count=VIEWS, maps=maps):
    return DrawnViews(maps, [ink(i % 6) for i in range(count)], [Corner()] * count)


def self_training(side=SIDE):
    pictures = [
        lambda i=i: Undrawn(maps(100 + i, side), maps(200 + i, side), lambda drawn: drawn.flip(-1))
        for i in range(3)
    ]
    return SelfTraining(pictures, WIDEST)


def course(*examples, seed=0, iterations=ITERATIONS, itself=None):
    return TwoScaleCourse(examples or (views(),), iterations, RATE, seed, line_loss, itself)


def taught(seed=0, networks=2):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return Taught([TwoScaleNetwork(SPECS, doublings=2) for _ in range(networks)])


def trained(folder, *, until=None, noise=0):
    """A training, with torch's own generator in any state; weights of all networks, and trace."""
    learner = taught().to(memory_format=torch.channels_last)  # as a style is learnt
    trainer = Trainer(
        learner, course(itself=self_training()), folder / "training.safetensors", "key"
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(noise)
        trace = trainer(until=until)
    return learner.state_dict(), trace


@pytest.mark.parametrize("until", [3, 12])
def test_a_training_that_was_stopped_ends_bit_for_bit_like_one_that_was_not(tmp_path, until):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    straight, trace = trained(whole, noise=1)
    trained(parts, until=until, noise=2)
    resumed, again = trained(parts, noise=3)
    assert again == trace
    assert len(trace) == ITERATIONS
    assert any(row["own"] > 0 for row in trace)
    assert {name.split(".")[0] for name in straight} == {"networks", "means"}
    assert all(torch.equal(resumed[name], one) for name, one in straight.items())


def test_the_mean_network_is_another_than_the_one_that_learns(tmp_path):
    state, _ = trained(tmp_path)
    kept, learnt = state["means.0.ink.weight"], state["networks.0.ink.weight"]
    assert kept.abs().max() > 0
    assert not torch.equal(kept, learnt)


def test_the_loss_falls(tmp_path):
    _, trace = trained(tmp_path)
    assert fmean(row["drawn"] for row in trace[-5:]) < 0.8 * fmean(r["drawn"] for r in trace[:5])
    assert set(trace[0]) == {"drawn", "own", "total"}


@pytest.mark.parametrize("iterations", [20, 33, 60, 400, 800])
def test_the_rate_is_that_of_torchs_one_cycle(iterations):
    weight = nn.Parameter(torch.zeros(1))
    optimiser = optim.AdamW([weight], RATE)
    rates = optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=iterations, pct_start=0.1)
    wanted = []
    for _ in range(iterations):
        wanted.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        if len(wanted) < iterations:
            rates.step()
    ours = course(iterations=iterations)
    found = [ours.rate(i) for i in range(iterations)]
    assert found == pytest.approx(wanted, abs=1e-6 * RATE, rel=1e-6)


@pytest.mark.parametrize("iterations", [1, 2, 5, 10, 19])
def test_a_short_training_rises_in_one_iteration_and_falls(iterations):
    shares = [one_cycle(i, iterations) for i in range(iterations)]
    assert shares[0] == pytest.approx(1 / 25)
    assert all(0 < share <= 1 for share in shares)
    assert shares[1:] == sorted(shares[1:], reverse=True)
    assert iterations == 1 or shares[1] == pytest.approx(1)


def test_adamw_learns_all_of_the_network_and_nothing_of_the_mean():
    learner = taught()
    optimiser = course().optimiser(learner)
    (group,) = optimiser.param_groups
    assert {id(one) for one in group["params"]} == {
        id(one) for one in learner.networks.parameters()
    }
    assert (group["weight_decay"], group["pace"]) == (DECAY, 1.0)
    assert isinstance(optimiser, optim.AdamW)


def lots_of(seed, iterations=400, examples=1):
    """Which example and which view is asked for at each iteration, of 64 views."""

    def chosen(example, number):
        raise ChosenError(example, number)

    parts = [views(64, partial(chosen, i)) for i in range(examples)]
    given, learner = course(*parts, seed=seed, iterations=iterations), taught()
    found = []
    for iteration in range(iterations):
        with pytest.raises(ChosenError) as raised:
            given.loss(learner, iteration)
        found.append(raised.value.args)
    return found


def test_views_by_lot_are_the_same_for_a_seed_and_others_for_another():
    first = lots_of(3)
    assert lots_of(3) == first
    assert lots_of(4) != first


def test_a_quarter_of_the_lessons_and_its_own_lots_are_the_drawing_as_it_is():
    asked = [number for _, number in lots_of(0)]
    assert asked.count(0) / len(asked) == pytest.approx(OWN + (1 - OWN) / 64, abs=0.06)
    assert len(set(asked)) > 60
    assert max(asked) <= 63


def test_examples_have_their_turn_one_after_the_other():
    assert [first for first, _ in lots_of(0, 9, examples=3)] == [0, 1, 2] * 3


def test_the_mean_follows_at_once_then_ever_more_slowly():
    learner = taught()
    kept, new = learner.means[1].ink.weight, learner.networks[1].ink.weight
    with torch.no_grad():
        new.fill_(1.0)
        learner.follow(0)
        assert torch.equal(kept, new)
        new.fill_(2.0)
        learner.follow(3)  # a quarter of the way
        assert kept.unique().tolist() == pytest.approx([1.25])
        new.fill_(3.0)
        learner.follow(10_000)
        assert kept.unique().tolist() == pytest.approx([SLOW * 1.25 + (1 - SLOW) * 3.0])


def test_no_gradient_of_a_lesson_reaches_the_mean_network():
    learner = taught()
    given = course(itself=self_training())
    total, terms = given.loss(learner, ITERATIONS - 1)
    total.backward()
    assert terms["own"] > 0
    assert all(one.grad is None for one in learner.means.parameters())
    assert not any(one.training for one in learner.means)
    for network in learner.networks:
        assert any(one.grad is not None for one in network.parameters())


@pytest.mark.parametrize("corner", [Corner(), Corner(right=True), Corner(True, True)])
def test_what_fills_the_frame_is_not_learnt_from(corner):
    learner, seen = taught(networks=1), []
    example = DrawnViews(lambda _: maps(0), [ink(0, 20, 27)], [corner])
    learner.networks[0].register_forward_hook(
        lambda _, __, out: out.retain_grad() or seen.append(out)
    )
    course(example).loss(learner, 0)[0].backward()
    asked = seen[0].grad[0, 0] != 0
    rows = slice(12, 32) if corner.bottom else slice(0, 20)
    columns = slice(5, 32) if corner.right else slice(0, 27)
    assert asked[rows, columns].all()
    assert int(asked.sum()) == 20 * 27


def test_networks_have_lessons_of_their_own_and_one_teacher():
    learner, seen, asked = taught(), [], []
    itself = self_training()
    given = course(views(64), iterations=400, itself=itself)
    for network in learner.networks:
        network.register_forward_hook(lambda _, args, __: seen.append(args[0].image))
    for mean in learner.means:
        mean.register_forward_hook(lambda _, args, __: asked.append(args[0].image))
    for iteration in range(390, 400):
        given.loss(learner, iteration)
    first, second = seen[::2], seen[1::2]
    assert any(not torch.equal(a[0], b[0]) for a, b in zip(first, second, strict=True))
    assert all(torch.equal(a[1], b[1]) for a, b in zip(first, second, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(asked[::2], asked[1::2], strict=True))


def test_what_is_taught_is_the_mean_of_what_the_means_draw():
    learner, drawn = taught(), []
    with torch.no_grad():
        learner.means[0].ink.bias.fill_(8.0)
        learner.means[1].ink.bias.fill_(-6.0)

    class Told(SelfTraining):
        def lesson(self, draw, share, lots):
            drawn.append(draw(maps(0)))
            return super().lesson(draw, share, lots)

    course(itself=Told(**vars(self_training()))).loss(learner, ITERATIONS - 1)
    assert torch.allclose(drawn[0], torch.ones_like(drawn[0]), atol=1e-5)


@pytest.mark.parametrize("side", [SIDE, 2 * SIDE])
def test_a_sampled_picture_of_another_size_teaches_too(side):
    learner, batches = taught(), []
    learner.networks[1].register_forward_hook(
        lambda _, args, __: batches.append(len(args[0].image))
    )
    total, terms = course(itself=self_training(side)).loss(learner, ITERATIONS - 1)
    assert batches == ([2] if side == SIDE else [1, 1])
    assert terms["own"] > 0
    assert float(total.detach()) > terms["drawn"]


def test_a_gradient_is_shortened():
    learner = taught()
    (1e6 * course().loss(learner, 0)[0]).backward()
    course().limit(learner)
    for network in learner.networks:
        norms = [one.grad.norm() for one in network.parameters() if one.grad is not None]
        assert float(torch.stack(norms).norm()) == pytest.approx(LONGEST, rel=1e-3)


def test_a_network_without_its_mean_is_not_taught():
    with pytest.raises(TypeError, match=r"teaches Taught networks"):
        course().loss(TwoScaleNetwork(SPECS, doublings=2), 0)


def test_a_trainer_sets_the_rate_then_limits_then_steps_then_tells_the_course(tmp_path):
    learner, told = taught(), []

    class Told(TwoScaleCourse):
        def optimiser(self, network):
            made = super().optimiser(network)
            made.register_step_pre_hook(lambda one, *_: told.append(one.param_groups[0]["lr"]))
            return made

        def limit(self, network):
            told.append("limited")

        def stepped(self, network, iteration):
            told.append(("stepped", iteration))

    plain = course(iterations=3)
    ours = Told(**vars(plain))
    Trainer(learner, ours, tmp_path / "training.safetensors", "key")()
    each = [["limited", plain.rate(i), ("stepped", i)] for i in range(3)]
    assert told == [entry for part in each for entry in part]


def test_the_same_iteration_asks_the_same_whatever_came_before():
    learner, given = taught(), course(itself=self_training())
    with torch.no_grad():
        for network in learner.networks:
            network.ink.weight.add_(0.1)  # at first it draws paper whatever it is given
    late = given.loss(learner, 15)[1]
    for iteration in (2, 18, 7):
        given.loss(learner, iteration)
    assert given.loss(learner, 15)[1] == late
    assert replace(given, seed=1).loss(learner, 15)[1] != late
