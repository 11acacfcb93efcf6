"""What the small subcommands take: their keys, defaults and help, in one place each. No torch."""

from dataclasses import dataclass, field

from featurekit.overrides import NEEDED


@dataclass
class TapsOptions:
    """What ``featurekit taps`` takes."""

    backbone: str = field(
        default="embedded", metadata={"help": "name of a backbone, or a diffusers folder"}
    )
    taps: list[str] = field(
        default_factory=list,
        metadata={"help": "names, roles, paths or globs; all if none is given"},
    )


@dataclass
class ExtractOptions:
    """What ``featurekit extract`` takes."""

    image: str = field(
        default=NEEDED, metadata={"help": "the picture to look at, or a folder of them"}
    )
    recipe: str = field(
        default="",
        metadata={"help": "of a paper, e.g. dift_spair; gives taps, timesteps, ensemble"},
    )
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
    ensemble: str = field(
        default="1", metadata={"help": "noises to take the mean over; antithetic-8; clean"}
    )
    seed: int = field(default=0, metadata={"help": "of the noises"})
    batch: int = field(default=8, metadata={"help": "pictures in a call of the network, at most"})
    rows: int = field(default=64, metadata={"help": "rows in a call, over noises and timesteps"})
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:1, mps"})
    dtype: str = field(default="auto", metadata={"help": "auto, float32, float16, bfloat16"})
    out: str = field(default="features", metadata={"help": "folder for the results"})


@dataclass
class ScenesOptions:
    """What ``featurekit scenes`` takes."""

    seed: int = field(default=0, metadata={"help": "of the first scene"})
    count: int = field(default=4, metadata={"help": "scenes and moves of every kind"})
    size: int = field(default=96, metadata={"help": "side of a picture in px, 8 to 2048"})
    out: str = field(default="scenes", metadata={"help": "folder for the sheets"})


@dataclass
class TrainOptions:
    """What ``featurekit train-embedded`` takes; 0 means what the recipe says."""

    recipe: str = field(default="64px", metadata={"help": "64px for a CPU, 128px for a GPU"})
    folder: str = field(
        default="runs/embedded", metadata={"help": "for scenes, checkpoints, model and report"}
    )
    stages: list[str] = field(
        default_factory=lambda: ["scenes", "vae", "latents", "unet", "clip", "report"],
        metadata={"help": "what to do, in this order; what is complete is skipped"},
    )
    docs: str = field(default="", metadata={"help": "for the model card; else the folder"})
    start: str = field(
        default="", metadata={"help": "a model folder to start from; --continue: the shipped one"}
    )
    scenes: int = field(default=0, metadata={"help": "scenes to render"})
    vae_samples: int = field(default=0, metadata={"help": "pictures shown to the autoencoder"})
    unet_samples: int = field(default=0, metadata={"help": "latents shown to the denoiser"})
    clip_samples: int = field(default=0, metadata={"help": "pairs shown to CLIP"})
    batch: int = field(default=0, metadata={"help": "samples per step, where memory is short"})
    workers: int = field(default=0, metadata={"help": "processes on a CPU; 0: up to two"})
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:1"})
