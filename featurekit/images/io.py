"""Files of pictures and of tensors, each read with care and written as a whole."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, PngImagePlugin
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save, save_file
from torch import Tensor

from featurekit.core.atomic import replacing
from featurekit.core.errors import ImageError, OutputError
from featurekit.core.file_bytes import RawTensor, dtype_code, not_whole, replacing_tensors
from featurekit.core.shapes import expect
from featurekit.images.colour_profiles import srgb_chunk
from featurekit.images.photo import Source, open_photo

_OF_NUMPY = {torch.float32, torch.float16, torch.float64, torch.int8}


def load_image(source: Source) -> Tensor:
    """Read a picture as the toolkit sees it: upright, RGB, over white where it is transparent.

    Args:
        source: file, Pillow image (any mode but float), or uint8 array (h w) or (h w 3).

    Returns:
        Image (1 3 h w) in [-1, 1], float32 on the CPU.

    Raises:
        ImageError: the file is missing, empty, damaged, animated, larger than 64 megapixels or
            smaller than 8 px, or an array has another shape or dtype.
    """
    picture = open_photo(source, of="image", background="white")
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].contiguous()
    return pixels.float().div_(127.5).sub_(1)


def image_to_pil(image: Tensor) -> Image.Image:
    """Convert to 8 bits by rounding; what a decoder puts outside [-1, 1] becomes black or white.

    Args:
        image: (1 3 h w) or (3 h w), nominally in [-1, 1], any device and float dtype.

    Raises:
        ShapeError: another shape.
        ImageError: the image holds NaN or infinities.
    """
    single = image[0] if image.ndim == 4 and len(image) == 1 else image
    expect(single, "c h w", of="image", c=3)
    levels = torch.empty(*single.shape[1:], 3, dtype=torch.uint8)
    for channel, seen in enumerate(single.detach()):  # one at a time: a picture may be large
        pixels = seen.to("cpu", torch.float32)
        if pixels.numel() and not torch.stack(pixels.aminmax()).isfinite().all():
            raise ImageError("a picture must hold finite numbers, got NaN or infinity")
        levels[..., channel] = pixels.add(1).mul_(127.5).round_().clamp_(0, 255)
    return Image.fromarray(levels.numpy())


def write_image(
    image: Tensor | Image.Image, path: Path | str, words: Mapping[str, str] | None = None
) -> Path:
    """Write a picture in the format of the file's ending; a PNG says that its colours are sRGB.

    Args:
        image: Pillow image, or (1 3 h w) in [-1, 1].
        path: target; its folder must exist.
        words: text to store in a PNG, by keywords of Latin letters.

    Returns:
        The path.

    Raises:
        OutputError: the ending is no picture format, or the file cannot be written.
    """
    picture = image if isinstance(image, Image.Image) else image_to_pil(image)
    ending = Path(path).suffix.lower()
    kind = Image.registered_extensions().get(ending)
    if kind not in Image.SAVE:
        raise OutputError(f"a picture's name must end in a format, such as .png, got {str(path)!r}")
    if words and kind != "PNG":
        raise OutputError(f"words must be stored in a .png, got {str(path)!r}")
    own = picture.info.get("icc_profile")  # of a Pillow image; Pillow writes it
    said = PngImagePlugin.PngInfo() if own else srgb_chunk()
    for name, word in (words or {}).items():
        said.add_text(name, word)
    with replacing(path) as temporary:
        picture.save(temporary, format=kind, **({"pnginfo": said} if kind == "PNG" else {}))
    return Path(path)


def words_in_png(path: Path) -> dict[str, str]:
    """Read the text that ``write_image`` has stored; empty where there is no such picture."""
    try:
        with Image.open(path, formats=["PNG"]) as found:
            return {str(name): word for name, word in found.info.items() if isinstance(word, str)}
    except (OSError, SyntaxError, ValueError):
        return {}


def write_gif(frames: Sequence[Image.Image], path: Path | str, frame_ms: int) -> Path:
    """Write frames as an endless animation.

    Args:
        frames: at least one, all of one size.
        path: target; its folder must exist.
        frame_ms: milliseconds a frame stays; GIF counts in steps of 10.

    Returns:
        The path.

    Raises:
        OutputError: there is no frame, or the file cannot be written.
    """
    if not frames:
        raise OutputError(f"an animation needs at least one frame, got none for {str(path)!r}")
    first, *rest = (frame.convert("RGB").quantize(dither=Image.Dither.NONE) for frame in frames)
    with replacing(path) as temporary:
        first.save(
            temporary, format="GIF", save_all=True, append_images=rest, duration=frame_ms, loop=0
        )
    return Path(path)


def write_tensors(
    tensors: Mapping[str, Tensor], path: Path | str, metadata: Mapping[str, str] | None = None
) -> Path:
    """Write tensors by name as a safetensors file.

    Args:
        tensors: any shapes; written from the CPU, contiguous.
        path: target; its folder must exist.
        metadata: words to store beside them.

    Returns:
        The path.

    Raises:
        OutputError: the file cannot be written.
    """
    ready = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with replacing_tensors(path) as temporary:
        save_file(ready, temporary, metadata=dict(metadata) if metadata else None)
    return Path(path)


def tensors_as_file(tensors: Mapping[str, Tensor]) -> bytes:
    """Word tensors as the bytes of the file that ``write_tensors`` writes."""
    content: bytes = save(
        {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    )
    return content


def tensors_of_file(content: bytes, path: str) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file from its bytes.

    Args:
        content: the bytes.
        path: of the file, for the message.

    Raises:
        ConfigError: it is no whole safetensors file.
    """
    try:
        tensors: dict[str, Tensor] = load(content)
    except (SafetensorError, ValueError) as error:
        raise not_whole(path, error) from error
    return tensors


def as_bytes(tensor: Tensor) -> RawTensor:
    """See a tensor as its bytes, in its own memory where it is contiguous.

    Args:
        tensor: any shape, on the CPU.

    Raises:
        OutputError: no safetensors file has its dtype.
    """
    plain = tensor.detach().contiguous()
    if tensor.dtype in _OF_NUMPY:
        data = plain.numpy().reshape(-1).view(np.uint8)  # in half the time of torch
    else:
        data = plain.reshape(-1).view(torch.uint8).numpy()
    return RawTensor(_code_of(tensor.dtype), tuple(tensor.shape), data)


@cache
def _code_of(dtype: torch.dtype) -> str:
    return dtype_code(str(dtype).removeprefix("torch."))


def read_tensors(path: Path | str) -> dict[str, Tensor]:
    """Read a safetensors file onto the CPU.

    Raises:
        ConfigError: there is no such file, or it is no whole safetensors file.
    """
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise not_whole(path, error) from error
    return tensors
