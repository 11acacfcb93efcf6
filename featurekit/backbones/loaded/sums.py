"""Numbers of tensors as sums and hashes, to be compared without keeping them."""

from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import TypeAlias

import torch
from torch import Tensor, nn

Sum: TypeAlias = tuple[str, tuple[int, ...], tuple[int, ...]]
"""Of a tensor: its dtype, its shape, and two sums."""

_ODD = -7046029254386353131  # 2**64 divided by the golden ratio, odd, as a signed number


def sums_of(tensors: Mapping[str, Tensor]) -> dict[str, Sum]:
    """Add up each tensor's bytes as whole numbers, which is exact and the same on every device.

    Args:
        tensors: by name; one on the meta device has no sums.
    """
    found: dict[torch.device, dict[str, Tensor]] = {}
    with torch.no_grad():
        for name, tensor in tensors.items():
            if not tensor.is_meta:
                found.setdefault(tensor.device, {})[name] = _summed(tensor)
    told: dict[str, list[int]] = {}
    for sums in found.values():  # one transfer from each device
        told.update(zip(sums, torch.stack(list(sums.values())).tolist(), strict=True))
    return {
        name: (str(tensor.dtype), tuple(tensor.shape), tuple(told.get(name, ())))
        for name, tensor in tensors.items()
    }


def _summed(tensor: Tensor) -> Tensor:
    """Two sums (2) of the numbers of a tensor: of its columns and of its rows, each weighted."""
    flat = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
    if flat.numel() % 8 or flat.storage_offset() % 8:
        flat = nn.functional.pad(flat, (0, -flat.numel() % 8)).clone()
    words = flat.view(torch.int64)
    columns = 1 << (words.numel().bit_length() // 2)
    if words.numel() % columns:
        words = nn.functional.pad(words, (0, -words.numel() % columns))
    words = words.view(-1, columns)
    return torch.stack([_weighted(words.sum(0)), _weighted(words.sum(1))])


def _weighted(numbers: Tensor) -> Tensor:
    return (numbers * _weights(len(numbers), numbers.device)).sum()


@lru_cache(maxsize=512)
def _weights(count: int, device: torch.device) -> Tensor:
    """An odd number for each place, the same at every call; a network has few lengths."""
    return torch.arange(1, count + 1, device=device) * _ODD | 1


def digest_of(tensor: Tensor) -> str:
    """Hash the bytes of a tensor; words where it has none."""
    if tensor.is_meta:
        return "without numbers"
    flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return sha256(flat.numpy().data).hexdigest()
