"""check_plugin: a sound plugin passes; each broken rule is named, with what to do about it."""

import ast
import re
from functools import cache

import pytest
from specimen import SPEC

from featurekit import backbones
from featurekit.backbones import random
from featurekit.core.errors import PluginError
from featurekit.pipeline.registry import load_plugin
from featurekit.testing import conformance, imports
from featurekit.testing.conformance import check_plugin, heavy_imports

SHAPE = cache(random.load)
WRITES = 'path = write_image(torch.full((1, 3, 16, 16), float(level)), job.out / "smear.png")'


@pytest.fixture
def checked(third_party, monkeypatch):
    """Check the specimen plugin after replacing some of its text, with what takes long left out."""
    monkeypatch.setattr(backbones, "load", lambda name, *rest, **more: SHAPE())
    monkeypatch.setattr(conformance, "heavy_imports", lambda name: "")

    def check(old="", new="", *, overrides=(), rooms=()):
        package = third_party(spec=SPEC.replace(old, new) if old else SPEC)
        code = package / "pipeline.py"
        text = code.read_text()
        assert old in SPEC + text
        indent = re.search(rf"(?m)^( *).*{re.escape(old)}", text)
        if old and indent is not None:
            code.write_text(text.replace(old, new.replace("\n", f"\n{indent[1]}")))
        check_plugin(load_plugin("blur"), overrides=overrides, rooms=rooms)

    return check


def test_a_sound_plugin_passes(checked):
    checked()


@pytest.mark.parametrize(
    ("line", "room"),
    [
        ("from featurekit.images.masks import load_mask", "images"),
        ("import featurekit.core.grid_of_nobody", "core"),
        ("from featurekit import taps", "taps"),
    ],
)
def test_an_import_of_the_inside_is_a_warning_that_can_be_answered(checked, line, room):
    inside = f"def never():\n    {line}\n\ndef bench"
    with pytest.warns(
        FutureWarning, match=rf"'blur' imports featurekit\.{room} in .*pipeline\.py:"
    ):
        checked("def bench", inside)
    checked("def bench", inside, rooms=[room])


@pytest.mark.parametrize(
    "line",
    [
        "import featurekit as fk",
        "from featurekit import extract, testing, __version__",
        "from featurekit.plugin import Job",
        "from featurekit.testing import check_plugin",
        "import featurekit_drag.engine",  # another distribution's affair
        "from .featurekit import taps",
    ],
)
def test_public_names_are_no_imports_of_the_inside(line):
    assert not [*imports._rooms(ast.parse(line))]


def test_a_description_that_imports_torch_is_told_from_one_that_does_not(third_party):
    third_party()
    spec = SPEC.replace("from omegaconf", "import torch\n    from omegaconf")
    third_party("heavy", owner="slow", spec=spec.replace('"blur"', '"heavy"'))
    assert heavy_imports("blur") == ""
    assert heavy_imports("heavy") == "torch"


def test_a_heavy_description_is_refused(checked, monkeypatch):
    monkeypatch.setattr(conformance, "heavy_imports", lambda name: "torch")
    with pytest.raises(PluginError, match=r"- light: .*got torch; import what is heavy in the"):
        checked()


def test_settings_that_take_any_key_are_refused(checked, monkeypatch):
    """Hydra closes the settings of every plugin; this is a core that does not."""
    known = conformance.compose
    monkeypatch.setattr(
        conformance, "compose", lambda words: known([one for one in words if "no_such" not in one])
    )
    with pytest.raises(PluginError, match=r"- closed schema: .*plugin\.no_such_name=1 is taken"):
        checked()


def test_the_overrides_are_those_of_the_runs(checked):
    with pytest.raises(PluginError, match=r"- defaults: .* no setting named 'plugin\.radis'"):
        checked(overrides=["plugin.radis=2"])


def test_a_plugin_that_is_not_installed_is_told_so(third_party):
    third_party()
    spec = load_plugin("blur")
    object.__setattr__(spec, "name", "blurr")
    with pytest.raises(PluginError, match=r"- announced: .*no plugin named 'blurr'"):
        check_plugin(spec)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    radius: float = 1.0", '    radius: float = "???"',
         r"defaults: .*plugin\.radius must be given"),
        ("backbone.lora.steps", "backbone.lora.stps", r"defaults: .*'backbone\.lora\.stps'"),
        ("pipeline:run", "pipelin:run", r"target: .*ModuleNotFoundError.*correct target"),
    ],
)  # fmt: skip
def test_what_cannot_be_run_is_refused_before_it_is_run(checked, old, new, message):
    with pytest.raises(PluginError, match=rf"'blur' must keep the contract, but:\n- {message}"):
        checked(old, new)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('tasks=("smear", "refuse", "crash", "wait", "fill")', 'tasks=("smear")',
         r"tasks: they must be a tuple of different words, got 'smear'; write \('edit',\)"),
        ('"blur-speed": "{package}.pipeline:bench"', '"blur-speed": "{package}.pipeline:bensh"',
         "bench: 'blur-speed' must import, but .*AttributeError"),
        ("pkg://{package}.conf", "{package}.conf", "presets: they must be YAML files in the"),
        ("pkg://{package}.conf", "pkg://{package}.cnf", "presets: they must be YAML files in the"),
        ("    radius: float = 1.0", "    radius: bool = False", "presets: blur_fast must compose"),
        (WRITES, 'raise PointsError("no picture") if job.image else OSError("no disk")',
         "run: the default task must end as done .* but it raised OSError: no disk"),
        (WRITES, f'open(job.image) if job.image else None\n{WRITES}',
         "mistakes: a picture .* raised FileNotFoundError: .*load_image"),
        (WRITES, f"{WRITES}\nlevel = torch.rand(())",
         "seed: two runs .* but metrics differ; draw from a torch.Generator"),
        (WRITES, f"level = torch.rand(())\n{WRITES}", r"seed: .* but smear\.png, metrics differ"),
        (WRITES, 'path = job.out / "smear.txt"\npath.write_text("smeared")',
         r"whole files: .* but smear\.txt is written in place"),
        (WRITES, f'(job.out / f"{{torch.rand(()).item()}}.tmp").touch()\n{WRITES}',
         r"interrupted: going on .*\.tmp too; remove it in a finally"),
        ("progress(1, 1)", 'try:\n    progress(1, 1)\nexcept BaseException:\n    pass',
         "interrupted: Ctrl-C must end a run, but the plugin went on"),
        ("progress(1, 1)", 'try:\n    progress(1, 1)\nexcept BaseException:\n'
         '    raise RuntimeError("stopped") from None',
         "interrupted: Ctrl-C must leave .* as KeyboardInterrupt, got RuntimeError: stopped"),
        ("progress(1, 1)", 'with (job.out / "log.json").open("w") as log:\n'
         '    log.write("[")\n    log.flush()\n    progress(1, 1)\n    log.write("]")',
         r"interrupted: .* got half of log\.json; write with write_image or replacing"),
        ('{"smear": path}', "{}", "outputs: a run must name a file that it wrote, got none"),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) and ":" in value[:14] else "-",
)  # fmt: skip
def test_a_broken_rule_is_named_with_what_to_do(checked, old, new, message):
    with pytest.raises(PluginError, match=rf"\n- {message}") as caught:
        checked(old, new)
    rules = {line.partition(":")[0] for line in str(caught.value).splitlines()[1:]}
    assert rules == {f"- {message.partition(':')[0]}"}
