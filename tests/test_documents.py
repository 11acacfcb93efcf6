"""What the pages print runs as printed: every block of Python, every command, in the order given.

A page is one namespace. All pages share a folder with a person's own pictures and with what earlier
commands left there; a command that stands on several pages runs once. What would take minutes gets
further settings here, and what needs a network or a cluster is listed with its reason.
"""

import ast
import inspect
import io
import os
import re
import subprocess
import sys
from contextlib import chdir, redirect_stdout

import pytest
from documents import PAGES, ROOT, blocks, commands
from PIL import Image
from small_text_encoders import with_text
from small_transformers import flux

import featurekit as fk
from featurekit.cli.router import main

LANGUAGES = {"python", "python signature", "sh", "toml", "text", "table", "js"}
DRAG = ["plugin.animation_frames=1"]
LATENT_DRAG = [*DRAG, "plugin.lora_steps=1", "plugin.updates=1", "plugin.steps=3"]
SKETCH = ["plugin.samples=1", "plugin.iterations=1", "plugin.views=1", "plugin.tests=1",
          "plugin.steps=16"]  # fmt: skip
FEWER = {  # settings that make a command a matter of seconds, by how it begins; the longest counts
    "run plugin=drag": DRAG,
    "run plugin=drag experiment=drag_dragdiffusion": LATENT_DRAG,
    "run plugin=drag experiment=drag_gooddrag": [*LATENT_DRAG, "plugin.levels=1"],
    "run plugin=drag task=evaluate": [*DRAG, "plugin.scenes=1"],
    "run plugin=sketch": SKETCH,
    "run plugin=sketch task=init": [],
    "run plugin=sketch task=extract": [],
    "pck": ["count=1", "categories=[face]"],
    "analyse labels": ["pairs=1", "kinds=[face]"],
    "analyse labels image=": [],
    "analyse timesteps": ["count=1", "steps=6", "taps=[up1]"],
    "extract image=photos/ store=": ["batch=2"],
    "invert": ["steps=5"],
}
ELSEWHERE = {  # commands that do not run here, and why
    "make": "sets up an environment",
    "featurekit studio": "serves until Ctrl-C: tests/cli/test_studio_command.py",
    "torchrun": "needs several processes; tests/scale/test_launchers.py starts them",
    "accelerate": "likewise",
    "srun": "likewise, with its variables",
    "sbatch": "likewise",
    "pip install": "changes the environment",
    "featurekit extract image=photos.": "needs tars and tables: tests/scale/test_inputs.py",
    "featurekit extract image=photos-": "likewise",
    "featurekit extract image=photos/ store=features_by_ray": "tests/scale/test_ray_engine.py",
    "RAY_ADDRESS=": "likewise",
    "featurekit extract image=photos/ store=s3": "needs a bucket",
    "featurekit store verify s3": "likewise",
    "featurekit run -m plugin=drag seed=1,2 hydra/launcher": "tests/cli/test_sweep_launchers.py",
    "featurekit pck data=SPair-71k": "needs the data set",
    "featurekit run experiment=sketch_diffsketch backbone=FOLDER": "needs Stable Diffusion",
    "featurekit run plugin=sketch task=distil": "needs a style that draws: test_distil.py",
    "featurekit run plugin=sketch task=extract image=photos/ plugin.student": "likewise",
    "featurekit run plugin=sketch task=extract image=photos.tar": "by Ray: test_sketch_on_ray.py",
    "featurekit run experiment=sketch_as_released backbone=FOLDER": "needs Stable Diffusion",
    "featurekit run -m plugin=sketch +ablation": "nine trainings: test_sweep_table.py",
    "featurekit sketch-table": "needs a sweep: test_sweep_table.py",
    "featurekit run experiment=sketch_views": "tests/test_saved_files.py goes on with it",
    "featurekit run plugin=sketch task=evaluate": "every style: test_sketch_evaluate.py",
    "featurekit run plugin=drag backbone=FOLDER": "a transformer: test_drag_on_transformers.py",
    "featurekit run plugin=drag task=evaluate": "every control: test_drag_evaluate.py",
}
OWNED = {  # what a page calls a person's own in Python
    "recipes.md": lambda: {"pipeline": (own := flux(singles=10)).pipeline, "words": own.words},
    "backbones.md": lambda: {"pipeline": with_text("flux_schnell", flux(False)).pipeline},
}
FILES = {"adding-a-plugin.md"}  # whose blocks are files of a package, installed below


def stands(words, known):
    """The longest beginning that a command has."""
    line = " ".join(words)
    return max((one for one in known if line.startswith(one)), key=len, default=None)


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with the files that pages call a person's own."""
    folder = tmp_path_factory.mktemp("desk")
    face = fk.scenes.scene(3, "face")
    face.image(96).crop((0, 0, 96, 64)).save(folder / "me.png")
    face.drawing(96, "brush").crop((0, 0, 96, 64)).save(folder / "mine.png")
    for name in ("m.png", "classes.png"):
        picture = Image.new("L", (96, 64))
        picture.paste(255, (40, 20, 90, 56))
        picture.save(folder / name)
    (folder / "photos").mkdir()
    for seed in (1, 2):
        fk.scenes.scene(seed, "building").image(64).save(folder / "photos" / f"{seed}.png")
    lines = [fk.scenes.scene(seed, "face").caption() for seed in range(40)]
    (folder / "captions.txt").write_text("\n".join(dict.fromkeys(lines)))
    return folder


@pytest.fixture(scope="module")
def done():
    """Commands that ran already."""
    return set()


def perform(words, done):
    """Run a command as the terminal would, once."""
    assert words[0] == "featurekit", words
    asked = [*words[1:], *FEWER.get(stands(words[1:], FEWER), [])]
    if tuple(asked) not in done:
        done.add(tuple(asked))
        assert main(asked) == 0, words


def run_python(block, space):
    """Run a block in the namespace of its page; what a comment says is printed is printed."""
    out = io.StringIO()
    code = compile("\n" * block.line + block.text, block.page, "exec")
    with redirect_stdout(out):
        exec(code, space)  # what the page prints
    promised = re.findall(r"^print\(.*?\)  # (.*)$", block.text, re.MULTILINE)
    assert out.getvalue().splitlines() == promised


@pytest.mark.filterwarnings("ignore:the picture has")  # as a person is told, and may go on
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_runs_as_printed(page, desk, done):
    space = {"__name__": "page", **OWNED.get(page.name, dict)()}
    with chdir(desk):
        for block in blocks(page):
            assert block.language in LANGUAGES, f"{block.page}:{block.line} has no language"
            if block.language == "python" and page.name not in FILES:
                run_python(block, space)
            for words in commands(block) if block.language in ("sh", "table") else ():
                if stands(words, ELSEWHERE) is None and block.language == "sh":
                    perform(words, done)


def test_commands_of_the_tables_are_understood(desk, capsys):
    """A table lists commands in short; each has its settings composed, or its help asked for."""
    page = ROOT / "docs" / "commands.md"
    found = [words for block in blocks(page) for words in commands(block)]
    assert len(found) > 20
    with chdir(desk):
        for words in found:
            if words[1] == "run":
                plain = [word for word in words[1:] if word not in ("-m",) and "," not in word]
                plain = [w.replace("path/to/folder", "random") for w in plain]
                assert main([*plain, "--cfg", "job"]) == 0, words
            elif words[1] != "bench":
                assert main([words[1], "--help"]) == 0, words
    capsys.readouterr()


def test_what_runs_elsewhere_and_what_is_shortened_stands_on_a_page():
    every = [words for page in PAGES for block in blocks(page) if block.language == "sh"
             for words in commands(block)]  # fmt: skip
    for begun in ELSEWHERE:
        assert any(" ".join(words).startswith(begun) for words in every), begun
    for begun in FEWER:
        assert any(" ".join(words[1:]).startswith(begun) for words in every), begun


def test_the_plugin_of_the_page_is_installed_and_keeps_the_contract(tmp_path):
    page = blocks(ROOT / "docs" / "adding-a-plugin.md")
    text = (ROOT / "docs" / "adding-a-plugin.md").read_text()
    toml, *python = [one.text for one in page if one.language in ("toml", "python")]
    names = re.findall(r"`(fk_blur/\w+\.py)`", text)
    source = tmp_path / "source"
    (source / "fk_blur").mkdir(parents=True)
    (source / "pyproject.toml").write_text(toml)
    for name, code in zip(names, python[:2], strict=True):
        (source / name).write_text(code)
    (tmp_path / "test_page.py").write_text(python[2])
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install",
           "--no-index", "--no-deps", "--no-build-isolation", "--target"]  # fmt: skip
    subprocess.run([*pip, tmp_path / "site", source], check=True, stdin=subprocess.DEVNULL)
    test = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_page.py"]
    ran = subprocess.run(
        test, cwd=tmp_path, env=with_path(tmp_path / "site"), capture_output=True, text=True,
        check=False, timeout=300,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-2000:]
    assert "1 passed" in ran.stdout


def with_path(site):
    inherited = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(site), inherited]))}


# signatures


def signatures():
    """Calls of the signature block, by name: the text of each call."""
    (block,) = [
        one
        for one in blocks(ROOT / "docs" / "architecture.md")
        if one.language == "python signature"
    ]
    return re.findall(
        r"^fk\.([\w.]+)(\(.*?\))(?:\(samples\))?(?:\s+#.*|)$", block.text, re.MULTILINE
    )


@pytest.mark.parametrize(("name", "given"), signatures())
def test_a_call_of_the_architecture_page_has_the_parameters_of_the_thing(name, given):
    thing = fk
    for part in name.split("."):
        thing = getattr(thing, part)
    parameters = inspect.signature(thing).parameters
    if "*, " in given:  # written as a signature, else as a call
        shown = ast.parse(f"def f{given}: ...").body[0].args
        names = [one.arg for one in shown.args]
        own = [n for n, p in parameters.items() if p.kind is not p.KEYWORD_ONLY]
        assert names == own[: len(names)]
        for one, default in zip(shown.kwonlyargs, shown.kw_defaults, strict=True):
            real = parameters[one.arg].default
            told = inspect.Parameter.empty if default is None else ast.literal_eval(default)
            assert (parameters[one.arg].kind.name, told) == ("KEYWORD_ONLY", real), one.arg
        left = set(parameters) - set(names) - {one.arg for one in shown.kwonlyargs}
        assert all(parameters[one].default is not inspect.Parameter.empty for one in left)
        return
    call = ast.parse(f"f{given}", mode="eval").body
    keywords = {one.arg: one.value for one in call.keywords}
    inspect.signature(thing).bind(*call.args, **keywords)
    for keyword, value in keywords.items():
        default = parameters[keyword].default
        if isinstance(value, ast.Constant) and default is not inspect.Parameter.empty:
            assert value.value in (default, ...), keyword
