"""What a file of updates must be, told by its header alone. Imports no torch."""

import re
from pathlib import Path

from featurekit.backbones.single_file.header import Header, read_header
from featurekit.core.errors import BackboneError

HALF = re.compile(r"(?P<layer>.*?)[._]lora[._](linear_layer\.)?(?P<half>down|up|A|B)\.weight")
_OTHERS = {  # updates of other forms, by what their tensors are called
    r"dora_scale|lora_magnitude_vector": "DoRA, whose magnitudes have no place in diffusers",
    r"hada_w": "LoHa",
    r"lokr_w": "LoKr",
    r"oft_|boft_": "OFT",
    r"lora_mid": "LoCon with a middle factor",
    r"\.diff(_b)?$|\.set_weight$": "differences of whole layers",
}


def update_header(path: Path) -> Header:
    """Read the header of a file with a LoRA, and nothing else of it.

    Args:
        path: safetensors file.

    Returns:
        Its header.

    Raises:
        BackboneError: there is no such file; or it holds no LoRA, or an update of another form.
    """
    path = path.expanduser()
    if not path.is_file():
        raise BackboneError(f"lora_file must be an existing .safetensors file, got {str(path)!r}")
    header = read_header(path)
    for pattern, kind in _OTHERS.items():
        known = [name for name in header.shapes if re.search(pattern, name)]
        if known:
            raise BackboneError(
                f"lora_file must be a LoRA, {header.path} holds {kind} ({known[0]}); merge it into "
                f"its model with what trained it, and load that"
            )
    if not any(HALF.fullmatch(name) for name in header.shapes):
        raise BackboneError(
            f"lora_file must be a LoRA, {header.path} holds {len(header.shapes)} tensors, none of "
            f"them a half of an update ({', '.join(sorted(header.shapes)[:2]) or 'none at all'})"
        )
    return header
