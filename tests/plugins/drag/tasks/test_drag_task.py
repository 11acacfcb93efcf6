"""A whole run of ``plugin=drag``: its pictures, its record, its sentences, and pixels that stay."""

import json
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from optimising import OPTIMISING
from PIL import Image

import featurekit as fk
from featurekit.backbones import load
from featurekit.core.errors import (
    ConfigError,
    ImageError,
    MaskError,
    NoiseLevelError,
    PointsError,
    UnknownNameError,
)
from featurekit.core.types import Job, Stop, silent
from featurekit_drag.engine.settings import DragSettings
from featurekit_drag.engine.unet_features import feature_and_step_reader, feature_reader
from featurekit_drag.inputs import from_picture, subject_of
from featurekit_drag.metrics.by_source import judge_by_source
from featurekit_drag.metrics.by_truth import judge_by_truth
from featurekit_drag.metrics.judges import JudgeFeatures
from featurekit_drag.tasks.summary import ADVICE

WIDTH, HEIGHT = 97, 61
SMALL = [
    "plugin=drag",
    *OPTIMISING,
    "backbone=random",
    "device=cpu",
    "plugin.steps=4",
    "plugin.updates=2",
    "plugin.lora_steps=1",
    "plugin.lora_batch=1",
    "plugin.animation_frames=2",
    "cache=none",
    "plugin.side_px=0",
]
POINTS = "plugin.points=[[20,30,41,30],[30.5,40,30.5,22]]"
BOX, FEATHER = (10, 16, 60, 50), 3
POINT = ["handle", "target", "reached_px", "final_px_error", "reached", "judges"]
STAGES = [
    "load the backbone",
    "LoRA on the image",
    "inversion",
    "motion supervision",
    "denoising",
    "animation",
    "judging",
]


def run(out, *words):
    return fk.run(fk.compose([*SMALL, f"out={out}", *words]))


def quiet(name):
    return nullcontext(silent)


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB"))


@pytest.fixture(scope="module")
def bundled(tmp_path_factory):
    out = tmp_path_factory.mktemp("bundled")
    return run(out), out


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """A picture nobody asked for: odd sides, transparency, noise."""
    levels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 4), dtype=np.uint8)
    path = tmp_path_factory.mktemp("desk") / "my photo.png"
    Image.fromarray(levels, "RGBA").save(path)
    return path


@pytest.fixture(scope="module")
def mask(photo):
    path = photo.with_name("mask.png")
    picture = Image.new("L", (WIDTH, HEIGHT), 0)
    picture.paste(255, BOX)
    picture.save(path)
    return path


@pytest.fixture(scope="module")
def own(photo, tmp_path_factory):
    out = tmp_path_factory.mktemp("own")
    return run(
        out, f"image='{photo}'", POINTS, "plugin.lora_steps=0", "plugin.animation_frames=0"
    ), out


@pytest.fixture(scope="module")
def masked(photo, mask, tmp_path_factory):
    out = tmp_path_factory.mktemp("masked")
    words = [f"plugin.mask='{mask}'", f"plugin.feather_px={FEATHER}", "plugin.learning_rate=1"]
    return run(out, f"image='{photo}'", POINTS, "plugin.lora_steps=0", *words), out


def test_the_record_on_disk_is_the_one_that_is_returned(bundled):
    record, out = bundled
    assert json.loads((out / "run.json").read_text()) == record
    assert (record["plugin"], record["task"], record["status"]) == ("drag", "edit", "done")
    came = "the handle" if record["metrics"]["points"][0]["reached"] else "no handle"
    why = "the allowed number of updates is used up"
    assert record["stop"] == f"by the judges {came} arrived; {why}"
    assert record["metrics"]["ended"] == "max_updates"
    assert record["schedule"].startswith("DDIM, ")


def test_every_stage_is_timed_in_order(bundled, own):
    assert [stage["name"] for stage in bundled[0]["stages"]] == STAGES
    alone = [name for name in STAGES if name not in ("LoRA on the image", "animation")]
    assert [stage["name"] for stage in own[0]["stages"]] == alone


def test_the_pictures_of_a_run_are_there_and_listed(bundled):
    record, out = bundled
    assert record["outputs"] == {
        "edit": "edit.png",
        "before_after": "before_after.png",
        "animation": "animation.gif",
    }
    for name in record["outputs"].values():
        with Image.open(out / name) as picture:
            picture.verify()
    with Image.open(out / "animation.gif") as way:
        assert way.n_frames > 1
        assert min(way.size) >= 256
    with Image.open(out / "before_after.png") as panels:
        assert panels.width > 3 * 256  # before, after, truth


def test_without_frames_there_is_no_animation(own):
    record, out = own
    assert list(record["outputs"]) == ["edit", "before_after"]
    assert not (out / "animation.gif").exists()


def test_the_edit_has_the_size_of_its_input(bundled, own, masked):
    for (_, out), size in ((bundled, (64, 64)), (own, (97, 61)), (masked, (97, 61))):
        with Image.open(out / "edit.png") as edit:
            assert (edit.size, edit.mode) == (size, "RGB")


def test_every_drag_has_one_record_of_the_agreed_form(bundled, own):
    for record, _ in (bundled, own):
        for point in record["metrics"]["points"]:
            assert list(point) == POINT
            assert set(point["judges"]) == {"patch", "feature"}
            ends = [point["handle"], point["target"], point["reached_px"]]
            assert all(len(end) == 2 for end in [*ends, *point["judges"].values()])
            assert isinstance(point["reached"], bool)
            seen = np.array(list(point["judges"].values()))
            assert point["reached_px"] == pytest.approx(seen.mean(axis=0).tolist())
            left = np.linalg.norm(seen - point["target"], axis=1)
            assert point["final_px_error"] == pytest.approx(left.mean())
            assert point["reached"] == bool((left <= 4).all())
    assert len(bundled[0]["metrics"]["points"]) == 1
    rows = [[*p["handle"], *p["target"]] for p in own[0]["metrics"]["points"]]
    assert rows == [[20, 30, 41, 30], [30.5, 40, 30.5, 22]]


def test_where_a_handle_ended_is_read_off_the_picture_that_was_written(masked, photo, tmp_path):
    """A tracker's word could not be told from edit.png alone."""
    record, out = masked
    backbone = load("random", device="cpu")
    cfg = fk.compose([*SMALL, f"image='{photo}'", POINTS])
    settings = OmegaConf.to_object(cfg.plugin)
    job = Job(backbone, settings, "edit", cfg.image, "", 0, tmp_path, quiet)
    request = from_picture(job).request
    judge = judge_by_source(backbone, request.image, request.points, JudgeFeatures("up2", 101))
    for kept, seen in zip(
        record["metrics"]["points"], judge.report(fk.load_image(out / "edit.png")), strict=True
    ):
        assert seen["judges"]["patch"] == pytest.approx(kept["judges"]["patch"], abs=0.1)
        assert seen["judges"]["feature"] == pytest.approx(kept["judges"]["feature"], abs=1.5)


def test_the_controls_stand_beside_the_edit(bundled, own):
    controls = bundled[0]["metrics"]["controls"]
    assert list(controls) == ["noop", "erase", "blur", "shifted_copy"]
    assert controls["noop"]["mse_ratio"] == 1
    assert controls["noop"]["arrived"] == {"patch": 0, "feature": 0}
    assert all(row["mse_ratio"] is not None for row in controls.values())
    points, untouched = own[0]["metrics"]["points"], own[0]["metrics"]["controls"]["noop"]
    length = np.mean([np.linalg.norm(np.subtract(p["target"], p["handle"])) for p in points])
    assert untouched["error_px"] == pytest.approx({"patch": length, "feature": length})


def test_a_scene_is_judged_by_its_truth_and_a_picture_of_ones_own_by_itself(bundled, own, masked):
    """The verdict of run.json, its sentences and the table come from one judge."""
    record, out = bundled
    assert record["metrics"]["judged_by"] == "the truth"
    assert {one["metrics"]["judged_by"] for one, _ in (own, masked)} == {"the source"}
    assert record["metrics"]["truth"]["truth"]["arrived"] == {"patch": 1, "feature": 1}
    job = Job(None, OmegaConf.to_object(fk.compose(SMALL).plugin), "edit", None, "", 0, out, quiet)
    backbone = load("random", device="cpu")
    subject = subject_of(replace(job, backbone=backbone))
    request = subject.request
    asked = JudgeFeatures("up2", 101, request.prompt)
    judge = judge_by_truth(backbone, request.image, subject.truth, request.points, asked)
    (kept,), (seen,) = record["metrics"]["points"], judge.report(fk.load_image(out / "edit.png"))
    assert seen["judges"]["patch"] == pytest.approx(kept["judges"]["patch"], abs=0.1)
    assert seen["reached"] == kept["reached"]


def test_a_scene_is_measured_against_its_truth_and_the_floor_of_the_vae(bundled):
    truth = bundled[0]["metrics"]["truth"]
    assert list(truth) == ["edit", "truth", "vae_floor"]
    assert truth["truth"]["mse_ratio"] == 0
    assert truth["edit"]["mse_ratio"] > 0
    assert truth["vae_floor"]["mse_ratio"] > 0


def test_a_users_picture_has_controls_and_no_truth(own, masked):
    for record, _ in (own, masked):
        assert "truth" not in record["metrics"]
        rows = record["metrics"]["controls"]
        assert set(rows) == {"noop", "erase", "blur", "shifted_copy"}
        assert all(row["mse_ratio"] is None for row in rows.values())


def test_the_losses_and_the_number_of_updates_are_kept(bundled, own):
    metrics = bundled[0]["metrics"]
    assert (metrics["updates"], len(metrics["loss"]), len(metrics["lora_loss"])) == (2, 2, 1)
    assert all(np.isfinite([*metrics["loss"], *metrics["lora_loss"]]))
    assert own[0]["metrics"]["lora_loss"] == []


def test_without_a_mask_the_run_says_that_everything_may_move(own, masked, bundled):
    said = "no mask: everything may move; give plugin.mask=FILE to hold the rest still"
    assert said in own[0]["summary"].splitlines()
    assert own[0]["metrics"]["mask"] == "everything may move"
    for record, _ in (masked, bundled):
        assert "no mask" not in record["summary"]
        assert record["metrics"]["mask"] == "given"


def test_with_a_mask_the_run_says_how_much_may_move(own, masked, bundled):
    box = (BOX[2] - BOX[0]) * (BOX[3] - BOX[1]) / (WIDTH * HEIGHT)
    assert f"mask: {box:.1%} of the picture may move" in masked[0]["summary"].splitlines()
    assert masked[0]["metrics"]["may_move"] == pytest.approx(box)
    assert own[0]["metrics"]["may_move"] == 1
    assert 0 < bundled[0]["metrics"]["may_move"] < 1


def test_a_drag_that_falls_short_says_how_far_it_came_and_what_to_try(own):
    record, _ = own
    lines = record["summary"].splitlines()
    for number, (point, length) in enumerate(
        zip(record["metrics"]["points"], (21.0, 18.0), strict=True), start=1
    ):
        assert not point["reached"]
        left = f"{point['final_px_error']:.1f}"
        assert lines[number - 1] == (
            f"drag {number}: fell short, {left} px from its target, which was {length} px away"
        )
    assert lines[-1] == "to try: raise plugin.updates, or drag in two shorter pieces"


def test_outside_mask_and_seam_every_pixel_is_the_inputs(masked, photo):
    _, out = masked
    shown = Image.open(photo)
    paper = Image.new("RGBA", shown.size, "white")
    before = np.asarray(Image.alpha_composite(paper, shown).convert("RGB"))
    after = pixels(out / "edit.png")
    left, top, right, bottom = BOX
    near = np.zeros((HEIGHT, WIDTH), bool)
    near[top - FEATHER : bottom + FEATHER, left - FEATHER : right + FEATHER] = True
    assert (after[~near] == before[~near]).all()
    inside = np.zeros((HEIGHT, WIDTH), bool)
    inside[top:bottom, left:right] = True
    assert (after[inside] != before[inside]).any(axis=1).mean() > 0.9


def test_without_a_mask_the_whole_picture_passes_through_the_model(own, photo):
    shown = Image.open(photo)
    paper = Image.new("RGBA", shown.size, "white")
    before = np.asarray(Image.alpha_composite(paper, shown).convert("RGB"))
    assert (pixels(own[1] / "edit.png") != before).any(axis=2).mean() > 0.9


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        ([], PointsError, "at least one drag is needed, got none"),
        (["plugin.points=[[20,30,41]]"], PointsError, "four numbers .*, row 1 has 3"),
        (["plugin.points=[20,30,41,30]"], PointsError, r"row 1 is 20; give plugin.points=\[\["),
        (["plugin.points=[[20,30,98,30]]"], PointsError, r"the target of row 1 is \(98, 30\)"),
        ([POINTS, "plugin.mask=nowhere.png"], ImageError, "'nowhere.png' is no such file"),
        (["plugin.points=[[70,30,80,30]]", "MASK"], MaskError, r"the one at \(70, 30\) does not"),
        ([POINTS, "plugin.updates=-1"], ConfigError, "plugin.updates must lie in 0 to 10000"),
        (
            [POINTS, "plugin.supervision=first"],
            UnknownNameError,
            "plugin.supervision named 'first'",
        ),
        (
            [POINTS, "plugin.levels=3"],
            ConfigError,
            "plugin.levels must be 1 with plugin.schedule=one",
        ),
        ([POINTS, "plugin.tap=up7"], UnknownNameError, "no tap named 'up7'"),
        ([POINTS, "plugin.attention=[up7]"], UnknownNameError, "self-attentions named 'up7'"),
        ([POINTS, "plugin.strength=0.1"], NoiseLevelError, "strength must reach the first of 4"),
        ([POINTS, "plugin.judge_timestep=1000"], ConfigError, "must lie in 0 to 999, got 1000"),
    ],
)
def test_a_mistake_is_one_sentence_before_any_stage_of_the_method(
    photo, mask, tmp_path, words, kind, message
):
    words = [f"plugin.mask='{mask}'" if word == "MASK" else word for word in words]
    with pytest.raises(kind, match=message) as refusal:
        run(tmp_path, f"image='{photo}'", *words)
    assert "\n" not in str(refusal.value)
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["status"] == "failed"
    by_the_model = any(name in message for name in ("self-attentions", "strength", "999"))
    loaded = STAGES[:1] if by_the_model else []  # all else is refused before weights are read
    assert [stage["name"] for stage in record["stages"]] == loaded


def test_equal_runs_write_equal_pictures(own, photo, tmp_path):
    again = run(
        tmp_path, f"image='{photo}'", POINTS, "plugin.lora_steps=0", "plugin.animation_frames=0"
    )
    assert (pixels(tmp_path / "edit.png") == pixels(own[1] / "edit.png")).all()
    assert again["metrics"] == own[0]["metrics"]


def test_a_run_leaves_no_gradient_mode_and_no_random_state_behind(tmp_path, photo):
    state = torch.random.get_rng_state()
    run(tmp_path, f"image='{photo}'", "plugin.points=[[20,30,41,30]]", "plugin.updates=1")
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("outside", ["hard", "penalty"])
def test_a_network_of_half_precision_drags_and_is_judged_exactly(photo, mask, tmp_path, outside):
    words = [f"image='{photo}'", POINTS, f"plugin.mask='{mask}'", f"plugin.outside={outside}"]
    record = run(tmp_path, *words, "dtype=bfloat16", "plugin.animation_frames=0")
    metrics = record["metrics"]
    assert (metrics["updates"], len(metrics["lora_loss"])) == (2, 1)
    assert all(np.isfinite([*metrics["loss"], *metrics["lora_loss"]]))
    noop = metrics["controls"]["noop"]["error_px"]
    assert noop == pytest.approx({"patch": 19.5, "feature": 19.5})


@pytest.mark.parametrize("read", [feature_reader, feature_and_step_reader])
def test_features_of_half_precision_are_compared_in_float32(read):
    backbone = load("random", device="cpu", dtype="bfloat16")
    z = torch.zeros(1, backbone.latent_channels, 16, 16)
    with torch.no_grad():
        predict = backbone.predictor(backbone.embed(""))
        readout = read(backbone, DragSettings(steps=4), predict)(z)
    assert readout.field.dtype is torch.float32
    assert readout.next_latent is None or readout.next_latent.dtype is torch.float32


def test_there_is_advice_for_every_end_of_a_drag():
    assert set(ADVICE) == set(Stop)


def test_a_second_drag_of_a_picture_says_what_it_takes_from_the_first(tmp_path, photo):
    words = [f"image={photo}", POINTS, f"cache={tmp_path / 'kept'}", "plugin.animation_frames=0"]
    first = run(tmp_path / "a", *words)
    again = run(tmp_path / "b", *words, "plugin.updates=1")
    kept = ", kept by an earlier edit of this picture"
    fresh = ["LoRA on the image", "inversion"]
    assert [stage["name"] for stage in first["stages"]][1:3] == fresh
    assert [stage["name"] for stage in again["stages"]][1:3] == [name + kept for name in fresh]
    assert again["metrics"]["lora_loss"] == first["metrics"]["lora_loss"]


def test_a_large_picture_is_dragged_in_part_and_pasted_back(tmp_path):
    levels = np.random.default_rng(1).integers(0, 256, (150, 200, 3), dtype=np.uint8)
    Image.fromarray(levels).save(tmp_path / "large.png")
    box, handle = (60, 40, 130, 100), (90.5, 70.0)
    mask = Image.new("L", (200, 150), 0)
    mask.paste(255, box)
    mask.save(tmp_path / "mask.png")
    words = [f"image={tmp_path}/large.png", f"plugin.mask={tmp_path}/mask.png"]
    words += ["plugin.points=[[90.5,70,110.5,70]]", "plugin.learning_rate=1", "plugin.side_px=64"]
    record = run(tmp_path / "out", *words, "plugin.lora_steps=0")
    told, cost = record["notes"]
    assert told.startswith(
        "the picture is 200x150 px, the random model knows 64 px: a part of 105x105 px around the "
        "drag is worked on at 64x64 px"
    )
    assert cost.startswith("by one call of the network at this size, the drag takes about")
    assert record["metrics"]["work"] == {"part_px": [42, 18, 105, 105], "at_px": [64, 64]}
    after = pixels(tmp_path / "out" / "edit.png")
    assert after.shape == levels.shape
    seam = round(2 * 105 / 64)  # feather_px is of the work
    near = np.zeros((150, 200), bool)
    near[box[1] - seam : box[3] + seam, box[0] - seam : box[2] + seam] = True
    assert (after[~near] == levels[~near]).all()
    assert (after[45:95, 65:125] != levels[45:95, 65:125]).any(axis=2).mean() > 0.9
    (point,) = record["metrics"]["points"]
    assert (point["handle"], point["target"]) == ([*handle], [110.5, 70])
    noop = record["metrics"]["controls"]["noop"]["error_px"]
    assert noop == pytest.approx({"patch": 20, "feature": 20}, abs=1e-6)
    with Image.open(tmp_path / "out" / "animation.gif") as way:
        assert way.n_frames > 1


@pytest.mark.parametrize(
    ("broken", "kept"),
    [
        ("LoRA on the image", None),
        ("inversion", "LoRA on the image, kept"),
        ("denoising", "LoRA on the image and the inversion, kept"),
    ],
)
def test_a_stopped_drag_says_what_the_next_one_goes_on_from(tmp_path, photo, broken, kept):
    words = [f"image={photo}", POINTS, f"cache={tmp_path / 'kept'}", f"out={tmp_path / 'out'}"]

    def stop(done, total):
        record = json.loads((tmp_path / "out" / "run.json").read_text())
        if record["stage"] == broken:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as stopped:
        fk.run(fk.compose([*SMALL, *words]), progress=stop)
    told = "the same command goes on from the "
    assert (f"{told}{kept}" if kept else "begins again") in str(stopped.value)
