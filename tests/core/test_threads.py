"""One thread for the length of a block, and as many as before after it."""

import pytest
import torch

from featurekit.core.threads import one_thread


@pytest.fixture
def three():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_a_block_has_one_thread_and_what_follows_has_as_many_as_before(three):
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3


def test_an_error_gives_the_threads_back(three):
    with pytest.raises(KeyError), one_thread():
        raise KeyError
    assert torch.get_num_threads() == 3


def test_a_function_may_be_marked_and_called_more_than_once(three):
    asked = one_thread()(torch.get_num_threads)
    assert [asked(), asked(), torch.get_num_threads()] == [1, 1, 3]
