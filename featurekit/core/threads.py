"""One order of every sum: on a CPU its last bits depend on how many threads share it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread for the length of the block, then on as many as before.

    What is computed on another device does not change. The number belongs to the whole process.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
