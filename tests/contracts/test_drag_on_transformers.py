"""Drags on a loaded pipeline of every family with a transformer: what they do, and leave behind."""

import json
from dataclasses import replace

import pytest
import torch
from PIL import Image
from small_text_encoders import ENCODERS, with_text
from small_transformers import SMALL

import featurekit as fk
from featurekit.backbones.dit.families import FAMILIES
from featurekit.backbones.loaded.alterations import state
from featurekit_drag import Session
from featurekit_drag.session.asking import Asking

BY_FAMILY = {type(SMALL[name]().pipeline.transformer).__name__: name for name in ENCODERS}
SHARES = ("PixArtTransformer2DModel",)  # whose attentions to the picture alone can be shared
SHORT = ["plugin.redraw_steps=4", "plugin.candidates=2", "plugin.fill=model"]
MOVE = (20, 6)  # px


def test_every_family_is_dragged():
    assert set(BY_FAMILY) == set(FAMILIES)


@pytest.fixture(scope="module", params=list(BY_FAMILY))
def family(request):
    return request.param


@pytest.fixture(scope="module")
def small(family):
    return with_text(BY_FAMILY[family], SMALL[BY_FAMILY[family]]())


@pytest.fixture
def files(small, tmp_path):
    """A picture, a brushed square in it, and where it may change; of a few tokens each way."""
    side = max(16, small.wrapped().multiple)
    height, width = 3 * side, 4 * side
    seeded = torch.Generator().manual_seed(0)
    picture = torch.randint(0, 30, (height, width, 3), generator=seeded)
    # the thing that is brushed
    picture[side // 2 : 3 * side // 2, side // 2 : 3 * side // 2] += 150
    Image.fromarray(picture.to(torch.uint8).numpy()).save(tmp_path / "me.png")
    for name, box in (
        ("region", (side // 2, side // 2, 3 * side // 2, 3 * side // 2)),
        ("mask", (side // 4, side // 4, 7 * side // 2, 9 * side // 4)),
    ):
        mask = Image.new("L", (width, height), 0)
        mask.paste(255, box)
        mask.save(tmp_path / f"{name}.png")
    return tmp_path


def run(small, files, out, *more):
    region = f"plugin.regions=[['{files / 'region.png'}',{MOVE[0]},{MOVE[1]}]]"
    words = ["plugin=drag", "backbone=transformer", f"image='{files / 'me.png'}'", region]
    words += [f"plugin.mask='{files / 'mask.png'}'", "plugin.animation_frames=0", "prompt='a face'"]
    cfg = fk.compose([*words, *SHORT, *more, f"out='{files / out}'"])
    record = fk.run(cfg, backbone=small.wrapped())
    return record, fk.load_image(files / out / "edit.png")


def hooks_of(pipeline):
    """Hooks and processors of all networks, by identity."""
    found = []
    for part in pipeline.components.values():
        for module in part.modules() if isinstance(part, torch.nn.Module) else ():
            found += [*module._forward_hooks, *module._forward_pre_hooks, *module._backward_hooks]
            found.append(id(getattr(module, "processor", None)))
    return found


def answer_of(small):
    """What the pipeline itself gives."""
    return small.pipeline(
        prompt="a face",
        **{key: value for key, value in small.named.items() if key == "use_resolution_binning"},
        height=64,
        width=64,
        num_inference_steps=2,
        generator=torch.Generator().manual_seed(0),
        output_type="latent",
    ).images


def test_a_region_is_dragged_and_the_pipeline_is_as_it_was(family, small, files):
    networks = [n for n in small.pipeline.components.values() if isinstance(n, torch.nn.Module)]
    before = [state(network) for network in networks]
    answered = answer_of(small)  # transformers hooks its own networks in their first call
    hooked = hooks_of(small.pipeline)
    record, edit = run(small, files, "one")
    assert record["status"] == "done"
    plan = record["metrics"]["plan"]
    assert (plan["kind"], plan["hole"]["filled_by"]) == ("regions", "model")
    assert plan["uncovered_share"] > 0.01
    assert ("no attention of this transformer" in record["summary"]) == (family not in SHARES)
    assert record["schedule"].startswith("DDIM" if family in SHARES else "flow, 4 steps")
    assert json.loads((files / "one/run.json").read_text())["metrics"]["plan"] == plan
    picture = fk.load_image(files / "me.png")
    mask = fk.load_image(files / "mask.png") > 0
    region = (fk.load_image(files / "region.png") > 0)[0, 0]
    assert torch.equal(edit[~mask], picture[~mask])
    rows, columns = region.nonzero(as_tuple=True)
    rim = (int(rows.max() - rows.min()) + 1) // 4
    inner = tuple(slice(one.min() + rim, one.max() + 1 - rim) for one in (rows, columns))
    moved = tuple(
        slice(one.start + by, one.stop + by) for one, by in zip(inner, MOVE[::-1], strict=True)
    )
    assert torch.equal(edit[..., *moved], picture[..., *inner])
    assert (edit - picture)[..., *inner].abs().max() > 0.01
    assert [state(network) for network in networks] == before
    assert hooks_of(small.pipeline) == hooked
    torch.testing.assert_close(answer_of(small), answered, atol=0, rtol=0)


def test_a_session_draws_the_same_for_a_seed_and_other_holes_for_another(small, files):
    own = Asking.settings_of(small.wrapped())
    assert own.plan.taps[0].endswith(".norm")
    settings = replace(own, redraw=replace(own.redraw, steps=4, candidates=1))
    region = (str(files / "region.png"), *MOVE)
    found = []
    for seed in (3, 3, 4):
        given = {"mask": files / "mask.png", "settings": settings, "seed": seed}
        with Session.open(small.wrapped(), files / "me.png", "a face", **given) as session:
            session.start(regions=[region])
            while session.step():
                pass
            found.append(session.result())
    assert torch.equal(found[0], found[1])
    apart = (found[0] - found[2]).abs().amax(dim=1)[0]
    assert apart.max() > 0.003
    assert apart[(fk.load_image(files / "mask.png") <= 0)[0, 0]].max() == 0
