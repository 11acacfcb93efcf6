"""double, rounded, placed: float64 where a device has it."""

import pytest
import torch
from emulated_mps import MPS, Emulated, OnMps

from featurekit.core.precision import double, double_device, has_double, placed, rounded


def test_a_cpu_has_float64_and_keeps_it():
    cpu = torch.device("cpu")
    assert has_double(cpu)
    assert double_device(cpu) == cpu
    one = torch.ones(2)
    assert double(one).dtype is placed(one.double(), cpu).dtype is torch.float64
    assert rounded(one.double(), one).dtype is torch.float32


@pytest.mark.parametrize(("has", "where"), [(True, "xpu"), (False, "cpu")])
def test_an_intel_gpu_is_asked(monkeypatch, has, where):
    class Properties:
        has_fp64 = has

    monkeypatch.setattr(torch.xpu, "get_device_properties", lambda device: Properties)
    assert has_double(torch.device("xpu")) is has
    assert double_device(torch.device("xpu")).type == where


def test_mps_has_none_and_the_cpu_stands_in():
    assert not has_double(MPS)
    with Emulated():
        there = torch.ones(2).to("mps")
        wide = double(there)
        assert (type(wide), wide.dtype) == (torch.Tensor, torch.float64)
        for back in (rounded(wide, there), placed(wide, MPS)):
            assert (type(back), back.dtype) == (OnMps, torch.float32)


def test_gradients_flow():
    z = torch.ones(2, requires_grad=True)
    (gradient,) = torch.autograd.grad(rounded(double(z) * 3, z).sum(), z)
    torch.testing.assert_close(gradient, torch.full((2,), 3.0))
