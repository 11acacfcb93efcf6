"""What the small subcommands take: their keys, defaults and help, in one place each. No torch."""

from dataclasses import dataclass, field

from featurekit.features.recipes import recipes
from featurekit.pipeline.overrides import NEEDED


@dataclass
class ModelOptions:
    """Which model a command is about, and what it is given beside its own parts."""

    backbone: str = field(
        default="embedded",
        metadata={"help": "a name, a diffusers folder, a .safetensors file or a hub id"},
    )
    vae: str = field(
        default="", metadata={"help": "another autoencoder: a folder or a .safetensors file"}
    )
    prediction: str = field(
        default="", metadata={"help": "epsilon or v_prediction, where the model does not say"}
    )
    lora_file: str = field(
        default="", metadata={"help": "an update of its layers: a .safetensors file"}
    )
    lora_scale: float = field(default=1.0, metadata={"help": "factor of that update"})


@dataclass
class BackboneOptions(ModelOptions):
    """A model that a command loads."""

    compile: bool = field(
        default=False, metadata={"help": "compile its repeated blocks; minutes, before the first"}
    )
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:1, mps"})
    dtype: str = field(default="auto", metadata={"help": "auto, float32, float16, bfloat16"})


@dataclass
class TapsOptions(ModelOptions):
    """What ``featurekit taps`` takes."""

    taps: list[str] = field(
        default_factory=list,
        metadata={"help": "names, roles, paths or globs; all if none is given"},
    )


@dataclass
class ExtractOptions(BackboneOptions):
    """What ``featurekit extract`` takes."""

    image: str = field(
        default=NEEDED,
        metadata={"help": "a picture, a folder, a tar or parquet file; photos-{00..31}.tar"},
    )
    columns: list[str] = field(
        default_factory=list, metadata={"help": "of parquet: ids, pictures; else [id,image]"}
    )
    recipe: str = field(
        default="",
        metadata={"help": f"taps, timesteps and ensemble of a paper: {', '.join(recipes())}"},
    )
    taps: list[str] = field(
        default_factory=lambda: ["up1"],
        metadata={"help": "names, roles, paths, globs; featurekit taps lists them"},
    )
    timesteps: list[int] = field(
        default_factory=lambda: [261], metadata={"help": "train timesteps, each a noise level"}
    )
    prompt: str = field(default="", metadata={"help": "what the picture shows"})
    ensemble: str = field(
        default="1", metadata={"help": "noises to take the mean over; antithetic-8; clean"}
    )
    seed: int = field(default=0, metadata={"help": "of the noises"})
    batch: int = field(default=8, metadata={"help": "pictures in a call of the network, at most"})
    rows: int = field(default=64, metadata={"help": "rows in a call, over noises and timesteps"})
    out: str = field(default="features", metadata={"help": "folder for the results"})
    store: str = field(
        default="", metadata={"help": "in place of out: a store, a folder or s3://bucket/prefix"}
    )
    reduce: list[str] = field(
        default_factory=list, metadata={"help": "for a store, e.g. [pool:2,pca:64,fp16]"}
    )
    trajectories: str = field(
        default="",
        metadata={"help": "for a store of inversions in place of features: 50, anderson-50"},
    )
    shard: str = field(
        default="", metadata={"help": "i/n of a store's pictures; else what a launcher says"}
    )
    engine: str = field(
        default="", metadata={"help": "ray: workers of a store on every device of RAY_ADDRESS"}
    )
    workers: int = field(default=0, metadata={"help": "of the engine; 0: one a device"})
    dry_run: bool = field(
        default=False,
        metadata={"help": "or --dry-run: say what a store will cost, write nothing"},
    )


@dataclass
class InvertOptions(BackboneOptions):
    """What ``featurekit invert`` takes."""

    image: str = field(default=NEEDED, metadata={"help": "the picture to invert"})
    prompt: str = field(default="", metadata={"help": "what the picture shows"})
    guidance: float = field(default=1.0, metadata={"help": "of both ways; 1 is without"})
    method: str = field(
        default="anderson",
        metadata={"help": "ddim, anderson, residual, edict, edit_friendly, midpoint, fireflow"},
    )
    refine: int | None = field(
        default=None, metadata={"help": "iterations a step, at most; 3 for anderson, else none"}
    )
    tol: float | None = field(
        default=None, metadata={"help": "rms at which a step is iterated no more"}
    )
    steps: int = field(default=50, metadata={"help": "timesteps of the run"})
    spacing: str = field(
        default="", metadata={"help": "leading, trailing or linspace; else what the model says"}
    )
    seed: int = field(default=0, metadata={"help": "of the noise that edit_friendly draws"})
    out: str = field(default="inversion", metadata={"help": "folder for the results"})


@dataclass
class StudioOptions:
    """What ``featurekit studio`` takes."""

    image: str = field(default="", metadata={"help": "the picture to begin with"})
    backbone: str = field(
        default="embedded", metadata={"help": "a name, a diffusers folder or a hub id"}
    )
    folder: str = field(
        default="", metadata={"help": "what the studio keeps; else in your cache folder"}
    )
    host: str = field(
        default="127.0.0.1",
        metadata={"help": "address to listen at; beyond this machine a token is asked for"},
    )
    port: int = field(default=7870, metadata={"help": "0: any that is free"})
    browser: bool = field(default=True, metadata={"help": "open the page in the browser"})


@dataclass
class ScenesOptions:
    """What ``featurekit scenes`` takes."""

    seed: int = field(default=0, metadata={"help": "of the first scene"})
    count: int = field(default=4, metadata={"help": "scenes and moves of every kind"})
    size: int = field(default=96, metadata={"help": "side of a picture in px, 8 to 2048"})
    out: str = field(default="scenes", metadata={"help": "folder for the sheets"})


@dataclass
class AnalyseOptions(BackboneOptions):
    """What every analysis takes."""

    out: str = field(default="analysis", metadata={"help": "folder for figures and picture"})


@dataclass
class TimestepsOptions(AnalyseOptions):
    """What ``featurekit analyse timesteps`` takes."""

    images: str = field(default="", metadata={"help": "folder of pictures; else held-out scenes"})
    count: int = field(default=8, metadata={"help": "pictures, at most"})
    taps: list[str] = field(
        default_factory=list, metadata={"help": "what is clustered; else the decoder's resnets"}
    )
    steps: int = field(default=50, metadata={"help": "timesteps of the run, 4 or more"})
    choose: int = field(default=0, metadata={"help": "how many; 0 lets the curve decide"})
    source: str = field(
        default="noised",
        metadata={"help": "latents: pictures noised or inverted; sampled, as the paper's are"},
    )
    seed: int = field(default=0, metadata={"help": "of the noise, and of what is sampled"})


@dataclass
class PlacesOptions(AnalyseOptions):
    """What ``featurekit analyse positions`` and ``norms`` take."""

    images: str = field(default="", metadata={"help": "folder of pictures; else held-out scenes"})
    count: int = field(default=32, metadata={"help": "pictures, at most"})
    taps: list[str] = field(
        default_factory=lambda: ["down0", "down1", "up0", "up1", "up2", "up3"],
        metadata={"help": "what to look at; featurekit taps lists them"},
    )
    timestep: int = field(default=101, metadata={"help": "train timestep, a noise level"})
    seed: int = field(default=0, metadata={"help": "of the noise"})


@dataclass
class LabelsOptions(AnalyseOptions):
    """What ``featurekit analyse labels`` takes."""

    image: str = field(default="", metadata={"help": "the labelled picture; else scenes"})
    mask: str = field(
        default="", metadata={"help": "its classes: flat greys or colours, or a palette"}
    )
    images: str = field(default="", metadata={"help": "folder of pictures to label"})
    side: int = field(default=0, metadata={"help": "longer side in px; 0: what the model knows"})
    pairs: int = field(default=4, metadata={"help": "of held-out scenes, for each kind"})
    kinds: list[str] = field(
        default_factory=list, metadata={"help": "of scenes, featurekit scenes shows them; all"}
    )
    taps: list[str] = field(
        default_factory=lambda: ["up1", "up2"], metadata={"help": "what is compared, together"}
    )
    timestep: int = field(default=101, metadata={"help": "train timestep, a noise level"})
    seed: int = field(default=0, metadata={"help": "of the noise"})


@dataclass
class PckOptions(AnalyseOptions):
    """What ``featurekit pck`` takes."""

    data: str = field(default="", metadata={"help": "folder of SPair-71k; else held-out scenes"})
    split: str = field(default="test", metadata={"help": "of SPair-71k: trn, val, test"})
    categories: list[str] = field(
        default_factory=list, metadata={"help": "of SPair-71k, or kinds of scenes; none: all"}
    )
    count: int = field(default=10, metadata={"help": "pairs of each category; 0: all of a folder"})
    alpha: float = field(default=0.1, metadata={"help": "tolerance, share of the longer side"})
    taps: list[str] = field(
        default_factory=lambda: ["up2"], metadata={"help": "what is compared, together"}
    )
    timesteps: list[int] = field(
        default_factory=lambda: [101], metadata={"help": "train timesteps, compared together"}
    )
    recipe: str = field(
        default="",
        metadata={"help": "of a paper, e.g. dift_spair; gives taps, timesteps, ensemble"},
    )
    ensemble: str = field(
        default="1", metadata={"help": "noises to take the mean over; antithetic-8; clean"}
    )
    prompt: str = field(
        default="", metadata={"help": "what pictures show; {category} stands for their category"}
    )
    side: int = field(default=0, metadata={"help": "longer side in px; 0: what the model knows"})
    seed: int = field(default=0, metadata={"help": "of the noises"})
    controls: list[str] = field(
        default_factory=lambda: ["random", "pixels"],
        metadata={"help": "beside the network: one of random weights, raw pixels"},
    )


@dataclass
class TrainOptions:
    """What ``featurekit train-embedded`` takes; 0 means what the recipe says."""

    recipe: str = field(default="64px", metadata={"help": "64px for a CPU, 128px for a GPU"})
    folder: str = field(
        default="runs/embedded", metadata={"help": "for scenes, checkpoints, model and report"}
    )
    stages: list[str] = field(
        default_factory=lambda: ["scenes", "vae", "decoder", "latents", "unet", "clip", "report"],
        metadata={"help": "what to do, in this order; what is complete is skipped"},
    )
    docs: str = field(default="", metadata={"help": "for the model card; else the folder"})
    start: str = field(
        default="", metadata={"help": "a model folder to start from; --continue: the shipped one"}
    )
    scenes: int = field(default=0, metadata={"help": "scenes to render"})
    vae_samples: int = field(default=0, metadata={"help": "pictures shown to the autoencoder"})
    decoder_samples: int = field(
        default=0, metadata={"help": "pictures shown to its decoder alone, afterwards"}
    )
    unet_samples: int = field(default=0, metadata={"help": "latents shown to the denoiser"})
    clip_samples: int = field(default=0, metadata={"help": "pairs shown to CLIP"})
    batch: int = field(default=0, metadata={"help": "samples per step, where memory is short"})
    workers: int = field(default=0, metadata={"help": "processes on a CPU; 0: up to two"})
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:1"})
