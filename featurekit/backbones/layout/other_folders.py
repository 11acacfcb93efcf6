"""What a folder is that is no Stable Diffusion in the diffusers layout, in a sentence. No torch."""

import json
from pathlib import Path
from typing import Any

from featurekit.backbones.layout.weight_files import contents

INDEX = "model_index.json"
_CHECKPOINTS = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")
_ADAPTERS = ("pytorch_lora_weights.safetensors", "adapter_config.json")
_RUNTIMES = {"model.onnx": "ONNX", "openvino_model.xml": "OpenVINO"}


def refusal(folder: Path, missing: str, needed: str) -> str:
    """Say what a folder is in which a part of a model is missing.

    Args:
        folder: what the user named.
        missing: the file that it lacks.
        needed: the files that it should have.

    Returns:
        The rule, what was found, what to do.
    """
    return (
        _another_model(folder)
        or _one_part(folder)
        or _another_runtime(folder)
        or _other_files(folder)
        or f"a diffusers folder must hold {needed}; {folder} has no {missing}, "
        f"it holds {contents(folder)}"
    )


def _another_model(folder: Path) -> str | None:
    """A whole pipeline of diffusers whose denoiser is no UNet."""
    index = _mapping(folder / INDEX)
    kind = index.get("_class_name", "a pipeline without a name")
    if (folder / "transformer").is_dir() or "transformer" in index:
        return (
            f"a model with a transformer must have a {INDEX} that names its transformer and no "
            f"unet, {folder} holds {kind}; download or copy the folder again"
        )
    if index and "unet" not in index:
        return f"a backbone must have a unet or transformer, {folder} holds {kind}, which has none"
    return None


def _one_part(folder: Path) -> str | None:
    """A network alone, as its own ``save_pretrained`` writes it."""
    config = _mapping(folder / "config.json")
    named = config.get("_class_name") or (config.get("architectures") or [None])[0]
    if named is None:
        return None
    return (
        f"a backbone must be the folder of a whole model with unet, vae, text_encoder, tokenizer "
        f"and scheduler, {folder} holds one part alone, a {named}; name the folder of the whole "
        f"pipeline, or put this part into it in the place of its own"
    )


def _another_runtime(folder: Path) -> str | None:
    for name, runtime in _RUNTIMES.items():
        if (folder / "unet" / name).is_file():
            return (
                f"a backbone must be PyTorch weights as safetensors, {folder} was exported for "
                f"{runtime} (unet/{name}); name the folder that it was exported from"
            )
    return None


def _other_files(folder: Path) -> str | None:
    """Adapters, and checkpoints of one file, which other programs use."""
    for name in _ADAPTERS:
        if (folder / name).is_file():
            return (
                f"a backbone must be a whole model, {folder} holds an adapter ({name}); "
                f"name the model that it was trained on"
            )
    files = sorted(path for path in folder.iterdir() if path.suffix in _CHECKPOINTS)
    whole = [path for path in files if path.suffix == ".safetensors"]
    if whole:
        return (
            f"a diffusers folder must hold a network in each of its folders, {folder} holds the "
            f"file {whole[0].name}; if that is a whole model, name the file itself: {whole[0]}"
        )
    return single_file(files[0]) if files else None


def single_file(path: Path) -> str:
    """Say that a pickle is not opened, and how it becomes a diffusers folder.

    Args:
        path: the file.

    Returns:
        The rule, what was found, what to do.
    """
    return (
        f"a backbone must be a diffusers folder or a .safetensors file, got the file {path}; "
        f"convert it once with diffusers: StableDiffusionPipeline.from_single_file({path.name!r})"
        f".save_pretrained('model'), for an XL StableDiffusionXLPipeline"
    )


def _mapping(path: Path) -> dict[str, Any]:
    """A JSON object; nothing where there is none, since here it only helps to word a refusal."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
