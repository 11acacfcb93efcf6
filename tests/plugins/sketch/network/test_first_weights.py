"""First weights: of their seed alone, also while another thread draws some."""

import threading

import torch
from torch import nn

from featurekit_sketch.network.first_weights import first_weights


def made(seed, meanwhile=lambda: None):
    with first_weights(seed):
        first = nn.Linear(3, 3)
        meanwhile()
        return torch.cat([first.weight, nn.Linear(3, 3).weight])


def test_the_global_generator_is_left_as_it_was():
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    assert not torch.equal(made(0), made(1))
    assert torch.equal(torch.rand(3), wanted)


def test_weights_of_a_thread_are_not_drawn_by_another():
    amid, done, found = threading.Event(), threading.Event(), []

    def pause():
        amid.set()
        done.wait()

    other = threading.Thread(target=lambda: found.append(made(1, pause)))

    def begin():
        other.start()
        amid.wait(0.2)  # it is not amid its own until these weights are drawn

    first = made(0, begin)
    done.set()
    other.join()
    assert torch.equal(first, made(0))
    assert torch.equal(found[0], made(1))
