"""device=mps is offered, but float64 tensors are made there, which Apple's MPS does not have.

No such hardware is needed: a stand-in computes on the CPU and raises what torch raises wherever a
float64 tensor would come to lie on MPS; what it lets pass may still fail there.
Expected: nothing raises. Seen to raise: the levels of a batch of timesteps, hence the LoRA fit that
drag begins with; correspond; pca, hence the pictures that extract writes and what a notebook shows.
The inversions pass.
"""

import sys
from dataclasses import replace

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

import featurekit as fk
from featurekit.diffusion.denoising_objective import denoising_objective

MPS, CPU = torch.device("mps"), torch.device("cpu")


class OnMps(torch.Tensor):
    """A tensor that says it is on MPS."""

    device = property(lambda self: MPS)

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return computed(func, args, kwargs or {})


def on_mps(value):
    return type(value) is OnMps or (
        isinstance(value, (str, torch.device)) and str(value).startswith("mps")
    )


def arrived(value):
    if isinstance(value, torch.Tensor) and value.dtype is torch.float64:
        raise TypeError("cannot convert an MPS tensor to float64, which MPS does not support")
    return value.as_subclass(OnMps) if type(value) is torch.Tensor else value


def computed(func, args, kwargs):
    given, leaves = [*args, *kwargs.values()], []
    tree_map(leaves.append, (args, kwargs))
    home = getattr(func, "__name__", "") in ("cpu", "numpy", "tolist", "item") or any(
        isinstance(value, (str, torch.device)) and str(value).startswith("cpu") for value in given
    )

    def plain(value):
        if type(value) is OnMps:
            return value.as_subclass(torch.Tensor)
        return CPU if on_mps(value) else value

    with torch._C.DisableTorchFunctionSubclass():
        out = func(*tree_map(plain, args), **tree_map(plain, kwargs))
    return tree_map(arrived, out) if any(map(on_mps, leaves)) and not home else out


class StandIn(TorchFunctionMode):
    """Sends what touches MPS through ``computed``."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        leaves = []
        tree_map(leaves.append, (args, kwargs or {}))
        return (
            computed(func, args, kwargs or {})
            if any(map(on_mps, leaves))
            else func(*args, **(kwargs or {}))
        )


backbone = fk.load_backbone("embedded", device="cpu")
words = backbone.embed("a house")
features = fk.extract(backbone, torch.rand(1, 3, 64, 64) * 2 - 1, taps=["up1"], timesteps=[261])[
    "up1"
]
schedule, failed = fk.Schedule.ddim(backbone.noise, 5), []
with StandIn():
    z = torch.zeros(1, 8, 16, 16).to("mps")
    there = replace(features, tensor=features.tensor.to("mps"))
    for name, asked in {
        "levels of a batch": lambda: backbone.noise.level(torch.tensor([261, 301]).to("mps")),
        "LoRA objective": lambda: denoising_objective(backbone, (z, z), words, 2)(
            torch.Generator().manual_seed(0)
        ),
        "correspond": lambda: there.correspond(10, 10, there),
        "pca": lambda: there.pca(3),
        "picture of features": there.to_pil,
        "ddim": lambda: fk.invert(lambda z, t: z * 0.1, z, schedule),
        "anderson": lambda: fk.invert(lambda z, t: z * 0.1, z, schedule, method="anderson"),
        "edict": lambda: fk.invert(lambda z, t: z * 0.1, z, schedule, method="edict"),
    }.items():
        try:
            asked()
            print(f"{name:20} passes")
        except TypeError as error:
            failed.append(name)
            print(f"{name:20} {error}")
sys.exit(1 if failed else 0)
