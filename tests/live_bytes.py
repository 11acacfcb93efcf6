"""Counts the bytes of tensors that live at once, also of those on the meta device."""

import weakref

import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """While the block runs: ``peak`` is the most that tensors made in it held at once."""

    def __init__(self):
        super().__init__()
        self._held, self._now, self.peak = {}, 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = {self._key(one) for one in tree_leaves((args, kwargs)) if torch.is_tensor(one)}
        result = func(*args, **(kwargs or {}))
        for one in tree_leaves(result):
            if torch.is_tensor(one) and self._key(one) not in given:
                self._hold(one)
        return result

    @staticmethod
    def _key(tensor):
        return tensor.untyped_storage()._cdata

    def _hold(self, tensor):
        key, storage = self._key(tensor), tensor.untyped_storage()
        if key not in self._held:
            self._held[key] = storage.nbytes()
            self._now += storage.nbytes()
            self.peak = max(self.peak, self._now)
            weakref.finalize(storage, self._gone, key)

    def _gone(self, key):
        self._now -= self._held.pop(key, 0)


class FusedAttention(TorchFunctionMode):
    """Attention as devices compute it; meta tensors would be given all weights at once."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        assert not any((kwargs or {}).get(name) for name in ("attn_mask", "is_causal"))
        fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        return fused(*args[:3], 0.0, False)[0]


def peak_bytes(call):
    """The most bytes that a call's tensors held at once."""
    with FusedAttention(), LiveBytes() as live:
        call()
    return live.peak
