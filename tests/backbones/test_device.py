"""place: what ``auto`` means here, and refusals of what cannot be had."""

import pytest
import torch

from featurekit.backbones.device import place
from featurekit.core.errors import BackboneError, UnknownNameError

ACCELERATORS = {"cuda": torch.cuda, "mps": torch.backends.mps, "xpu": torch.xpu}


@pytest.mark.parametrize(
    ("here", "found"),
    [([], "cpu"), (["mps"], "mps"), (["xpu"], "xpu"), (["mps", "xpu"], "mps")],
)
def test_auto_is_the_accelerator_that_is_here_in_single_precision(monkeypatch, here, found):
    for name, module in ACCELERATORS.items():
        monkeypatch.setattr(module, "is_available", lambda name=name: name in here)
    assert place("auto", "auto") == (torch.device(found), torch.float32)


def test_auto_prefers_cuda(monkeypatch):
    for module in ACCELERATORS.values():
        monkeypatch.setattr(module, "is_available", lambda: True)
    assert place("auto", "float32")[0].type == "cuda"


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
    with pytest.raises(BackboneError, match=r"xpu, got 'gpu'$"):
        place("gpu", "auto")


KNOWN = ["mps", "xpu", "hpu", "ipu", "xla", "mtia", "privateuseone", "hip", "opencl", "mps:1"]


@pytest.mark.parametrize("device", KNOWN)
def test_a_device_that_torch_knows_and_this_machine_lacks_is_one_sentence(device):
    try:
        torch.empty(0, device=device)
    except Exception:  # whatever torch has for each of them
        with pytest.raises(BackboneError, match=f"^device {device} must exist here, .*auto$"):
            place(device, "auto")
    else:
        assert place(device, "auto")[0] == torch.device(device)


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
