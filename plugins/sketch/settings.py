"""How one style is learnt and how pictures are sketched in it."""

from dataclasses import dataclass, field

PUBLISHED, RELEASED, TWO_SCALES = "published", "released", "two_scales"
NETWORKS = (PUBLISHED, RELEASED, TWO_SCALES)
BOTH, UNET, VAE = "both", "unet", "vae"
SOURCES = {BOTH: (UNET, VAE), UNET: (UNET,), VAE: (VAE,)}  # whose maps are learnt from
FEATURES = ("noise", "inversion")
# how timesteps were chosen; random: 13 of a run's for each picture, as the released code does
ANALYSED, OWN, RANDOM = "analysed", "own", "random"
CHOSEN_BY = (PUBLISHED, ANALYSED, OWN, RANDOM)
LINES, TONES = "lines", "tones"  # what a drawing is made of: tones are greys and colours
INKS = (LINES, "grey", "colour")  # in which a drawing is read
SAMPLED, WORLD = "sampled", "world"  # where pictures for a student come from, without photographs
PAIRS_OF = (SAMPLED, WORLD)
# what version 0.1 called a term of the loss, and keeps sessions of training by
NAMED_BEFORE = {"consistency": "alike"}
ENOUGH = 16  # this many steps and any larger number tell the representative timesteps apart


@dataclass(frozen=True)
class Weights:
    """What each term of the loss counts; as published, ``lines`` and ``consistency`` are 0."""

    l1: float = 30.0
    perceptual: float = 15.0
    clip: float = 30.0
    across: float = 1.0
    within: float = 1.0
    lines: float = 0.0
    consistency: float = 0.0


@dataclass(frozen=True)
class Reading:
    """How pictures become features."""

    kind: str = "noise"  # noise: noised to each timestep; inversion: by DDIM inversion
    steps: int = 50  # of a whole path; 13 of its levels are read
    seed: int = 0  # of the noise
    timesteps: tuple[int, ...] = ()  # train timesteps, rising; none: the published 13 of the path
    chosen_by: str = PUBLISHED  # one of ``CHOSEN_BY``: who chose them


@dataclass(frozen=True)
class Sampling:
    """The pictures without a drawing that a style is also learnt on."""

    count: int = 48
    guidance: float = 5.0
    fade: float = 5 / 6  # share of the training after which they have nothing of the source's text


@dataclass(frozen=True)
class Learning:
    """The training of one sketch network."""

    iterations: int = 1200
    learning_rate: float = 1e-4
    cool_down: float = 0.0  # last share, over which the rate falls; published: none
    mixing: float = 1.0  # rate of the weights of layers and timesteps, in learning rates
    views: int = 1  # the drawn picture itself, and others made of it
    weights: Weights = field(default_factory=Weights)
    checkpointed: bool = False  # train in less memory and more time, with the same results


@dataclass(frozen=True)
class Tiling:
    """How a picture that is larger than the model's is cut."""

    side_px: int = 512
    overlap_px: int = 128
