"""Half precision on a CPU that has no instructions for it: slower, and the same features."""

import os
import subprocess
import sys
from pathlib import Path

WITHOUT = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "default", "OMP_NUM_THREADS": "1"}

READ = """
import sys
import torch
from reduced import reduced_configs
from featurekit.backbones.unet import sd
from featurekit.features.extract import extract, extract_latents

image = torch.rand(1, 3, 24, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
single, half = (
    sd.build("sd15", reduced_configs("sd15"), device="cpu", dtype=dtype)
    for dtype in (torch.float32, torch.bfloat16)
)
asked = {"taps": ["mid", "up1"], "timesteps": [261], "prompt": "a house"}
for one, true in zip(extract(half, image, **asked), extract(single, image, **asked), strict=True):
    apart = (one.tensor.float() - true.tensor).norm() / true.tensor.norm()
    assert one.tensor.dtype == torch.bfloat16 and apart < 0.05, apart
latent = half.encode(image).requires_grad_()
extract_latents(half, {261: latent}, taps="up1")["up1"].tensor.float().sum().backward()
assert latent.grad.isfinite().all() and latent.grad.abs().max() > 0
with torch.no_grad():
    assert half.decode(latent).isfinite().all()
sys.stdout.write(torch.backends.cpu.get_cpu_capability())
"""


def test_every_step_to_features_and_back_works_in_numbers_that_the_cpu_lacks():
    done = subprocess.run(
        [sys.executable, "-c", READ],
        env={**os.environ, **WITHOUT, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "DEFAULT"  # the instructions were hidden
