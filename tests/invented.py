"""Anatomies and features made up for tests, and a count of the memory that code holds."""

import weakref
from math import ceil

import torch
from reduced import reduced_configs
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from featurekit.backbones.folder import bundled_configs, embedded_folder, read_configs
from featurekit_sketch.network.feature_taps import FeatureTaps
from featurekit_sketch.network.features import Features
from featurekit_sketch.two_scales.reading import TwoScaleMaps, map_specs


def configs(name):
    """Configs of the embedded model, of stock ``sd15``, or of SD's blocks made narrow."""
    known = {
        "embedded": lambda: read_configs(embedded_folder()),
        "sd15": lambda: bundled_configs("sd15"),
        "narrow": lambda: reduced_configs("sd15"),
    }
    return known[name]()


def feature_taps(name):
    """FeatureTaps of the model of that name."""
    found = configs(name)
    return FeatureTaps.of(found["unet"], found["vae"])


def features(maps, height, width, *, rows=1, timesteps=13, seed=0, dtype=torch.float32):
    """Features of noise with the shapes that an anatomy asks for."""
    generator = torch.Generator().manual_seed(seed)

    def noise(tap, *leading):
        sides = ceil(height / tap.stride), ceil(width / tap.stride)
        return torch.randn(*leading, tap.channels, *sides, generator=generator, dtype=dtype)

    return Features(
        unet={tap.name: noise(tap, rows, timesteps, 2) for tap in maps.unet},
        vae={tap.name: noise(tap, rows) for tap in maps.vae},
        image=torch.randn(rows, 3, height, width, generator=generator, dtype=dtype),
    )


def specs(name, *, timesteps=2, sources=("unet", "vae")):
    """The maps at two scales of the model of that name."""
    return map_specs(feature_taps(name), timesteps, sources)


def two_scale_maps(wanted, height, width, *, rows=1, seed=0):
    """Maps at two scales of noise, for pictures of these sides."""
    generator = torch.Generator().manual_seed(seed)

    def noise(spec):
        sides = ceil(height / spec.stride), ceil(width / spec.stride)
        return torch.randn(rows, spec.channels, *sides, generator=generator).half()

    image = 2 * torch.rand(rows, 3, height, width, generator=generator) - 1
    return TwoScaleMaps({spec.name: noise(spec) for spec in wanted}, image.half())


def one_half(given):
    """The same features with both halves of each pair the same memory."""
    unet = {name: one[:, :, :1].expand(-1, -1, 2, -1, -1, -1) for name, one in given.unet.items()}
    return Features(unet=unet, vae=given.vae, image=given.image)


class Held(TorchDispatchMode):
    """Counts the bytes of storages that operations make and that are alive."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self._known = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        given = {_storage(one)._cdata for one in tree_leaves((args, kwargs)) if _is(one)}
        out = func(*args, **kwargs)
        for one in tree_leaves(out):
            if _is(one) and _storage(one)._cdata not in given | set(self._known):
                self._watch(_storage(one))
        self.peak = max(self.peak, self.now)
        return out

    def _watch(self, storage):
        key, size = storage._cdata, storage.nbytes()
        self.now += size
        self._known[key] = weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key, size):
        del self._known[key]
        self.now -= size


def _is(leaf):
    return isinstance(leaf, torch.Tensor)


def _storage(tensor):
    return tensor.untyped_storage()
