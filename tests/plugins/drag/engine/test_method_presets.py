"""Published methods by their presets: on every shape, at borders, interrupted, without a trail."""

from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from omegaconf import OmegaConf
from reduced import reduced_configs

from featurekit.backbones import load
from featurekit.backbones.lora import LoraRecipe
from featurekit.backbones.unet import sd, sdxl
from featurekit.core.errors import ConfigError, ScheduleError, ShapeError
from featurekit.core.types import Stop
from featurekit.pipeline.config import compose
from featurekit_drag.config import settings_of
from featurekit_drag.engine.drag import Drag
from featurekit_drag.engine.paths.sampled_path import sampled
from featurekit_drag.engine.points import read_points
from featurekit_drag.engine.request import Request

PRESETS = ("dragdiffusion", "gooddrag", "dragnoise", "freedrag", "fastdrag", "sdedrag")
NO_LORA = LoraRecipe(steps=0)
ENDS = {
    "dragdiffusion": {Stop.MAX_UPDATES, Stop.REACHED},
    "gooddrag": {Stop.MAX_UPDATES, Stop.REACHED, Stop.STALLED},
    "dragnoise": {Stop.MAX_UPDATES, Stop.REACHED},
    "freedrag": {Stop.MAX_UPDATES, Stop.REACHED},
    "fastdrag": {Stop.DONE},
    "sdedrag": {Stop.DONE},
}


def preset(name, backbone="random", **words):
    """The preset, short enough for a test."""
    cfg = compose(["plugin=drag", f"backbone={backbone}", f"experiment=drag_{name}"])
    found = settings_of(OmegaConf.to_object(cfg.plugin))
    updates = min(found.rule.updates, 3)
    rule = replace(found.rule, updates=updates)
    pieces = replace(found.sub_drags, radius=2)
    short = {"steps": 5, "levels": min(found.levels, 2), "rule": rule, "sub_drags": pieces}
    return replace(found, **{**short, **words})


@pytest.fixture(scope="module")
def backbone():
    return load("random", device="cpu")


@pytest.fixture(scope="module")
def narrow():
    return {
        "sd15": sd.build("sd15", reduced_configs("sd15"), device="cpu", seed=1),
        "sdxl": sdxl.build("sdxl", reduced_configs("sdxl"), device="cpu", seed=1),
    }


def request_for(height, width, rows=None, *, masked=True):
    rows = rows or [[width * 0.3, height * 0.4, width * 0.6, height * 0.6]]
    points = read_points(rows, height=height, width=width)
    picture = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, 1, height, width)
    mask[..., height // 8 : height * 7 // 8, width // 8 : width * 7 // 8] = 1
    return Request(picture * 1.8 - 0.9, points, mask if masked else None)


def test_the_presets_are_the_files(backbone):
    names = {name: compose(["plugin=drag", f"experiment=drag_{name}"]) for name in PRESETS}
    assert len({str(cfg.plugin) for cfg in names.values()}) == len(PRESETS)


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_runs_on_the_shapes_of_stable_diffusion(narrow, family, name):
    request = request_for(64, 96, [[24, 24, 60, 40]])
    edit = Drag(narrow[family], preset(name, family), NO_LORA)(request)
    assert edit.image.shape == request.image.shape
    assert edit.image.isfinite().all()
    assert edit.dragged.stop in ENDS[name]
    assert edit.frames == edit.dragged.stations == ()  # nothing is kept that nobody shows


@pytest.mark.parametrize("name", PRESETS)
def test_the_same_seed_gives_the_same_edit_and_frames_are_kept_when_asked(backbone, name):
    request = request_for(33, 42, masked=False)
    first, again = (
        Drag(backbone, preset(name, animation_frames=frames), NO_LORA)(request) for frames in (0, 2)
    )
    assert torch.equal(first.image, again.image)
    forwards = len(again.dragged.trace) > 0 or name == "sdedrag"
    assert (len(again.frames) > 0) is forwards
    if again.frames:
        assert torch.equal(again.frames[-1].image, again.image)
        assert len(again.dragged.stations) >= len(again.frames)


def crossing(count, side):
    return [
        [2 + (i % 10) * 3, 2 + (i // 10) * 6, 29 - (i % 10) * 3, 29 - (i // 10) * 5]
        for i in range(count)
    ]


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([[x, y, 16, 15] for x in (0, 32) for y in (0, 32)], id="borders"),
        pytest.param([[6, 6, 26, 26], [26, 26, 6, 6], [6, 26, 26, 6]], id="crossing"),
        pytest.param(crossing(50, 32), id="fifty"),
    ],
)
def test_borders_crossing_drags_and_fifty_of_them_run(backbone, name, rows):
    request = request_for(32, 32, rows, masked=False)
    edit = Drag(backbone, preset(name, steps=3), NO_LORA)(request)
    assert edit.image.isfinite().all()
    assert edit.dragged.handle_path[-1].shape == (len(rows), 2)


@pytest.mark.parametrize("name", PRESETS)
def test_ctrl_c_leaves_the_network_as_it_was(backbone, name):
    unet = backbone.unet
    before = [(path, type(module), module.training) for path, module in unet.named_modules()]
    processors = dict(unet.attn_processors)

    @contextmanager
    def stage(name):
        def progress(done, total):
            if name not in ("inversion",):
                raise KeyboardInterrupt

        yield progress

    with pytest.raises(KeyboardInterrupt):
        Drag(backbone, preset(name), NO_LORA)(request_for(32, 32), stage=stage)
    assert [
        (path, type(module), module.training) for path, module in unet.named_modules()
    ] == before
    assert unet.attn_processors == processors
    assert not any(module._forward_hooks for module in unet.modules())
    assert all(parameter.grad is None for parameter in unet.parameters())
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("name", PRESETS)
def test_progress_ends_at_its_total_and_the_stage_has_a_name(backbone, name):
    told = {}

    @contextmanager
    def stage(title):
        yield lambda done, total: told.setdefault(title, []).append((done, total))

    edit = Drag(backbone, preset(name), NO_LORA)(request_for(32, 32), stage=stage)
    title = {"fastdrag": "latent warp", "sdedrag": "sub-drags"}.get(name, "motion supervision")
    steps = told[title]
    assert all(a[0] < b[0] for a, b in pairwise(steps))
    if edit.dragged.stop in (Stop.MAX_UPDATES, Stop.DONE):
        assert steps[-1][0] == steps[-1][1]


# images that the model made


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize("residuals", [True, False])
def test_a_generated_image_is_dragged_along_its_own_path(backbone, guidance, residuals):
    words = {"guidance": guidance, "residuals": residuals, "steps": 4}
    drag = Drag(backbone, preset("dragdiffusion", **words), NO_LORA)
    predict = backbone.predictor(backbone.embed("a disc"), guidance=guidance)
    noise = torch.randn(
        1, backbone.latent_channels, 8, 8, generator=torch.Generator().manual_seed(1)
    )
    path = sampled(predict, noise, drag.schedule)
    with torch.no_grad():
        image = backbone.decode(path.at(0)).clamp(-1, 1)
    request = replace(request_for(32, 32, masked=False), image=image, prompt="a disc")
    called = []

    @contextmanager
    def stage(title):
        called.append(title)
        yield lambda done, total: None

    edit = drag(request, path=path, stage=stage)
    assert called == ["motion supervision", "denoising"]  # nothing is inverted
    still = replace(drag.settings, rule=replace(drag.settings.rule, updates=0))
    same = Drag(backbone, still, NO_LORA)(request, path=path)
    torch.testing.assert_close(same.image, image, rtol=0, atol=1e-4)
    assert (edit.image - image).abs().max() > 1e-3


def test_a_path_that_does_not_belong_is_refused(backbone):
    request = request_for(32, 32)
    drag = Drag(backbone, preset("dragdiffusion", steps=4), NO_LORA)
    other = Drag(backbone, preset("dragdiffusion", steps=5), NO_LORA)
    predict = backbone.predictor(backbone.embed(""))
    noise = torch.randn(1, backbone.latent_channels, 8, 8)
    path = sampled(predict, noise, drag.schedule)
    with pytest.raises(ScheduleError, match="latents of this run, 5 steps up to level"):
        other(request, path=path)
    with pytest.raises(ConfigError, match="must fit no LoRA, its recipe has 2 steps"):
        Drag(backbone, drag.settings, LoraRecipe(steps=2))(request, path=path)
    with pytest.raises(ShapeError, match="path must be"):
        drag(request_for(64, 32), path=path)


def test_a_field_from_outside_is_followed_and_refused_where_nothing_asks_for_it(backbone):
    settings = preset("dragdiffusion", steps=4)
    rule = replace(settings.rule, supervision="field", learning_rate=0.1)
    asked, request = replace(settings, rule=rule), request_for(32, 32)
    field = torch.zeros(32, 32, 2)
    field[8:24, 8:24, 0] = 0.25
    drag = Drag(backbone, asked, NO_LORA)
    given = drag(request, field=lambda found: field * (found is request))
    assert torch.equal(given.image, drag(request, field=field).image)
    assert not torch.equal(given.image, drag(request).image)  # by the settings' warp
    with pytest.raises(ConfigError, match="with supervision='field', got 'current'"):
        Drag(backbone, settings, NO_LORA)(request, field=field)
    with pytest.raises(ShapeError, match="field must be"):
        drag(request, field=field[0])
