"""``featurekit fit-prior``: from captions, the prior that training draws its conditions of."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile

from featurekit import backbones
from featurekit.core.atomic import unwritable
from featurekit.core.errors import ConfigError, OutputError
from featurekit.pipeline.overrides import fill, usage
from featurekit.training.loop.progress_bars import bars
from featurekit_sketch.sampling.prior import COMPONENTS, fit_prior, save_prior, world_captions

HELP = ("-h", "--help")


@dataclass
class FitPriorOptions:
    """What ``featurekit fit-prior`` takes."""

    captions: str = field(
        default="", metadata={"help": "text file, a caption a line; else captions of the world"}
    )
    backbone: str = field(
        default="embedded", metadata={"help": "a name, a diffusers folder or a hub id"}
    )
    out: str = field(default="prior.safetensors", metadata={"help": "file for the prior"})
    components: int = field(
        default=COMPONENTS, metadata={"help": "axes to keep; fewer where captions span fewer"}
    )
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:1, mps"})


def main(words: Sequence[str]) -> int:
    """Fit a prior as the words say and write it.

    Args:
        words: overrides of ``FitPriorOptions``, or ``--help``.

    Returns:
        The exit code, 0.

    Raises:
        FeatureKitError: the words or the captions are wrong, the backbone cannot be loaded, or
            the file cannot be written.
    """
    if words and words[0] in HELP:
        summary = "fit the prior that training draws its conditions of: captions=FILE out=FILE"
        sys.stdout.write(f"featurekit fit-prior: {summary}\n\n{usage(FitPriorOptions)}\n")
        return 0
    options = fill(FitPriorOptions, words)
    if options.components < 1:
        raise ConfigError(f"components must be at least 1, got {options.components}")
    out = _place(options.out)
    if options.captions:
        captions, name = read_captions(options.captions), Path(options.captions).name
    else:
        captions, name = world_captions(), "the world"
    backbone = backbones.load(options.backbone, options.device)
    with bars() as begin:
        prior = fit_prior(
            backbone,
            captions,
            components=options.components,
            name=name,
            progress=begin("captions"),
        )
    save_prior(prior, out)
    found = len(prior.axes)
    asked = "" if found == options.components else f" (all they span, of {options.components})"
    sys.stdout.write(
        f"{out}: {found} components{asked} of {prior.source} keep {prior.kept:.1%} of the "
        f"variance\n"
    )
    return 0


def read_captions(path: Path | str) -> list[str]:
    """Read captions, one a line; blank lines are skipped and what comes twice counts once.

    Args:
        path: text file in UTF-8, with or without a byte order mark.

    Returns:
        The captions without the blanks around them, in the order of the file.

    Raises:
        ConfigError: there is no such file, it is no text in UTF-8, or has not two captions.
    """
    shown = repr(str(path))
    if Path(path).is_dir():
        raise ConfigError(f"captions must be a text file, but {shown} is a folder")
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigError(f"captions must be a text file, but {shown} is no such file") from error
    except OSError as error:
        raise ConfigError(f"captions must be readable, but {shown}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"captions must be text in UTF-8, but {shown} is not from byte {error.start} on; "
            f"save it as UTF-8"
        ) from error
    if "\0" in text:
        raise ConfigError(f"captions must be text in UTF-8, but {shown} holds null bytes")
    found = dict.fromkeys(filter(None, map(str.strip, text.split("\n"))))
    if len(found) < 2:
        raise ConfigError(
            f"captions must be at least 2 different ones, a line each, but {shown} has {len(found)}"
        )
    return list(found)


def _place(name: str) -> Path:
    """Where the prior goes, tried before any work is done for it."""
    out = Path(name)
    if out.suffix.lower() != ".safetensors":
        raise OutputError(f"a prior's name must end in .safetensors, got {name!r}")
    if out.exists() and not out.is_file():
        raise OutputError(f"a result must replace an ordinary file, got {name!r}")
    try:
        with TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise unwritable(out, error) from error
    return out
