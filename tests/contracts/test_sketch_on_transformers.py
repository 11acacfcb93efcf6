"""Every family with a transformer learns a drawing, draws in its style, and is left as it was."""

import json
from types import SimpleNamespace

import pytest
import torch
from small_text_encoders import ENCODERS, with_text
from small_transformers import SMALL

import featurekit as fk
from featurekit.backbones.dit.diffusion_transformer import DiffusionTransformer
from featurekit.backbones.dit.flux2 import Flux2
from featurekit.backbones.loaded.alterations import NETWORKS, state
from featurekit.core.errors import BackboneError, ConfigError
from featurekit.images.io import read_tensors, write_image
from featurekit.measures.held_out import image_of
from featurekit.measures.model.lines import drawing_of
from featurekit.scenes import scene
from featurekit_sketch.distillation.filtering import Rule, Sorted
from featurekit_sketch.sampling import chosen_timesteps
from featurekit_sketch.tasks import distil
from featurekit_sketch.tasks import train as train_task

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SIDE, STEPS, VIEWS, SAMPLES, ITERATIONS = 64, 16, 2, 1, 16
A_PICTURE = 4  # rows: two timesteps at two scales
CELLS = 4  # of the sampled pictures, along a side; published models have 32 times as many
SHORT = [
    "plugin=sketch",
    "backbone=transformer",
    f"plugin.side_px={SIDE}",
    f"plugin.steps={STEPS}",
    f"plugin.views={VIEWS}",
    f"plugin.samples={SAMPLES}",
    f"plugin.iterations={ITERATIONS}",
]
FILMS = ("qwen_image",)  # its autoencoder has no maps


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A picture, its drawing, and another picture of another size."""
    folder = tmp_path_factory.mktemp("drawn")
    one = scene(900_001, "face")
    write_image(image_of(one, SIDE), folder / "picture.png")
    write_image(drawing_of(one, "brush", SIDE).expand(1, 3, -1, -1), folder / "drawing.png")
    write_image(image_of(scene(900_002, "face"), 96)[..., :70, :], folder / "other.png")
    return folder


@pytest.fixture(scope="module", autouse=True)
def small_pictures():
    """As if published models were made for pictures of a few cells."""
    with pytest.MonkeyPatch.context() as patch:
        for kind in (DiffusionTransformer, Flux2):
            patch.setattr(kind, "sample_size", property(lambda self: (CELLS, CELLS)))
        yield


def trained(backbone, drawn, out, *words):
    """Learn the drawing, with what the training told of its loss."""
    traces = []

    def learnt(job, lessons, watcher):
        found = learn(job, lessons, watcher)
        traces.extend(one.trace for one in found.values())
        return found

    learn = train_task.learn_styles
    pair = [f"image={drawn / 'picture.png'}", f"plugin.drawing={drawn / 'drawing.png'}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_task, "learn_styles", learnt)
        cfg = fk.compose([*SHORT, *pair, f"out={out}", *words])
        record = fk.run(cfg, backbone=backbone)
    return record, traces[0]


def networks_of(pipeline):
    found = {name: getattr(pipeline, name, None) for name in NETWORKS}
    return {name: one for name, one in found.items() if one is not None}


@pytest.fixture(scope="module", params=list(ENCODERS))
def ran(request, drawn, tmp_path_factory):
    """A family's pipeline, whose weights want gradients, after a style was learnt on it."""
    pipeline = with_text(request.param, SMALL[request.param]()).pipeline
    networks = networks_of(pipeline)
    for network in networks.values():
        network.requires_grad_(True)
    before = {name: state(network) for name, network in networks.items()}
    backbone, rows = fk.wrap(pipeline, "mine"), []
    asked = type(backbone).velocity
    with pytest.MonkeyPatch.context() as patch:

        def counting(self, z, *given):
            rows.append(len(z))
            return asked(self, z, *given)

        patch.setattr(type(backbone), "velocity", counting)
        out = tmp_path_factory.mktemp(request.param)
        record, trace = trained(backbone, drawn, out)
    found = SimpleNamespace(name=request.param, pipeline=pipeline, backbone=backbone, out=out)
    found.before, found.rows, found.record, found.trace = before, rows, record, trace
    return found


def test_a_style_is_learnt(ran):
    assert ran.record["status"] == "done"
    first, last = (sum(row["drawn"] for row in part) for part in (ran.trace[:4], ran.trace[-4:]))
    assert last < 0.97 * first
    assert fk.load_image(ran.out / "pair.png").shape[-1] > SIDE
    assert bool(ran.record["notes"]) == (ran.name in FILMS)
    assert ran.record["schedule"]


def test_every_picture_is_read_once(ran):
    """Sampling, reading samples with a view each and the views, and drawing for the sheet."""
    sampling = SAMPLES * STEPS * ran.backbone.copies(ran.backbone.usual_guidance)
    read = 2 * SAMPLES + VIEWS + 1
    assert sum(ran.rows) == sampling + read * A_PICTURE


def test_the_pipeline_is_as_it_was(ran):
    networks = networks_of(ran.pipeline)
    assert {name: state(network) for name, network in networks.items()} == ran.before
    for network in networks.values():
        assert all(one.requires_grad and one.grad is None for one in network.parameters())
    for network in (ran.pipeline.transformer, ran.pipeline.vae):  # transformers hooks its own
        parts = list(network.modules())
        assert not any(part._forward_hooks or part._forward_pre_hooks for part in parts)


def test_a_drawing_has_the_size_of_its_picture(ran, drawn, tmp_path):
    words = [f"image={drawn / 'other.png'}", f"plugin.style={ran.out / 'style.safetensors'}"]
    cfg = fk.compose([*SHORT[:3], "task=extract", *words, f"out={tmp_path}"])
    assert fk.run(cfg, backbone=ran.backbone)["metrics"]["pictures"] == 1
    assert fk.load_image(tmp_path / "other.png").shape == (1, 3, 70, 96)


def test_a_style_is_of_the_weights_that_it_was_learnt_on(ran, drawn, tmp_path):
    other = fk.wrap(with_text("sd3", SMALL["sd3"]()).pipeline, "mine")
    if ran.name == "sd3":
        other.pipeline.transformer.proj_out.weight.data += 1
    words = [f"image={drawn / 'other.png'}", f"plugin.style={ran.out / 'style.safetensors'}"]
    cfg = fk.compose([*SHORT[:3], "task=extract", *words, f"out={tmp_path}"])
    with pytest.raises(ConfigError, match="a style must be of the weights that draw"):
        fk.run(cfg, backbone=other)


def test_a_seed_gives_the_same_style_and_another_another(drawn, tmp_path):
    backbone = with_text("lumina2", SMALL["lumina2"]()).wrapped()
    words = ["plugin.iterations=2"]
    found = []
    for number, seed in enumerate((0, 0, 1)):
        torch.manual_seed(number)
        trained(backbone, drawn, tmp_path / str(number), *words, f"seed={seed}")
        found.append(read_tensors(tmp_path / str(number) / "style.safetensors"))
    assert all(torch.equal(one, found[1][key]) for key, one in found[0].items())
    assert not all(torch.equal(one, found[2][key]) for key, one in found[0].items())


def test_a_folder_is_learnt_on_drawn_with_and_taught_from(drawn, tmp_path, monkeypatch):
    """The three ways of a command line, with the settings that a folder gets by itself."""
    with_text("pixart_sigma", SMALL["pixart_sigma"]()).pipeline.save_pretrained(tmp_path / "model")
    short = [word for word in SHORT if not word.startswith("backbone")]
    model = [*short, f"backbone={tmp_path / 'model'}", "device=cpu"]
    pair = [f"image={drawn / 'picture.png'}", f"plugin.drawing={drawn / 'drawing.png'}"]
    cfg = fk.compose([*model, *pair, f"out={tmp_path / 'style'}"])
    assert cfg.plugin.network == "two_scales"
    assert fk.run(cfg)["status"] == "done"
    style = f"plugin.style={tmp_path / 'style' / 'style.safetensors'}"
    asked = [f"image={drawn / 'other.png'}", "task=extract", f"out={tmp_path / 'drawn'}"]
    assert fk.run(fk.compose([*model[:2], model[-2], model[-1], style, *asked]))["outputs"]
    pupil = ["task=distil", "plugin.pairs=3", "plugin.student_iterations=2"]
    # a style of few lessons draws little but grey, which no student learns
    monkeypatch.setattr(distil, "sort_out", lambda pairs: Sorted(pairs, {}, Rule(0.3, 100.0, 2.0)))
    cfg = fk.compose([*model[:2], *model[-2:], style, *pupil, f"out={tmp_path / 'student'}"])
    assert fk.run(cfg)["outputs"]["student"]
    assert len(list((tmp_path / "student" / "samples").iterdir())) == 3


def test_timesteps_are_analysed_chosen_or_passed_by_inversion(drawn, tmp_path, monkeypatch):
    backbone = with_text("sd3", SMALL["sd3"]()).wrapped()
    few = ["plugin.iterations=1", "plugin.samples=1"]
    record, _ = trained(backbone, drawn, tmp_path / "own", *few, "plugin.timesteps=[120,640]")
    assert record["metrics"]["timesteps"] == [120, 640]
    record, _ = trained(backbone, drawn, tmp_path / "run", *few, "plugin.features=inversion")
    assert record["metrics"]["timesteps"] == [183, 602]  # of the run, shifted twice by 3
    monkeypatch.setattr(chosen_timesteps, "RUNS", 2)
    record, _ = trained(backbone, drawn, tmp_path / "runs", *few, "plugin.timesteps=analysed")
    chosen = json.loads((tmp_path / "runs" / "timesteps.json").read_text())["timesteps"]
    assert record["metrics"]["timesteps"] == [chosen[1], chosen[4]]
    assert (tmp_path / "runs" / "timesteps.png").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["plugin.network=published"], "plugin.network=published is built of the resolutions"),
        (["plugin.network=released"], "plugin.network=released is built of the resolutions"),
        (["task=evaluate"], "task=evaluate on scenes compares networks that read a UNet"),
    ],
)
def test_what_is_of_unets_is_refused_before_any_work(words, message, tmp_path):
    backbone = with_text("pixart_sigma", SMALL["pixart_sigma"]()).wrapped()
    cfg = fk.compose([*SHORT, *words, f"out={tmp_path / 'run'}"])
    with pytest.raises(ConfigError, match=message):
        fk.run(cfg, backbone=backbone)
    backbone.pipeline.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "transformer" / "diffusion_pytorch_model.safetensors").unlink()
    folder = [word for word in SHORT if not word.startswith("backbone")]
    cfg = fk.compose([*folder, *words, f"backbone={tmp_path / 'model'}", f"out={tmp_path}"])
    with pytest.raises(ConfigError, match=message):  # its weights are not looked for
        fk.run(cfg)


def test_a_pipeline_without_text_encoders_is_refused_before_any_work(tmp_path):
    cfg = fk.compose([*SHORT, f"out={tmp_path}"])
    with pytest.raises(BackboneError, match=r"samples others of captions, but small has no text_"):
        fk.run(cfg, backbone=SMALL["flux_dev"]().wrapped())


def test_maps_that_an_autoencoder_does_not_have_are_not_learnt_from_alone(tmp_path):
    backbone = with_text("qwen_image", SMALL["qwen_image"]()).wrapped()
    cfg = fk.compose([*SHORT, "plugin.sources=vae", f"out={tmp_path}"])
    with pytest.raises(ConfigError, match=r"plugin\.sources=vae must have maps of the autoencoder"):
        fk.run(cfg, backbone=backbone)
