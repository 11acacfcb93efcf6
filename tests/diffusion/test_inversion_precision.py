"""What comes back by the precision of latents and network keeps to the table of the page."""

from pathlib import Path

import pytest
import torch

from featurekit.diffusion.invert import invert
from featurekit.diffusion.noise_schedule import NoiseTable, Schedule
from featurekit.diffusion.sample import sample
from featurekit.testing import MixtureDenoiser

PAGE = Path(__file__).parents[2] / "docs" / "inversion.md"
NOISE = NoiseTable.scaled_linear()
SCHEDULE = Schedule.ddim(NOISE, steps=50)
METHODS = ("anderson", "edict", "residual", "edit_friendly")
DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
NEEDED = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = ("cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NEEDED]))


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def tolerances():
    """Bounds by (latents, network, method), as the page's table says them."""
    text = PAGE.read_text(encoding="utf-8").partition("| latents | network |")[2]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines()[2:6] if "|" in line]
    found = {}
    for row in rows:
        latents, networks, *bounds = row
        for network in networks.split(", "):
            for method, bound in zip(METHODS, bounds, strict=True):
                found[latents, network, method] = float(bound)
    return found


TABLE = tolerances()


def test_the_page_has_a_bound_for_every_precision_and_method():
    pairs = {(latents, network) for latents, network, _ in TABLE}
    assert pairs == {
        ("float64", "float64"),
        ("float32", "float32"),
        ("float32", "bfloat16"),
        ("float32", "float16"),
        ("float16", "float16"),
    }
    assert len(TABLE) == len(pairs) * len(METHODS)
    assert all(0 <= bound <= 1e-2 for bound in TABLE.values())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("latents", "network", "method"), TABLE)
def test_what_comes_back_keeps_to_the_bound(latents, network, method, device):
    exact = MixtureDenoiser(normal(12, 4, 4, 4, seed=1), 0.3, NOISE)
    z0 = exact.templates[:4] + 0.3 * normal(4, 4, 4, 4, seed=2)
    z0 = z0.to(device, DTYPES[latents])

    def predict(z, t):
        return exact(z.to(DTYPES[network]), t).to(z.dtype)

    alone = method == "anderson"
    up = invert(
        predict, z0, SCHEDULE, method=method, refine=4 if alone else None,
        keep_residuals=False if alone else None,
        generator=torch.Generator().manual_seed(3) if method == "edit_friendly" else None,
    )  # fmt: skip
    assert up.at(50).dtype == DTYPES[latents]
    back = sample(predict, up.at(50), SCHEDULE, trajectory=None if alone else up)
    error = (back.double() - z0.double()).square().mean((1, 2, 3)).sqrt().max()
    assert error <= TABLE[latents, network, method]
    assert error > 0 or TABLE[latents, network, method] in (0, 1e-10)
