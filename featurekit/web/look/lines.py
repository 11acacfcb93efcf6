"""The lines of Python that give what the tab Look shows, to the last digit."""

import json

from featurekit.web.look.reading import Where
from featurekit.web.pictures import Picture

LEVELS = "[0].permute(1, 2, 0).add(1).mul(127.5).round().byte().numpy()"  # of 8 bits, as it is read


def of_match(
    model: str, where: Where, here: Picture, xy: tuple[float, float], there: Picture | None
) -> str:
    """Lines that end in ``heat`` and, where there is another picture, ``match``."""
    x, y = xy
    read = f"taps={_quoted(where.tap)}, timesteps={where.timestep}"
    lines = [
        *_begin(model, where, here, there),
        _picture("image", where, here),
        f"here = fk.extract(backbone, image, {read})[0]",
        f"heat = here.similarity({x!r}, {y!r})  # cosines (1 1 h w)",
    ]
    if there is not None:
        lines += [
            _picture("other", where, there),
            f"there = fk.extract(backbone, other, {read})[0]",
            f"other_heat = here.similarity({x!r}, {y!r}, there)",
            f"match = here.correspond({x!r}, {y!r}, there)  # .xy in px of the other, .score",
        ]
    return "\n".join(lines) + "\n"


def of_colours(model: str, where: Where, picture: Picture) -> str:
    """Lines that end in ``colours``, a Pillow image."""
    read = f"taps={_quoted(where.tap)}, timesteps={where.timestep}"
    lines = [
        *_begin(model, where, picture),
        _picture("image", where, picture),
        f"colours = fk.extract(backbone, image, {read})[0].to_pil()",
    ]
    return "\n".join(lines) + "\n"


def of_words(model: str, where: Where, picture: Picture, prompt: str, words: str) -> str:
    """Lines that end in ``heat``, (h w)."""
    t, tap = where.timestep, where.tap
    lines = [
        "import torch",
        *_begin(model, where, picture),
        _picture("image", where, picture),
        "with torch.no_grad():",
        "    z0 = backbone.encode(image)",
        "    eps = torch.randn(z0.shape, generator=torch.Generator().manual_seed(0))",
        f"    z = backbone.noise.noised(z0, eps.to(z0), {t})",
        f"    words = fk.to_tokens(backbone.token_indices({_quoted(prompt)}, {_quoted(words)}))",
        f"    told = backbone.sized(backbone.embed({_quoted(prompt)}), tuple(image.shape[2:]))",
        f"    maps = backbone.addresses({_quoted(tap)})",
        "    with fk.attention_maps(backbone.denoiser, maps, reduce=words) as seen:",
        f"        backbone.predictor(told)(z, {t})",
        f"    heat = seen.as_map({_quoted(tap)})[0].mean(dim=0)",
    ]
    return "\n".join(lines) + "\n"


def _begin(model: str, where: Where, *pictures: Picture | None) -> list[str]:
    shrunk = any(one is not None and _is_shrunk(one, where) for one in pictures)
    return [
        *(["from PIL import Image"] if shrunk else []),
        "import featurekit as fk",
        f"backbone = fk.load_backbone({_quoted(model)})",
    ]


def _picture(name: str, where: Where, picture: Picture) -> str:
    read = f"fk.load_image({_quoted(picture.name)})"
    if not _is_shrunk(picture, where):
        return f"{name} = {read}"
    size = picture.at_most(where.side).size
    whole = f"Image.fromarray({read}{LEVELS})"
    return f"{name} = fk.load_image({whole}.resize({size}, Image.Resampling.LANCZOS))"


def _quoted(text: str) -> str:
    """A text as Python has it, in double quotes."""
    return json.dumps(text, ensure_ascii=False)


def _is_shrunk(picture: Picture, where: Where) -> bool:
    return max(picture.width, picture.height) > where.side
