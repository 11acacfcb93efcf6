"""Types reach a user's own script: mypy knows the public names after ``make``."""

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[1]
KEPT = ["--config-file", ROOT / "pyproject.toml", "--cache-dir", ROOT / ".mypy_cache"]  # of make
SCRIPT = """
    import featurekit as fk
    from featurekit.plugin import Job, Result, write_image
    from featurekit_drag.config import DragConfig
    from featurekit_sketch.config import SketchConfig

    backbone = fk.load_backbone("embedded")
    maps = fk.extract(backbone, "me.png", taps=["up1"], timesteps=[261])
    reveal_type(backbone)
    reveal_type(maps["up1", 261].similarity(1, 2).tensor)
    reveal_type(DragConfig().updates)
    reveal_type(SketchConfig().tile_px)
    fk.extract(backbone, "me.png", tap=["up1"], timesteps=[261])
    fk.errors.PointsEror

    def run(job: Job) -> Result:
        return Result("done", {}, {"a": write_image(1, job.out)})
"""
SAID = (
    '9: note: Revealed type is "featurekit.backbones.latent_model.LatentModel"',
    '10: note: Revealed type is "torch._tensor.Tensor"',
    '11: note: Revealed type is "int"',
    '12: note: Revealed type is "int"',
    '13: error: Unexpected keyword argument "tap" for "extract"; did you mean "taps"?',
    '14: error: Module has no attribute "PointsEror"',
    '17: error: Argument 1 to "write_image" has incompatible type "int"',
)


def test_mypy_checks_a_users_script_against_the_public_names(tmp_path):
    (tmp_path / "script.py").write_text(dedent(SCRIPT))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *KEPT, "script.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line.removeprefix("script.py:") for line in done.stdout.splitlines()]
    for said in SAID:
        assert [line for line in lines if line.startswith(said)], done.stdout + done.stderr
