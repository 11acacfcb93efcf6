"""What the small subcommands take: their keys, defaults and help, in one place each. No torch."""

from dataclasses import dataclass, field

from featurekit.overrides import NEEDED


@dataclass
class TapsOptions:
    """What ``featurekit taps`` takes."""

    backbone: str = field(
        default="embedded", metadata={"help": "name of a backbone, or a diffusers folder"}
    )


@dataclass
class ExtractOptions:
    """What ``featurekit extract`` takes."""

    image: str = field(default=NEEDED, metadata={"help": "the picture to look at"})
    taps: list[str] = field(
        default_factory=lambda: ["up1"],
        metadata={"help": "what to read; featurekit taps lists them"},
    )
    timesteps: list[int] = field(
        default_factory=lambda: [261], metadata={"help": "train timesteps, each a noise level"}
    )
    backbone: str = field(
        default="embedded", metadata={"help": "a name, a diffusers folder or a hub id"}
    )
    prompt: str = field(default="", metadata={"help": "what the picture shows"})
    ensemble: int = field(default=1, metadata={"help": "noises to take the mean over"})
    seed: int = field(default=0, metadata={"help": "of the noises"})
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:1, mps"})
    dtype: str = field(default="auto", metadata={"help": "auto, float32, float16, bfloat16"})
    out: str = field(default="features", metadata={"help": "folder for the results"})
