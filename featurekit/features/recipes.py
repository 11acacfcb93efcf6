"""Recipes: what papers read for a task, as records. Importing them does not import torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import index
from types import MappingProxyType
from typing import Literal, get_args

from featurekit.core.errors import ConfigError, UnknownNameError

Policy = Literal["mean", "antithetic", "clean"]


@dataclass(frozen=True)
class Ensemble:
    """How often a picture is read at each timestep, and with which noise.

    ``mean`` takes the mean over independent noises; ``antithetic`` over pairs of a noise and its
    negative, whose mean is exactly 0; ``clean`` gives the network the latent without any noise, as
    networks that were tuned for it want it.
    """

    policy: Policy = "mean"
    draws: int = 1  # readings to take the mean over

    def __post_init__(self) -> None:
        """Refuse a number of draws that the policy cannot have.

        Raises:
            UnknownNameError: there is no such policy.
            ConfigError: the number of draws does not fit it.
        """
        if self.policy not in get_args(Policy):
            raise UnknownNameError("ensemble policy", self.policy, get_args(Policy))
        wanted = {"mean": "at least 1", "antithetic": "even and at least 2", "clean": "1"}
        fits = {
            "mean": self.draws >= 1,
            "antithetic": self.draws >= 2 and self.draws % 2 == 0,
            "clean": self.draws == 1,
        }
        if not fits[self.policy]:
            raise ConfigError(
                f"the draws of the ensemble policy {self.policy} must be {wanted[self.policy]}, "
                f"got {self.draws}"
            )

    @classmethod
    def of(cls, given: int | str | Ensemble) -> Ensemble:
        """Read an ensemble from what a person may write for one.

        Args:
            given: draws to take the mean over, a word that ``named`` reads, or an ensemble.

        Returns:
            The ensemble.

        Raises:
            ConfigError: it is none of these, or its number does not fit.
            UnknownNameError: there is no such policy.
        """
        if isinstance(given, cls):
            return given
        if isinstance(given, str):
            return cls.named(given)
        if isinstance(given, int):
            return cls("mean", given)
        raise ConfigError(
            f"ensemble must be a number of noises, such as 8, a word, such as 'antithetic-8', or "
            f"an Ensemble, got {given!r}"
        )

    @classmethod
    def named(cls, word: str) -> Ensemble:
        """Read an ensemble from a word of a command line.

        Args:
            word: ``8`` (or ``mean-8``), ``antithetic-8``, ``clean``.

        Returns:
            The ensemble.

        Raises:
            ConfigError: the word is no such thing, or its number does not fit.
            UnknownNameError: there is no such policy.
        """
        policy, _, number = f"mean-{word}".partition("-") if word.isdigit() else word.partition("-")
        if policy not in get_args(Policy):
            raise UnknownNameError(
                "ensemble policy", policy, get_args(Policy), "a number alone is a mean over as many"
            )
        if number and not number.isdigit():
            raise ConfigError(f"ensemble must be such as 8, antithetic-8 or clean, got {word!r}")
        least = 2 if policy == "antithetic" else 1
        return cls(policy, int(number or least))  # type: ignore[arg-type]  # checked above

    def __str__(self) -> str:
        """The word that ``named`` reads."""
        return {"mean": str(self.draws), "clean": "clean"}.get(
            self.policy, f"{self.policy}-{self.draws}"
        )


@dataclass(frozen=True)
class Recipe:
    """What to read of each picture, and where that was found to be good.

    One tap, one timestep and a number or word for the ensemble are taken for what they mean.
    """

    taps: tuple[str, ...]  # names, aliases, roles, module paths or globs
    timesteps: tuple[float, ...]  # train timesteps, whole ones but of a flow
    ensemble: Ensemble = field(default_factory=Ensemble)
    paper: str = ""  # where it comes from
    backbone: str = ""  # what the figures of the paper were made with
    size_px: int = 0  # side of the pictures of the paper; 0: none is named
    task: str = ""  # what the paper read it for
    prompt: str = ""  # of the paper; {} stands for what the picture shows

    def __post_init__(self) -> None:
        """Take one of a kind for a list of one.

        Raises:
            ConfigError: a tap is no text, a timestep no number, or the ensemble is none.
            UnknownNameError: there is no such ensemble policy.
        """
        object.__setattr__(self, "taps", _texts(self.taps))
        object.__setattr__(self, "timesteps", _numbers(self.timesteps))
        object.__setattr__(self, "ensemble", Ensemble.of(self.ensemble))

    def words(self) -> tuple[str, ...]:
        """The recipe as ``key=value`` words of ``featurekit extract``."""
        timesteps = ",".join(map(str, self.timesteps))
        return (
            f"taps=[{','.join(self.taps)}]",
            f"timesteps=[{timesteps}]",
            f"ensemble={self.ensemble}",
        )


def _texts(taps: str | Sequence[str]) -> tuple[str, ...]:
    """Taps as they are kept."""
    if isinstance(taps, str):
        return (taps,)
    try:
        found = tuple(taps)
    except TypeError as error:
        raise ConfigError(f"taps must be names, such as ['up1'], got {taps!r}") from error
    for one in found:
        if not isinstance(one, str):
            raise ConfigError(f"a tap must be a name, got {one!r}")
    return found


def _numbers(timesteps: float | Sequence[float]) -> tuple[float, ...]:
    """Timesteps as they are kept, whole ones as whole numbers; arrays are lists as well."""
    given = timesteps if isinstance(timesteps, Iterable) else (timesteps,)
    try:
        return tuple(map(_number, given))
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"timesteps must be numbers, such as [261], got {timesteps!r}") from error


def _number(t: object) -> float:
    """A timestep, told apart from text and from truth."""
    if isinstance(t, (str, bytes)):
        raise TypeError(t)
    try:
        return index(t)  # type: ignore[arg-type]  # what is no whole number is told by its error
    except TypeError:
        real = float(t)  # type: ignore[arg-type]
        return int(real) if real == int(real) else real


_DIFT = "Tang et al. 2023 (DIFT), arXiv:2306.03881"
_GDF = "Meng et al. 2024 (Not All Diffusion Model Activations), arXiv:2410.03558"
_UP_RESNETS = tuple(f"up_blocks.{i}.resnets.{j}.conv2" for i in range(4) for j in range(3))

_CATEGORY = "a photo of a {}"
_MATCHING, _SEGMENTS, _DENSE = "correspondence", "video segments", "correspondence, segmentation"

_RECIPES = MappingProxyType(
    {
        "dift_spair": Recipe(
            ("up1",), (261,), Ensemble("mean", 8), _DIFT, "sd21", 768, _MATCHING, _CATEGORY
        ),
        "dift_hpatches": Recipe(("up2",), (0,), Ensemble("mean", 8), _DIFT, "sd21", task=_MATCHING),
        "dift_davis": Recipe(("up2",), (51,), Ensemble("mean", 8), _DIFT, "sd21", task=_SEGMENTS),
        # every fifth call of an inversion in 50 steps, which gives the network the latent and the
        # timestep that it comes from, the first one as -1; here that one is 0. The paper reads the
        # latents of the inversion (``extract_latents``); ``extract`` noises each level anew
        "hyperfeatures": Recipe(
            _UP_RESNETS,
            (0, 60, 160, 260, 360, 460, 560, 660, 760, 860, 960),
            Ensemble(),
            "Luo et al. 2023 (Diffusion Hyperfeatures), arXiv:2305.14334",
            "sd15",
            512,
            _MATCHING,
        ),
        "gdf_practical": Recipe(
            (
                "up_blocks.1.attentions.1.transformer_blocks.0.attn2.to_q",
                "up1.resnet2",
                "up_blocks.2.attentions.1.transformer_blocks.0.attn2.to_q",
                "up_blocks.3.attentions.0.transformer_blocks.0.attn1.to_k",
            ),
            (50,),
            Ensemble(),
            _GDF,
            "sd15",
            512,
            _DENSE,
        ),
        "gdf_practical_sdxl": Recipe(
            (
                "up-level0-repeat0-vit-block5-out",
                "up-level0-repeat0-vit-block7-out",
                "up-level1-repeat0-vit-block0-cross-q",
                "up-level1-repeat0-vit-block0-out",
            ),
            (50,),
            Ensemble(),
            _GDF,
            "sdxl",
            1024,
            _DENSE,
        ),
        # the paper's network is to answer alike at every timestep; this one is DIFT's
        "cleandift_spair": Recipe(
            ("up1",),
            (261,),
            Ensemble("clean"),
            "Stracke et al. 2024 (CleanDIFT), arXiv:2412.03439, whose weights it needs",
            "sd21",
            768,
            _MATCHING,
        ),
    }
)


def recipes() -> Mapping[str, Recipe]:
    """Every recipe by name.

    Returns:
        Records, in the order of their papers.
    """
    return _RECIPES


def recipe(name: str) -> Recipe:
    """Find a recipe.

    Args:
        name: a key of ``recipes()``.

    Returns:
        The record.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if name not in _RECIPES:
        raise UnknownNameError("recipe", name, _RECIPES)
    return _RECIPES[name]
