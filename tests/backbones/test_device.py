"""place: what ``auto`` means here, and refusals of what cannot be had."""

import pytest
import torch

from featurekit.backbones.device import place
from featurekit.core.errors import BackboneError, UnknownNameError


def test_auto_is_single_precision_on_a_machine_without_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert place("auto", "auto") == (torch.device("cpu"), torch.float32)


@pytest.mark.parametrize(("supported", "best"), [(True, torch.bfloat16), (False, torch.float16)])
def test_auto_on_cuda_is_bfloat16_where_there_is_such_arithmetic(monkeypatch, supported, best):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: supported)
    assert place("auto", "auto") == (torch.device("cuda"), best)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_dtype_may_be_a_name_or_the_thing_itself(dtype):
    expected = (torch.device("cpu"), getattr(torch, dtype))
    assert place("cpu", dtype) == expected
    assert place(torch.device("cpu"), getattr(torch, dtype)) == expected


def test_the_meta_device_is_a_device():
    assert place("meta", "auto") == (torch.device("meta"), torch.float32)


def test_a_word_that_is_no_device_is_refused():
    with pytest.raises(BackboneError, match=r"device must be auto, cpu, cuda.* got 'gpu'"):
        place("gpu", "auto")


def test_a_card_that_is_not_there_is_refused():
    with pytest.raises(
        BackboneError, match=r"device cuda:99 must exist here, torch finds \d+ CUDA"
    ):
        place("cuda:99", "auto")


def test_a_word_that_is_no_dtype_is_refused():
    with pytest.raises(UnknownNameError, match="no dtype named 'float23'; did you mean float32"):
        place("cpu", "float23")


def test_whole_numbers_are_refused():
    with pytest.raises(BackboneError, match=r"must be a floating one, got torch\.int64"):
        place("cpu", torch.int64)
