"""A capture keeps what it was asked for and nothing else, whichever way its block ends."""

import gc
import weakref

import pytest
import torch
from torch import nn

from featurekit.core.errors import CaptureError
from featurekit.taps.capture import capture


class Skipping(nn.Module):
    """Has an activation of its own at hand while its part runs."""

    def __init__(self, seen):
        super().__init__()
        self.part, self.rest, self.seen = nn.Linear(2, 2), nn.Identity(), seen

    def forward(self, x):
        skip = x + 1
        self.seen.append(weakref.ref(skip))
        return self.rest(self.part(x)) + skip


@pytest.fixture
def uncollected():
    """Nothing may wait for a collection of circles: on a GPU that memory would be missing."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def kept(stop_after, **others):
    """Capture once, let the network go, and tell what is still there."""
    seen = []
    network = Skipping(seen)
    with capture(network, {"part": "part"}, stop_after, **others) as found:
        network(torch.ones(1, 2))
    return found, weakref.ref(network), seen[0]


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("reduce", [None, lambda name, activation: activation.detach().clone()])
@pytest.mark.parametrize("stop_after", [False, True])
def test_the_rest_of_a_forward_and_the_network_are_gone_with_the_block(stop_after, reduce):
    with torch.no_grad():
        found, network, skip = kept(stop_after, reduce=reduce)
    assert skip() is None
    assert network() is None
    assert found["part"].shape == (1, 2)


@pytest.mark.usefixtures("uncollected")
@torch.no_grad()
def test_a_forward_that_leaves_two_blocks_at_once_is_gone():
    seen = []
    network = Skipping(seen)
    with capture(network, {"part": "part"}, stop_after=True), capture(network, {"rest": "rest"}):
        network(torch.ones(1, 2))
    assert seen[0]() is None


@pytest.mark.usefixtures("uncollected")
@torch.no_grad()
def test_a_part_that_is_taken_out_is_gone():
    network = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU(), nn.Linear(2, 2)))
    with capture(network, {"tap": "1.1"}):
        network(torch.ones(1, 2))
    part = weakref.ref(network[1][1])
    del network[1][1]
    assert part() is None


@torch.no_grad()
def test_what_was_left_early_and_written_to_is_refused_without_the_frames_of_the_forward():
    network = Skipping([])

    def left():
        with capture(network, {"part": "part", "again": "part:in"}, stop_after=True) as found:
            handle = network.part.register_forward_pre_hook(
                lambda *_: found.all("again")[0].add_(1)
            )
            try:
                network(torch.ones(1, 2))
            finally:
                handle.remove()

    with pytest.raises(CaptureError, match="written to in place later") as error:
        left()
    assert error.value.__context__ is None or error.value.__context__.__traceback__ is None
