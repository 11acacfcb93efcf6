"""The training loop: stopping and going on is the same as never stopping; bad numbers end it."""

from dataclasses import replace
from math import nan

import pytest
import torch
from torch import nn
from torch.nn import functional

from featurekit.core.errors import TrainingError
from featurekit.training.loop import checkpoints, loop
from featurekit.training.loop.checkpoints import Progress
from featurekit.training.loop.loop import Fit, rate_at, seed_of
from featurekit.training.loop.workers import Worker, crew
from featurekit.training.recipe import SMALL, Run

RUN = Run(samples=160, batch=8, rate=0.05, average=0.9, warm_up=3)


TRIALS = 2 + 2 * (loop.TRIAL + 1)  # losses of a training that chooses its precision


class Line:
    """Learn a line from points that the generator draws."""

    stage = "vae"
    hot: tuple[nn.Module, ...] = ()

    def __init__(self, *, slope=2.0):
        self.network = nn.Linear(1, 1)
        with torch.no_grad():
            self.network.weight.fill_(0.0)
            self.network.bias.fill_(0.5)
        self.slope = slope

    def loss(self, count, draw):
        x = torch.randn(count, 1, generator=draw)
        return ((self.network(x) - self.slope * x + 1) ** 2).mean()

    def figures(self):
        return {"slope": self.network.weight.item()}


def fit(folder, task=None, run=RUN, worker=None):
    alone = Worker(0, 1, torch.device("cpu"))
    return Fit(task or Line(), run, SMALL, worker or alone, folder)


def weights(task):
    return [p.detach().clone() for p in task.network.parameters()]


class Impatient:
    """Ask the worker to stop after some steps."""

    def __init__(self, worker, after):
        self.worker, self.left = worker, after

    def __call__(self, progress, loss):
        self.left -= 1
        self.worker.stopping = self.left == 0


def test_the_loop_learns_and_ends_with_the_averaged_weights(tmp_path):
    task = Line()
    progress = fit(tmp_path, task)()
    assert progress.samples == 160
    assert progress.step == 20
    assert task.network.weight.item() == pytest.approx(progress.history[-1]["slope"])
    assert 0.2 < task.network.weight.item() < 2.0


def test_stopping_and_going_on_gives_the_same_weights_as_never_stopping(tmp_path):
    through, halves = Line(), Line()
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    begin = Progress(precision="fp32")  # else chosen by the clock, once in each training
    whole = fit(tmp_path / "a", through)(begin=begin)
    worker = Worker(0, 1, torch.device("cpu"))
    # stopped by the flag that Ctrl-C sets, twice, at steps that no figure is taken at
    for after in (7, 5):
        begin = Progress(precision="fp32")
        first = fit(tmp_path / "b", halves, worker=worker)(Impatient(worker, after), begin=begin)
        assert first.samples < 160
        worker.stopping = False
        halves = Line()
    last = fit(tmp_path / "b", halves)()
    assert last.step == whole.step
    assert all(torch.equal(a, b) for a, b in zip(weights(through), weights(halves), strict=True))
    assert last.seconds > 0


def train_line(worker, folder):
    """What a second process runs."""
    task = Line()
    fit(folder, task, worker=worker)(begin=Progress(precision="fp32"))
    return task


def test_two_workers_train_as_one_does(tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    one = train_line(Worker(0, 1, torch.device("cpu")), tmp_path / "a")
    arguments = (tmp_path / "b",)
    with crew(train_line, arguments, count=2, device=torch.device("cpu")) as worker:
        two = train_line(worker, *arguments)
    for a, b in zip(weights(one), weights(two), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


class Broken(Line):
    """A line whose loss leaves the numbers after some steps."""

    def __init__(self, good):
        super().__init__()
        self.good = good

    def loss(self, count, draw):
        self.good -= 1
        return super().loss(count, draw) * (1.0 if self.good >= 0 else float("nan"))


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_last_good_state(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    with pytest.raises(TrainingError, match=r"vae and its .* stay finite, .* step 5; the last"):
        fit(tmp_path, Broken(TRIALS + 2 * 5))()
    kept, tensors = checkpoints.load(tmp_path / "vae.ckpt.safetensors", recipe=SMALL, stage="vae")
    assert kept.step == 5
    assert all(bool(torch.isfinite(t).all()) for t in tensors.values())


def test_a_loss_that_is_bad_from_the_start_says_that_nothing_was_kept(tmp_path):
    with pytest.raises(TrainingError, match="no state had been kept yet"):
        fit(tmp_path, Broken(TRIALS))()
    assert list(tmp_path.iterdir()) == []


class Steep(Line):
    """A line whose loss is finite where its gradient is not."""

    def loss(self, count, draw):
        return super().loss(count, draw) + (0 * self.network.weight).sqrt().sum()


def test_a_gradient_that_is_not_a_number_stops_before_it_reaches_the_weights(tmp_path):
    task = Steep()
    before = weights(task)
    with pytest.raises(TrainingError, match=r"gradients must stay finite, .* step 0; no state"):
        fit(tmp_path, task)(begin=Progress(precision="fp32"))
    assert all(torch.equal(a, b) for a, b in zip(weights(task), before, strict=True))


class Astray(Line):
    """A line whose gradients in bfloat16 are too long by a share."""

    def __init__(self, share):
        super().__init__()
        self.share = share

    def loss(self, count, draw):
        halves = torch.is_autocast_enabled("cpu")
        return super().loss(count, draw) * (1 + self.share if halves else 1)


@pytest.mark.parametrize(("share", "chosen"), [(0.2, "fp32"), (0.01, "bf16"), (nan, "fp32")])
def test_bfloat16_is_chosen_only_where_its_gradients_are_those_of_float32(
    share, chosen, tmp_path, monkeypatch
):
    monkeypatch.setattr(loop, "_timed", lambda task, p, worker: {"bf16": 1.0, "fp32": 2.0}[p])
    assert fit(tmp_path, Astray(share), run=replace(RUN, samples=8))().precision == chosen


def test_memory_that_runs_out_names_a_smaller_batch(tmp_path):
    class Greedy(Line):
        def loss(self, count, draw):
            raise torch.OutOfMemoryError("too much")

    with pytest.raises(TrainingError, match=r"a batch of 8 must fit .* go on with batch=4"):
        fit(tmp_path, Greedy())()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": 128}, r"differs in size \(64, not 128\)"),
        ({"unet_channels": (32, 64)}, "differs in unet_channels"),
        ({"seed": 1}, r"differs in seed \(0, not 1\)"),
    ],
)
def test_a_checkpoint_of_another_recipe_is_refused_by_what_differs(tmp_path, change, words):
    fit(tmp_path)()
    with pytest.raises(TrainingError, match=words):
        checkpoints.load(
            tmp_path / "vae.ckpt.safetensors", recipe=replace(SMALL, **change), stage="vae"
        )


def test_a_checkpoint_of_another_stage_or_version_is_refused(tmp_path, monkeypatch):
    fit(tmp_path)()
    path = tmp_path / "vae.ckpt.safetensors"
    with pytest.raises(TrainingError, match="must be a checkpoint of stage 'unet', version 1"):
        checkpoints.load(path, recipe=SMALL, stage="unet")
    monkeypatch.setattr(checkpoints, "VERSION", 2)
    with pytest.raises(TrainingError, match="version 2, got stage 'vae', version 1"):
        checkpoints.load(path, recipe=SMALL, stage="vae")


@pytest.mark.parametrize("damage", [b"", b"not a checkpoint at all, not even nearly one"])
def test_a_damaged_checkpoint_is_refused_with_a_way_out(tmp_path, damage):
    path = tmp_path / "vae.ckpt.safetensors"
    path.write_bytes(damage)
    with pytest.raises(TrainingError, match=r"checkpoint must be whole, .*remove the file"):
        fit(tmp_path)()


def test_more_samples_go_on_from_a_complete_training(tmp_path):
    fit(tmp_path)()
    longer = fit(tmp_path, run=replace(RUN, samples=240))()
    assert longer.samples == 240
    assert longer.step == 30


def test_a_complete_training_is_not_touched(tmp_path):
    fit(tmp_path)()
    before = (tmp_path / "vae.ckpt.safetensors").read_bytes()
    task = Line()
    fit(tmp_path, task)()
    assert (tmp_path / "vae.ckpt.safetensors").read_bytes() == before
    assert task.network.weight.item() > 0.2


def test_the_rate_warms_up_stays_and_cools_down():
    def rate(step):
        return rate_at(Progress(step=step, samples=step * 10), Run(1000, 10, 1.0, 0.9, warm_up=10))

    assert rate(0) == pytest.approx(0.1)
    assert rate(9) == rate(50) == rate(74) == 1.0
    assert rate(87) == pytest.approx(130 / 250)
    assert rate(99) == pytest.approx(10 / 250)


def test_every_step_and_shard_draws_its_own_numbers():
    seeds = {seed_of(0, step, shard) for step in range(500) for shard in range(2)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_the_global_random_state_is_left_alone(tmp_path):
    training = fit(tmp_path)
    before = torch.get_rng_state()
    training()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("op", ["attention", "group norm", "layer norm"])
def test_on_a_cpu_bfloat16_leaves_attention_and_norms_in_float32(op):
    image = torch.randn(1, 2, 8, 8, requires_grad=True)
    ops = {
        "attention": lambda z: functional.scaled_dot_product_attention(z, z, value=z),
        "group norm": lambda z: functional.group_norm(z, 2),
        "layer norm": lambda z: functional.layer_norm(z, (8,)),
    }
    with loop.autocast("bf16", torch.device("cpu")):
        half = functional.conv2d(image, torch.ones(2, 2, 1, 1))
        found = ops[op](half)
        assert half.dtype == torch.bfloat16
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, ops[op](half.float()))
    found.sum().backward()
    assert image.grad is not None


def test_in_float32_nothing_is_computed_otherwise():
    z = torch.randn(1, 2, 8, 8, dtype=torch.float64)
    with loop.autocast("fp32", torch.device("cpu")):
        assert functional.group_norm(z, 2).dtype == torch.float64
