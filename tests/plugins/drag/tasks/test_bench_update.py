"""The bench of the full shape: registered, explains itself, and times what it says it times."""

import pytest
from reduced import reduced_configs

from featurekit.backbones.unet.sd import build
from featurekit.pipeline.registry import load_plugin, resolve
from featurekit_drag.tasks import bench_update


@pytest.fixture(scope="module")
def backbone():
    """Stable Diffusion's blocks, narrow."""
    return build("sd15", reduced_configs("sd15"), device="cpu", dtype="float32")


def test_the_bench_is_registered():
    target = load_plugin("drag").benches["sd-shape"]
    assert resolve(target, of="the bench") is bench_update.bench


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit, match="0"):
        bench_update.bench(["--help"])
    said = capsys.readouterr().out
    assert all(option in said for option in ("featurekit bench sd-shape", "--side", "--updates"))


def test_the_options_are_read():
    wanted = bench_update._arguments(["--side", "128", "--updates", "2", "--backbone", "sd21"])
    assert (wanted.side, wanted.updates, wanted.backbone) == (128, 2, "sd21")
    default = bench_update._arguments([])
    assert (default.side, default.updates, default.backbone) == (256, 3, "sd15")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--updates", "0"], "argument --updates: must be at least 1, got 0"),
        (["--side", "63"], "argument --side: must be at least 64, got 63"),
        (["--side", "wide"], "argument --side: invalid"),
    ],
)
def test_options_that_cannot_be_measured_are_refused(words, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        bench_update.bench(words)
    assert message in capsys.readouterr().err


def test_the_mask_term_is_what_makes_an_update_run_the_whole_network(backbone):
    calls = []
    handle = backbone.unet.conv_out.register_forward_hook(lambda *_: calls.append(1))
    with_mask = {}
    for priced in (False, True):
        seconds = bench_update._seconds_per_update(backbone, 64, 2, priced=priced)
        assert seconds > 0
        with_mask[priced], calls[:] = len(calls), []
    handle.remove()
    # a warm-up of one update, then two: the unmoved latent each time, and each update
    assert with_mask == {False: 0, True: 5}
