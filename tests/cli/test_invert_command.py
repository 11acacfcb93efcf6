"""``featurekit invert``: what is written is what came back, and mistakes are one sentence."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from spoken import sentence

import featurekit as fk
from featurekit.cli.router import main
from featurekit.core.metrics import psnr
from featurekit.images.coordinates import crop

WORDS = ["backbone=random", "steps=3"]
FILES = {"trajectory.safetensors", "reconstruction.png", "round_trip.png", "run.json"}


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (19, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    return tmp_path / "x.png"


@pytest.fixture
def asked(photo, tmp_path):
    """Run the command on the picture; its folder and its record."""

    def ask(*words):
        out = tmp_path / "out"
        assert main(["invert", f"image={photo}", *WORDS, *words, f"out={out}"]) == 0
        return out, json.loads((out / "run.json").read_text())

    return ask


def test_the_files_are_what_the_functions_give(asked, photo, capsys):
    out, record = asked("prompt=a face", "method=anderson")
    assert {path.name for path in out.iterdir()} == FILES
    model = fk.load_backbone("random")
    with torch.no_grad():
        predict = model.predictor(model.embed("a face"))
        latent = model.encode(fk.load_image(photo))
        schedule = fk.Schedule.ddim(model.noise, 3)
        way = fk.invert(predict, latent, schedule, method="anderson", keep_residuals=False)
        back = fk.sample(predict, way.at(3), schedule)
        pictures = [crop(model.decode(z), 19, 30).clamp(-1, 1) for z in (back, latent)]
    kept = fk.load_trajectory(out / "trajectory.safetensors")
    assert (kept.method, kept.fingerprint) == ("anderson", predict.fingerprint)
    torch.testing.assert_close(torch.stack(kept.latents), torch.stack(way.latents))
    ratio = float(psnr(*pictures))
    assert record["metrics"]["psnr_to_autoencoder"] == pytest.approx(ratio, abs=0.5)
    assert record["metrics"]["network_calls"] == 3 * 4 + 3
    assert record["schedule"] == "DDIM, 3 steps, leading spacing with steps_offset 1"
    assert record["metrics"]["calls_over_ddim"] == 2.5
    assert len(record["metrics"]["fixed_point_rms"]) == 3
    with Image.open(out / "reconstruction.png") as picture:
        assert picture.size == (30, 19)
        shown = fk.load_image(picture)
    assert (shown - pictures[0]).abs().max() < 0.01
    said = capsys.readouterr().out
    line = r".*/out: anderson, 3 steps: [\d.]+ dB against the autoencoder's round trip, in 15 calls"
    assert re.fullmatch(line + r" of the network\n", said)


def test_the_record_says_how_it_was_made(asked):
    _, record = asked("guidance=2", "refine=5", "tol=1e-9", "seed=7", "spacing=leading")
    assert (record["command"], record["status"], record["seed"]) == ("invert", "done", 7)
    settings = {"guidance": 2.0, "refine": 5, "tol": 1e-9, "spacing": "leading", "steps": 3}
    assert settings.items() <= record["config"].items()
    names = [stage["name"] for stage in record["stages"]]
    assert names == ["load the backbone", "inversion", "sampling"]
    assert set(record["outputs"].values()) == FILES - {"run.json"}
    assert record["versions"]["featurekit"] == fk.__version__


@pytest.mark.parametrize("method", ["residual", "edit_friendly"])
def test_an_exact_method_says_that_it_is_equal(asked, capsys, method):
    _, record = asked(f"method={method}")
    assert "equal to the autoencoder's round trip" in capsys.readouterr().out
    assert record["metrics"]["latent_rms"] == 0
    assert record["metrics"]["psnr_to_autoencoder"] is None


def test_one_seed_draws_one_way_and_another_another(asked):
    ways = []
    for seed in (1, 1, 2):
        out, _ = asked("method=edit_friendly", f"seed={seed}")
        ways.append(fk.load_trajectory(out / "trajectory.safetensors").at(3))
    assert torch.equal(ways[0], ways[1])
    assert not torch.equal(ways[0], ways[2])


def test_the_sheet_shows_four_pictures(asked):
    out, _ = asked("method=ddim")
    with Image.open(out / "round_trip.png") as sheet:
        assert sheet.width > 4 * 256


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["image=nowhere.png"], "image must be"),
        (["method=dim"], "no inversion method named 'dim'; did you mean ddim"),
        (["steps=0"], "steps must lie in [1, 1000], got 0"),
        (["steps=1001"], "steps must lie in [1, 1000], got 1001"),
        (["steps=many"], "steps must be a whole number, got 'many'"),
        (["spacing=leadng"], "no spacing named 'leadng'; did you mean leading"),
        (["spacing=linspace"], "must lead to the next one"),
        (["refine=-1"], "refine must be 0 or more"),
        (["method=edict", "refine=2"], "refine must be left out for edict"),
        (["tol=0"], "tol must be a positive rms"),
        (["guidance=nan"], "guidance must be a finite number, got nan"),
        (["seed=-1"], "seed must lie in 0 to"),
        (["backbone=nothing"], "no backbone named 'nothing'"),
        (["stepps=3"], "no setting named 'stepps'; did you mean steps"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(photo, tmp_path, capsys, words, told):
    out = tmp_path / "out"
    assert main(["invert", f"image={photo}", *WORDS, f"out={out}", *words]) == 2
    said = capsys.readouterr()
    assert told in sentence(said.err)
    assert said.out == ""


def test_no_picture_is_a_mistake(capsys):
    assert main(["invert", *WORDS]) == 2
    assert "image must be given, found nothing" in capsys.readouterr().err


def test_a_refusal_half_way_leaves_the_record_of_it(photo, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["invert", f"image={photo}", *WORDS, f"out={out}", "spacing=linspace"]) == 2
    record = json.loads((out / "run.json").read_text())
    assert record["status"] == "failed"
    assert record["error"].startswith("ScheduleError: the step from a timestep must lead")
    assert record["error"].partition(": ")[2] in capsys.readouterr().err
    assert {path.name for path in out.iterdir()} == {"run.json"}
