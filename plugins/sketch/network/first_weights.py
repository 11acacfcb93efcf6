"""First weights of a network: drawn of a seed, whatever else the process does meanwhile."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def first_weights(seed: int) -> Iterator[None]:
    """Let modules that are made in the block draw their weights of a seed.

    They draw of torch's own generator, which is left as it was. That is one for the whole process,
    and the studio learns in one thread while another loads a style: so one thread at a time.

    Args:
        seed: of the weights.
    """
    with _ONE_AT_A_TIME, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed CUDA as well
        yield
