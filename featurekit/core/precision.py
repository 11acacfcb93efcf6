"""float64 where a device has it, and what stands for it where not; where bfloat16 is fast.

Apple's MPS has no float64, nor have some of Intel's GPUs: there, arithmetic that needs it is done
on the CPU, and what must lie on the device is float32.
"""

import torch
from torch import Tensor


def has_double(device: torch.device) -> bool:
    """Tell whether float64 tensors can lie on a device.

    Args:
        device: any that torch knows.
    """
    if device.type == "mps":
        return False
    return device.type != "xpu" or bool(torch.xpu.get_device_properties(device).has_fp64)


def double_device(device: torch.device) -> torch.device:
    """Say where float64 arithmetic on what lies on a device is done: there, or on the CPU.

    Args:
        device: any that torch knows.
    """
    return device if has_double(device) else torch.device("cpu")


def double(tensor: Tensor) -> Tensor:
    """Take numbers to float64: on their device, or on the CPU where it has no float64.

    Args:
        tensor: of any dtype.

    Returns:
        The numbers; gradients flow.
    """
    return tensor.to(double_device(tensor.device)).double()


def rounded(tensor: Tensor, like: Tensor) -> Tensor:
    """Bring numbers to the dtype of a tensor, and only then to its device.

    Args:
        tensor: numbers of any dtype on any device.
        like: the tensor.

    Returns:
        The numbers.
    """
    return tensor.to(like.dtype).to(like.device)


def placed(tensor: Tensor, device: torch.device) -> Tensor:
    """Put numbers on a device, in float32 where they are float64 and it has none.

    Args:
        tensor: numbers of any dtype on any device.
        device: where they are needed.

    Returns:
        The numbers.
    """
    if tensor.dtype == torch.float64 and not has_double(device):
        tensor = tensor.float()
    return tensor.to(device)


def has_fast_bfloat16(device: torch.device) -> bool:
    """Tell whether a device multiplies bfloat16 itself, faster than float32.

    Args:
        device: any that torch knows.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    # releases of torch before it could be asked say nothing, and count as without
    asked: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(asked.get("avx512_bf16", False) or asked.get("amx_bf16", False))
