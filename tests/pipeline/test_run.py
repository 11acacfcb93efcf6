"""A run: what it leaves in its folder when it ends well, badly or by Ctrl-C; what it refuses."""

import json
import re
from importlib.metadata import version
from pathlib import Path

import pytest
import specimen
import torch
from omegaconf import open_dict
from safetensors.torch import save_file

from featurekit import backbones
from featurekit.backbones import load
from featurekit.core.errors import (
    BackboneError,
    ConfigError,
    FeatureKitError,
    OutputError,
    PluginError,
    PointsError,
    UnknownNameError,
)
from featurekit.pipeline.config import compose
from featurekit.pipeline.run import run


@pytest.fixture
def blur(third_party, tmp_path):
    """Compose a run of the specimen plugin on random weights."""
    third_party()

    def composed(*words):
        return compose(["plugin=blur", "backbone=random", f"out={tmp_path}/out", *words])

    return composed


def record_in(folder):
    return json.loads((folder / "run.json").read_text())


def test_a_run_returns_the_record_that_it_writes(blur, tmp_path):
    record = run(blur("seed=3", "plugin.radius=2"))
    assert record_in(tmp_path / "out") == record
    assert {key: record[key] for key in ("plugin", "task", "status", "stop", "seed")} == {
        "plugin": "blur", "task": "smear", "status": "done", "stop": "smeared", "seed": 3,
    }  # fmt: skip
    assert record["metrics"] == {"radius": pytest.approx(0.2), "worst": None}
    assert record["outputs"] == {"smear": "smear.png"}
    assert (tmp_path / "out" / "smear.png").is_file()


def test_progress_is_told_as_each_stage_begins_and_what_a_stage_reports(blur):
    told = []
    run(blur(), progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 1), (0, 1), (1, 1)]  # the backbone, the plugin's stage, its report


def test_lines_are_said_as_stages_begin_and_end_and_what_a_plugin_says_is_kept(
    third_party, tmp_path
):
    package = third_party()
    (package / "pipeline.py").write_text(
        "import json\n"
        "from featurekit.core.types import Result\n"
        "def run(job):\n"
        "    job.say('this takes 2 min')\n"
        "    with job.stage('smear'):\n"
        "        stage = json.loads((job.out / 'run.json').read_text())['stage']\n"
        "    return Result(stage, {}, {})\n"
    )
    said = []
    record = run(
        compose(["plugin=blur", "backbone=random", f"out={tmp_path}/out"]), say=said.append
    )
    assert [line.partition(":")[0] for line in said] == [
        "load the backbone ...", "load the backbone", "this takes 2 min", "smear ...", "smear",
    ]  # fmt: skip
    assert (record["stop"], record["stage"], record["notes"]) == (
        "smear",
        None,
        ["this takes 2 min"],
    )


def test_a_plugins_check_comes_before_the_weights(third_party, tmp_path):
    spec = specimen.SPEC.replace("presets=", 'check="{package}.pipeline:check", presets=')
    package = third_party(spec=spec)
    (package / "pipeline.py").write_text(
        "from featurekit.plugin import PointsError\n"
        "def check(job, source):\n"
        "    raise PointsError(f'{job.task} {job.backbone} {job.settings.radius} {source}')\n"
    )
    with pytest.raises(PointsError, match=r"^smear None 2\.0 random$"):
        run(compose(["plugin=blur", "backbone=random", "plugin.radius=2", f"out={tmp_path}/out"]))
    assert record_in(tmp_path / "out")["stages"] == []
    words = ["plugin=blur", "backbone=sd15", f"backbone.source={tmp_path}", f"out={tmp_path}/out"]
    with pytest.raises(PointsError, match=f"^smear None 4.0 {tmp_path}$"):
        run(compose(words))


def test_weights_are_loaded_only_where_a_plugin_needs_them(third_party, tmp_path, monkeypatch):
    named = 'needs_backbone="{package}.pipeline:needed", presets='
    package = third_party(spec=specimen.SPEC.replace("presets=", named))
    (package / "pipeline.py").write_text(
        "from featurekit.plugin import Result\n"
        "def needed(job):\n"
        "    return job.settings.radius > 2\n"
        "def run(job):\n"
        "    return Result(stop=str(job.backbone is None), metrics={}, outputs={})\n"
    )
    loaded, load = [], backbones.load

    def counted(*words, **named):
        loaded.append(words)
        return load(*words, **named)

    monkeypatch.setattr(backbones, "load", counted)
    words = ["plugin=blur", "backbone=random", f"out={tmp_path}/out"]
    record = run(compose([*words, "plugin.radius=2"]))
    assert (record["stop"], record["stages"], record["weights"], loaded) == ("True", [], {}, [])
    record = run(compose([*words, "plugin.radius=3"]))
    assert (record["stop"], len(record["stages"]), len(loaded)) == ("False", 1, 1)


def test_what_progress_raises_ends_the_run(blur, tmp_path):
    def stop(done, total):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(
        KeyboardInterrupt, match=r"^it was in the stage 'smear'; the same command begins"
    ):
        run(blur(), progress=stop)
    record = record_in(tmp_path / "out")
    assert record["stage"] == "smear"
    assert (record["status"], record["outputs"]) == ("interrupted", {})
    assert [stage["name"] for stage in record["stages"]] == ["load the backbone", "smear"]


def test_the_record_tells_how_to_repeat_the_run(blur):
    record = run(blur())
    config = record["config"]
    assert config["task"] == "smear"
    assert config["plugin"]["updates"] == config["backbone"]["lora"]["steps"]
    assert record["versions"]["torch"] == version("torch")
    expected = {"python", "featurekit", "torch", "diffusers", "transformers", "peft"}
    assert set(record["versions"]) == expected
    assert [stage["name"] for stage in record["stages"]] == ["load the backbone", "smear"]
    assert all(stage["seconds"] >= 0 for stage in record["stages"])
    assert compose(["plugin=blur", f"out={config['out']}"]).out == config["out"]


def test_the_record_carries_the_hashes_of_the_weights(blur):
    record = run(blur("backbone=embedded"))
    assert any(name.endswith(".safetensors") for name in record["weights"])
    assert all(re.fullmatch(r"[0-9a-f]{64}", value) for value in record["weights"].values())


def test_a_relative_folder_is_used_from_where_the_user_stands(blur, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(blur("out=here/it/is"))
    assert (tmp_path / "here" / "it" / "is" / "smear.png").is_file()
    assert Path.cwd() == tmp_path


@pytest.mark.parametrize(
    ("task", "kind", "sentence"),
    [
        ("refuse", PointsError, "PointsError: a handle must lie inside, got (9, 9)"),
        ("crash", RuntimeError, "RuntimeError: a mistake of ours"),
    ],
)
def test_a_failed_run_says_so_and_keeps_earlier_results(blur, tmp_path, task, kind, sentence):
    run(blur())
    earlier = (tmp_path / "out" / "smear.png").read_bytes()
    with pytest.raises(kind, match=sentence.partition(": ")[2].partition(",")[0]):
        run(blur(f"task={task}"))
    record = record_in(tmp_path / "out")
    assert (record["status"], record["error"]) == ("failed", sentence)
    assert record["stages"][-1]["name"] == task
    assert record["outputs"] == {}
    assert (tmp_path / "out" / "smear.png").read_bytes() == earlier


def test_an_interrupted_run_says_so(third_party, tmp_path):
    third_party()
    package = third_party("torn", owner="ragged", spec=specimen.SPEC.replace('"blur"', '"torn"'))
    (package / "pipeline.py").write_text("def run(job):\n    raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        run(compose(["plugin=torn", "backbone=random", f"out={tmp_path}/out"]))
    assert record_in(tmp_path / "out")["status"] == "interrupted"


def test_the_record_says_running_while_it_runs(third_party, tmp_path):
    package = third_party()
    (package / "pipeline.py").write_text(
        "import json\n"
        "from featurekit.core.types import Result\n"
        "def run(job):\n"
        "    status = json.loads((job.out / 'run.json').read_text())['status']\n"
        "    return Result(status, {}, {})\n"
    )
    record = run(compose(["plugin=blur", "backbone=random", f"out={tmp_path}/out"]))
    assert (record["stop"], record["status"]) == ("running", "done")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("None", "plugin 'blur' must answer with a Result, got NoneType"),
        ("Result('', {}, {'x': job.out / 'no.png'})", "an output must be a file inside .*no.png"),
        ("Result('', {}, {'x': job.out / '../away.png'})", "an output must be a file inside"),
        ("Result('', {'x': object()}, {})", r"metrics\.x must be a number, text, list"),
    ],
)
def test_a_plugin_that_answers_badly_is_refused(third_party, tmp_path, answer, message):
    (tmp_path / "away.png").touch()
    package = third_party()
    (package / "pipeline.py").write_text(
        f"from featurekit.core.types import Result\ndef run(job):\n    return {answer}\n"
    )
    with pytest.raises((PluginError, OutputError), match=message):
        run(compose(["plugin=blur", "backbone=random", f"out={tmp_path}/out"]))
    assert record_in(tmp_path / "out")["status"] == "failed"


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        (["task=smeer"], UnknownNameError, r"no task named 'smeer'; did you mean smear\?"),
        (["+extra=1"], ConfigError, "a run has the keys plugin, .* got .*extra"),
        (["~seed"], ConfigError, "a run has the keys plugin"),
        (["plugin=none"], ConfigError, "a run needs a plugin, got none; add plugin=NAME, known: "),
        (["plugin=none", "plugin.name=blur"], ConfigError, "must be chosen by plugin=blur"),
        (
            ["plugin.updates=x"],
            ConfigError,
            "plugin.updates must be a whole number, got 'x'",
        ),
        (["plugin.radius=${nope}"], ConfigError, "plugin.radius must fit its type, but .*nope"),
        (["backbone.source=/no/where"], BackboneError, "source"),
        (["dtype=float3"], UnknownNameError, "float3"),
        (["device=nope"], (ConfigError, BackboneError, UnknownNameError), "nope"),
        (["out=/proc/self/x"], OutputError, "must be writable to '/proc/self/x', but "),
    ],
)
def test_a_setting_that_cannot_work_is_refused(blur, words, kind, message):
    with pytest.raises(kind, match=message) as refusal:
        run(blur(*words))
    assert "\n" not in str(refusal.value)


def test_results_never_lie_among_the_pictures_that_they_are_made_of(blur, tmp_path, monkeypatch):
    photos = tmp_path / "photos"
    photos.mkdir()
    (tmp_path / "link").symlink_to(photos)
    (photos / "smear.png").write_bytes(b"a photograph")
    monkeypatch.chdir(photos)
    for image, out in (
        (photos, photos),
        (photos / "smear.png", "."),
        ("smear.png", photos),
        (tmp_path / "link", "./"),
        (tmp_path / "link" / "smear.png", photos),
    ):
        with pytest.raises(
            ConfigError, match=r"^out must be another folder than .* choose another"
        ):
            run(blur(f"image={image}", f"out={out}"))
    assert [path.name for path in photos.iterdir()] == ["smear.png"]
    assert (photos / "smear.png").read_bytes() == b"a photograph"
    run(blur(f"image={photos / 'smear.png'}", f"out={photos / 'out'}"))


def test_a_configuration_may_be_changed_by_hand_before_the_run(blur):
    config = blur()
    with open_dict(config):
        config.plugin.radius = 4
    assert run(config)["metrics"]["radius"] == pytest.approx(0.4)


def test_nothing_is_shown_where_nobody_looks(blur, capfd):
    run(blur())
    assert capfd.readouterr() == ("", "")


def test_a_lora_of_a_run_is_on_its_backbone_and_in_its_record(blur, tmp_path):
    path = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    width = load("random", "cpu").unet.get_submodule(path).in_features
    halves = {"A": torch.ones(2, width), "B": torch.ones(width, 2)}
    tensors = {f"unet.{path}.lora_{half}.weight": one for half, one in halves.items()}
    save_file(tensors, tmp_path / "lora.safetensors")
    words = [f"backbone.lora_file={tmp_path}/lora.safetensors", "backbone.lora_scale=0.5"]
    weights = run(blur(*words))["weights"]
    assert set(weights) == {"lora/lora.safetensors", "unet"}
    assert run(blur(*words))["weights"] == weights
    assert run(blur(words[0]))["weights"]["unet"] != weights["unet"]


def test_what_is_given_beside_a_backbone_reaches_its_loading(blur, tmp_path):
    for words, match in (
        ([f"backbone.vae={tmp_path}"], "vae must be left out for random"),
        (["backbone.prediction=epsilon"], "prediction must be left out for random"),
        (["backbone.prediction=x"], "no prediction named 'x'"),
        ([f"backbone.lora_file={tmp_path}/none"], "lora_file must be an existing"),
    ):
        with pytest.raises(FeatureKitError, match=match):
            run(blur(*words))


def test_a_plugin_is_checked_on_the_file_of_a_backbone(third_party, tmp_path):
    spec = specimen.SPEC.replace("presets=", 'check="{package}.pipeline:check", presets=')
    package = third_party(spec=spec)
    (package / "pipeline.py").write_text(
        "from featurekit.plugin import PointsError\n"
        "def check(job, source):\n"
        "    raise PointsError(source)\n"
    )
    path = tmp_path / "model.safetensors"
    path.write_text("words")
    with pytest.raises(PointsError, match=f"^{path}$"):
        run(compose(["plugin=blur", f"backbone={path}", f"out={tmp_path}/out"]))
