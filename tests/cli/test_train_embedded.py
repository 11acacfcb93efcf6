"""``featurekit train-embedded`` from its words to its files, at a size that takes seconds."""

import json
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from interrupts import hear
from safetensors.torch import load_file

from featurekit.cli.router import main
from featurekit.scenes import TRAIN_SEEDS, scene
from featurekit.training import recipe, stages
from featurekit.training.data import rendered_scenes
from featurekit.training.loop import checkpoints
from featurekit.training.recipe import SMALL, Run

TINY = replace(
    SMALL,
    name="tiny",
    size=16,
    scenes=8,
    drawings=6,
    latent_channels=3,
    vae_channels=(8, 8, 8),
    unet_channels=(16, 16, 32, 32),
    text_width=16,
    text_layers=1,
    vae=Run(samples=32, batch=8, rate=1e-3, average=0.9, warm_up=2),
    decoder=Run(samples=16, batch=8, rate=1e-3, average=0.9, warm_up=2),
    unet=Run(samples=32, batch=8, rate=1e-3, average=0.9, warm_up=2),
    clip=Run(samples=32, batch=8, rate=1e-3, average=0.9, warm_up=2),
)


@pytest.fixture(scope="module", autouse=True)
def tiny():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe, "RECIPES", {"tiny": TINY})
        patch.setattr(stages, "WATCHED", 5)
        yield


def train(folder, *words):
    return main(["train-embedded", "recipe=tiny", f"folder={folder}", "workers=1", *words])


UP_TO_UNET = "stages=[scenes,vae,latents,unet]"


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """A folder up to the denoiser, to be looked at."""
    folder = tmp_path_factory.mktemp("trained")
    assert train(folder, UP_TO_UNET) == 0
    return folder


@pytest.fixture
def own(trained, tmp_path):
    """Its copy, to go on in."""
    return shutil.copytree(trained, tmp_path / "own")


def test_the_stages_leave_a_pipeline_that_diffusers_loads(trained):
    pipe = StableDiffusionPipeline.from_pretrained(
        trained / "embedded", local_files_only=True, dtype=torch.float32
    )
    assert pipe.vae.config.scaling_factor == 1.0
    assert pipe.unet.config.in_channels == 3
    assert pipe.tokenizer.model_max_length == TINY.text_tokens


def test_what_is_complete_is_not_made_again(own):
    before = {p.name: p.stat().st_mtime_ns for p in own.glob("*.npy")}
    checkpoint = (own / "vae.ckpt.safetensors").read_bytes()
    assert train(own, UP_TO_UNET) == 0
    assert {p.name: p.stat().st_mtime_ns for p in own.glob("*.npy")} == before
    assert (own / "vae.ckpt.safetensors").read_bytes() == checkpoint


def test_pictures_and_captions_are_those_of_the_training_seeds(trained):
    pictures = rendered_scenes.Album(sorted(trained.glob("scenes-16-*.npy")))
    found = pictures.pictures(torch.tensor([0, 5])).permute(0, 2, 3, 1).numpy()
    for row, seed in zip(found, (TRAIN_SEEDS[0], TRAIN_SEEDS[5]), strict=True):
        one = scene(seed)
        assert np.array_equal(row[..., :3], np.asarray(one.image(16)))
        assert np.array_equal(row[..., 3], np.asarray(one.foreground(16)))
    assert pictures.captions[5] == [scene(TRAIN_SEEDS[5]).caption(i) for i in range(3)]


def test_a_decoder_trained_on_reaches_the_model_and_leaves_its_latents_alone(own):
    before = load_file(own / "vae" / "diffusion_pytorch_model.safetensors")
    stamps = {p.name: p.stat().st_mtime_ns for p in own.glob("latents-*.npy")}
    assert train(own, "stages=[decoder,unet]") == 0
    after = load_file(own / "vae" / "diffusion_pytorch_model.safetensors")
    shipped = load_file(own / "embedded" / "vae" / "diffusion_pytorch_model.safetensors")
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"decoder", "post_quant_conv"}
    progress, _ = checkpoints.load(own / "decoder.ckpt.safetensors", recipe=TINY, stage="decoder")
    assert (progress.samples, progress.started) == (16, "the finished autoencoder")
    assert all(torch.equal(shipped[name], after[name].half()) for name in after)
    assert {p.name: p.stat().st_mtime_ns for p in own.glob("latents-*.npy")} == stamps


def test_another_autoencoder_leaves_nothing_that_was_made_with_the_one_before(own):
    assert train(own, "stages=[decoder]") == 0
    assert (own / "decoder.ckpt.safetensors").exists()
    assert list(own.glob("latents-*.npy"))
    shutil.rmtree(own / "vae")
    assert train(own, "stages=[vae]", "vae_samples=48") == 0
    assert (own / "vae").exists()
    assert not (own / "decoder.ckpt.safetensors").exists()
    assert not list(own.glob("latents-*.npy"))


def test_mirrored_latents_are_those_of_the_mirrored_picture(trained):
    stored = np.load(sorted(trained.glob("latents-*.npy"))[0]).astype(np.float32)
    pictures = rendered_scenes.Album(sorted(trained.glob("scenes-16-*.npy")))
    image, _ = rendered_scenes.scaled(pictures.pictures(torch.tensor([2])))
    network = stages._read(stages.AutoencoderKL, trained / "vae").eval()
    with torch.no_grad():
        for side, shown in enumerate((image, image.flip(3))):
            mean = network.encode(shown).latent_dist.mean
            torch.testing.assert_close(
                torch.from_numpy(stored[2, side, :3]), mean[0], rtol=2e-2, atol=2e-3
            )


@contextmanager
def no_room_beyond(size):
    """No file may grow beyond so many bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_costs_a_sentence_and_nothing_that_was_kept(own, capsys):
    kept = {path: path.read_bytes() for path in own.rglob("*.*") if path.is_file()}
    for words in (("stages=[scenes]", "scenes=16"), ("stages=[unet]", "unet_samples=48")):
        capsys.readouterr()
        with no_room_beyond(1024):
            assert train(own, *words) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "must be writable to" in said
    assert {path: path.read_bytes() for path in own.rglob("*.*") if path.is_file()} == kept
    assert train(own, "stages=[unet]", "unet_samples=48") == 0


def test_a_model_is_gone_on_with_from_its_folder_alone(own, tmp_path):
    start = own / "embedded"
    (start / "training.json").write_text(json.dumps({"stages": {"unet": {"samples": 32}}}))
    code = train(tmp_path / "b", UP_TO_UNET, f"start={start}", "unet_samples=8")
    assert code == 0
    progress, tensors = checkpoints.load(
        tmp_path / "b" / "unet.ckpt.safetensors", recipe=TINY, stage="unet"
    )
    assert (progress.before, progress.samples, progress.started) == (32, 8, "embedded")
    # one step of the warm-up away from where it started, up to the rounding of the folder
    stored = load_file(start / "unet" / "diffusion_pytorch_model.safetensors")
    moved = tensors["weights/unet.conv_in.weight"] - stored["conv_in.weight"].float()
    assert 0 < float(moved.abs().max()) < 2e-3
    assert (start / "tokenizer" / "tokenizer.json").read_bytes() == (
        tmp_path / "b" / "tokenizer" / "tokenizer.json"
    ).read_bytes()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["stages=[vea]"], "no stage named 'vea'; did you mean vae"),
        (["recipe=65px"], "no recipe named '65px'; known: tiny"),
        (["stages=[vae]"], "stage 'vae' needs what stage 'scenes' makes, found none"),
        (["stages=[latents]"], "stage 'latents' needs what stage 'vae' makes, found none"),
        (["unet_samples=-1"], "unet_samples must be 0 or more, got -1"),
        (["device=cuda:7"], "cuda:7"),
        (["smaples=3"], "no setting named 'smaples'"),
        (["start=nowhere"], "start must be a model folder"),
    ],
)
def test_a_mistake_is_one_sentence_and_writes_nothing(tmp_path, capsys, words, sentence):
    folder = tmp_path / "runs"
    code = main(["train-embedded", "recipe=tiny", f"folder={folder}", *words])
    assert code == 2
    err = capsys.readouterr().err
    assert sentence in err
    assert err.count("\n") == 1
    assert not folder.exists()


def test_ctrl_c_keeps_the_state_and_the_same_command_goes_on(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(
        f"import sys\nsys.path[:0] = {[str(folder) for folder in Path(__file__).parents[:2]]!r}\n"
        "import test_train_embedded as tests\n"
        "from featurekit.training import recipe, stages\n"
        "from featurekit.training.loop import loop\n"
        "stages.WATCHED, loop.SAVE_SECONDS = 5, 1.0\n"
        "endless = tests.replace(tests.TINY, vae=tests.Run(10**6, 8, 1e-3, 0.9))\n"
        "recipe.RECIPES = {'tiny': endless}\n"
        f"sys.exit(tests.train({str(tmp_path)!r}, 'stages=[vae]'))\n"
    )
    train(tmp_path, "stages=[scenes]")
    command = [sys.executable, str(script)]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=hear)
    while not (tmp_path / "vae.ckpt.safetensors").exists() and child.poll() is None:
        time.sleep(0.2)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "interrupted in vae; the same command goes on" in err
    assert (tmp_path / "vae.ckpt.safetensors").exists()
    assert not (tmp_path / "vae").exists()
