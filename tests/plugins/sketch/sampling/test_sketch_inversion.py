"""``plugin.features=inversion``: from one pair to a style and a sketch, all read by inversion."""

import numpy as np
import pytest
import torch
from PIL import Image

import featurekit as fk
from featurekit.core.json_files import read_json
from featurekit.images.io import load_image
from featurekit.scenes import scene
from featurekit_sketch.sampling.prior import fit_prior, save_prior
from featurekit_sketch.training.sketcher import Sketcher
from featurekit_sketch.training.style_file import digest, load_style

STEPS = 16
SIDE = 32


def run(*words):
    return fk.run(fk.compose(["plugin=sketch", "backbone=random", *words]))


@pytest.fixture(scope="module")
def backbone():
    return fk.load_backbone("random", device="cpu")


@pytest.fixture(scope="module")
def learnt(backbone, tmp_path_factory):
    """Folder of a run on a small pair, and what it says of itself."""
    out = tmp_path_factory.mktemp("learnt")
    prior = fit_prior(backbone, ("a red circle", "two blue houses", "a face"))
    save_prior(prior, out / "prior.safetensors")
    scene(5, "face").image(SIDE).save(out / "picture.png")
    scene(5, "face").drawing(SIDE).save(out / "drawing.png")
    return out, run(
        *("plugin.features=inversion", "plugin.network=published"),
        "device=cpu",
        f"image={out / 'picture.png'}",
        f"plugin.drawing={out / 'drawing.png'}",
        f"plugin.prior={out / 'prior.safetensors'}",
        f"plugin.steps={STEPS}",
        *("plugin.samples=1", "plugin.iterations=2", "plugin.views=1", "prompt=a face"),
        f"out={out / 'out'}",
    )


def test_a_run_with_inversion_ends_with_a_style_that_says_so(learnt, backbone):
    out, record = learnt
    assert read_json(out / "out" / "run.json")["status"] == "done"
    assert (record["metrics"]["iterations"], record["metrics"]["samples"]) == (2, 1)
    style = load_style(out / "out" / "style.safetensors", "random", digest(backbone.weights))
    assert (style.features, style.steps, len(style.timesteps)) == ("inversion", STEPS, 13)


def test_what_is_extracted_is_read_by_inversion(learnt, backbone, tmp_path):
    out, _ = learnt
    file = out / "out" / "style.safetensors"
    words = (f"image={out / 'picture.png'}", f"plugin.style={file}", f"out={tmp_path}")
    run("task=extract", "device=cpu", *words)
    drawn = torch.from_numpy(np.array(Image.open(tmp_path / "picture.png").convert("L")))
    sketcher = Sketcher.from_style(load_style(file, "random", ""), backbone)
    rows = []
    hook = backbone.unet.register_forward_pre_hook(lambda _, given: rows.append(len(given[0])))
    ink = sketcher(load_image(out / "picture.png"))
    hook.remove()
    assert sum(rows) == STEPS + 13  # a step each up to the last level that is read, and the reading
    assert (drawn / 255 - ink[0, 0]).abs().max() < 0.01
