"""Where a model goes and in which numbers: what ``auto`` means, and what cannot be had."""

from collections.abc import Callable

import torch

from featurekit.core.errors import BackboneError, UnknownNameError

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

_AUTO: dict[str, Callable[[], bool]] = {  # by what ``auto`` prefers
    "cuda": lambda: torch.cuda.is_available(),
    "mps": lambda: torch.backends.mps.is_available(),
    "xpu": lambda: torch.xpu.is_available(),
}


def place(device: str | torch.device, dtype: str | torch.dtype) -> tuple[torch.device, torch.dtype]:
    """Decide device and dtype.

    Args:
        device: ``auto`` (the first of CUDA, MPS and XPU that is here, else the CPU) or any torch
            device.
        dtype: ``auto`` (float32 off CUDA, else bfloat16 where supported, else float16), the name
            of one of ``DTYPES``, or a torch dtype.

    Returns:
        Device and floating dtype.

    Raises:
        BackboneError: the device is none, or is not here; the dtype is not floating.
        UnknownNameError: there is no such dtype.
    """
    where = _device(device)
    if dtype == "auto":
        return where, _best_dtype(where)
    if isinstance(dtype, str):
        if dtype not in DTYPES:
            raise UnknownNameError("dtype", dtype, ("auto", *DTYPES))
        return where, DTYPES[dtype]
    if not dtype.is_floating_point:
        raise BackboneError(f"dtype must be a floating one, got {dtype}; use torch.float32")
    return where, dtype


def _device(device: str | torch.device) -> torch.device:
    if device == "auto":
        return torch.device(next((name for name, is_here in _AUTO.items() if is_here()), "cpu"))
    try:
        where = torch.device(device)
    except RuntimeError as error:
        raise BackboneError(
            f"device must be auto, cpu, cuda, cuda:1, mps or xpu, got {device!r}"
        ) from error
    if where.type == "cuda" and (where.index or 0) >= torch.cuda.device_count():
        raise BackboneError(
            f"device {device} must exist here, torch finds {torch.cuda.device_count()} CUDA "
            f"devices; use device=auto"
        )
    try:
        torch.empty(0, device=where)
    except (RuntimeError, AssertionError, ImportError, AttributeError) as error:
        raise BackboneError(
            f"device {device} must exist here, but this torch cannot put a tensor there; use "
            f"device=auto"
        ) from error
    return where


def _best_dtype(where: torch.device) -> torch.dtype:
    if where.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
