"""The wheel: installed away from the repository it has its weights, presets and plugins."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path
from textwrap import dedent

import pytest

import featurekit as fk

ROOT = Path(__file__).parents[1]
LEFT_BEHIND = shutil.ignore_patterns(
    ".git",
    ".venv*",
    "build",
    "dist",
    "runs",
    "*.egg-info",
    "__pycache__",
    ".*_cache",
    ".hypothesis",
)


BUILD_SDIST = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
MOST_BYTES = 60_000_000  # of a wheel


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The command of a wheel that is installed in an environment of its own."""
    base = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, base / "source", ignore=LEFT_BEHIND)
    subprocess.run([sys.executable, "-c", BUILD_SDIST, base], cwd=base / "source", check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    pip("wheel", "--no-deps", "--wheel-dir", base, base / "source")
    shutil.rmtree(base / "source")
    (wheel,) = base.glob("*.whl")
    environment = base / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    # a .pth line is not followed by the .pth files of the folder it names, so the editable
    # install of the outer environment does not act here while its libraries do
    inner = sysconfig.get_path("purelib", vars={"base": str(environment)})
    outer = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (Path(inner) / "outer.pth").write_text("".join(f"{path}\n" for path in sorted(outer)))
    pip("--python", python, "install", "--no-deps", "--no-index", wheel)
    return python.with_name("featurekit")


def pip(*words):
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *words]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def run(program, *words, folder):
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    plain["OMP_NUM_THREADS"] = (
        "1"  # threads that wait for each other on a busy machine take minutes
    )
    result = subprocess.run(
        [program, *words], cwd=folder, env=plain, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_wheel_is_small_and_a_source_archive_has_no_pictures_but_what_is_installed(program):
    base = program.parents[2]
    (wheel,), (archive,) = base.glob("*.whl"), base.glob("*.tar.gz")
    assert wheel.name.startswith(f"featurekit-{fk.__version__}-py3-")
    assert wheel.stat().st_size < MOST_BYTES
    with tarfile.open(archive) as source:
        names = [name.partition("/")[2] for name in source.getnames()]
    assert "featurekit/weights/embedded/model_index.json" in names
    assert not [name for name in names if name.endswith((".png", ".jpg"))]


def test_an_installed_wheel_edits_a_picture_in_an_empty_folder(program, tmp_path):
    out = run(program, "run", "plugin=drag", "plugin.animation_frames=2", folder=tmp_path)
    (record_file,) = tmp_path.glob("runs/drag/*/run.json")
    record = json.loads(record_file.read_text())
    assert record["status"] == "done"
    assert {"edit.png", "run.json"} <= {path.name for path in record_file.parent.iterdir()}
    assert record["weights"]
    assert "see runs/drag/" in out


def test_an_installed_wheel_lies_outside_the_repository_and_is_complete(program, tmp_path):
    code = """
        from importlib.resources import files
        import json, featurekit, featurekit_drag
        from featurekit import backbones
        weights = files("featurekit") / "weights" / "embedded"
        print(json.dumps({
            "homes": [featurekit.__file__, featurekit_drag.__file__, str(weights)],
            "files": sorted(str(p.relative_to(weights)) for p in weights.rglob("*") if p.is_file()),
            "version": featurekit.__version__,
        }))
    """
    found = json.loads(run(program.with_name("python"), "-c", dedent(code), folder=tmp_path))
    environment = str(program.parents[1])
    assert all(home.startswith(environment) for home in found["homes"])
    source = ROOT / "featurekit" / "weights" / "embedded"
    shipped = sorted(str(path.relative_to(source)) for path in source.rglob("*") if path.is_file())
    assert found["files"] == shipped
    assert run(program, "--version", folder=tmp_path) == f"featurekit {found['version']}\n"


def test_an_installed_wheel_has_the_pages_of_the_studio(program, tmp_path):
    code = """
        from importlib.resources import files
        for page in ("page", "look/page"):
            folder = files("featurekit.web").joinpath(*page.split("/"))
            print(*sorted(one.name for one in folder.iterdir()))
    """
    found = run(program.with_name("python"), "-c", dedent(code), folder=tmp_path).splitlines()
    source = ROOT / "featurekit" / "web"
    pages = (source / "page", source / "look" / "page")
    assert found == [" ".join(sorted(one.name for one in page.iterdir())) for page in pages]


def test_an_installed_wheel_offers_every_group_and_preset(program, tmp_path):
    shown = run(program, "run", "--help", folder=tmp_path)
    for group in ("backbone", "experiment"):
        folders = [ROOT / "conf" / group, *ROOT.glob(f"plugins/*/conf/{group}")]
        names = sorted(path.stem for folder in folders for path in folder.glob("*.yaml"))
        assert f"{group}: {', '.join(names)}\n" in shown
    assert "plugin: drag, none, sketch\n" in shown
    taps = run(program, "taps", "backbone=sd15", folder=tmp_path)
    assert "up_blocks.3" in taps
