"""The picture-and-caption model's training: losses, captions of drawings, its folder."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import open_clip
import pytest
import torch
from safetensors import safe_open
from torch.nn import functional

from featurekit.scenes import TRAIN_SEEDS, scene
from featurekit.scenes.colours import COLOURS
from featurekit.scenes.drawings import STYLES
from featurekit.training.data import rendered_drawings, rendered_scenes, tokenizer_training
from featurekit.training.data.rendered_drawings import (
    DrawingAlbum,
    drawn_caption,
    pixels_of,
    style_of,
)
from featurekit.training.data.rendered_scenes import Album
from featurekit.training.data.tokenizer_training import numbered
from featurekit.training.networks import clip
from featurekit.training.networks.clip import ClipTask, build, configuration, contrast, save_clip
from featurekit.training.recipe import SMALL

SIDE, SCENES = 32, 70
RECIPE = replace(SMALL, size=SIDE, text_width=32, heads=2)


@pytest.fixture(scope="module")
def scenes():
    return [scene(TRAIN_SEEDS.start + i) for i in range(SCENES)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, scenes):
    """Rendered pictures and drawings of a few scenes."""
    made = tmp_path_factory.mktemp("rendered")
    np.save(made / "scenes.npy", np.stack([rendered_scenes.pixels_of(one, SIDE) for one in scenes]))
    captions = [[one.caption(i) for i in range(3)] for one in scenes]
    (made / "scenes.json").write_text(json.dumps(captions))
    sheets = [pixels_of(one, SIDE, style=style_of(i)) for i, one in enumerate(scenes)]
    np.save(made / "drawings.npy", np.stack(sheets))
    return made


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory, folder):
    captions = [text for texts in Album([folder / "scenes.npy"]).captions for text in texts]
    drawn = [drawn_caption(text, style=style) for text in captions for style in STYLES]
    return tokenizer_training.learn(
        [*captions, *drawn], tmp_path_factory.mktemp("words"), tokens=40
    )


@pytest.fixture
def task(folder, tokenizer):
    """A narrow model that is watched on the scenes it learns from."""
    config = configuration(RECIPE, tokenizer)
    config["embed_dim"] = 32
    config["vision_cfg"] |= {"width": 8, "head_width": 4}
    pictures, drawings = Album([folder / "scenes.npy"]), DrawingAlbum([folder / "drawings.npy"])
    every = torch.arange(SCENES)
    held_out = (
        pictures.pictures(every),
        drawings.drawings(every),
        [texts[0] for texts in pictures.captions],
    )
    return ClipTask(
        build(config, seed=0),
        album=pictures,
        drawings=drawings,
        tokenizer=tokenizer,
        held_out=held_out,
    )


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def units(*shape):
    return functional.normalize(torch.randn(shape, generator=draw()), dim=-1)


def test_the_contrast_is_the_mean_of_both_cross_entropies():
    images, captions = units(4, 8), functional.normalize(units(4, 8) + 0.1, dim=-1)
    found = contrast(images, captions, torch.tensor(5.0), alike=torch.eye(4, dtype=torch.bool))
    cosines = 5 * images @ captions.T
    rows = -torch.log_softmax(cosines, 1).diagonal().mean()
    columns = -torch.log_softmax(cosines, 0).diagonal().mean()
    assert torch.isclose(found, (rows + columns) / 2)


def test_a_caption_that_reads_the_same_is_no_mistake():
    images = units(3, 8)
    captions = torch.cat((images, images[:1]))  # the fourth is the first's double
    scale, nobody = torch.tensor(20.0), torch.eye(3, 4, dtype=torch.bool)
    double = nobody.clone()
    double[0, 3] = True
    least = contrast(images, images, scale, alike=nobody[:, :3])
    assert contrast(images, captions, scale, alike=nobody) > least + 0.05
    assert torch.isclose(contrast(images, captions, scale, alike=double), least, atol=1e-3)


def test_captions_of_no_picture_are_only_mistakes():
    images = units(3, 8)
    wrong = torch.cat((images, -images))
    alike = torch.eye(3, 6, dtype=torch.bool)
    near = torch.cat((images, functional.normalize(images + 0.1, dim=-1)))
    scale = torch.tensor(20.0)
    assert contrast(images, near, scale, alike=alike) > contrast(images, wrong, scale, alike=alike)


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("an orange house with a tiled red roof", "a pen drawing of a house with a roof"),
        ("a blue open door on striped green ground", "a pen drawing of an open door on ground"),
        ("a white rabbit with no hat", "a pen drawing of a rabbit with no hat"),
    ],
)
def test_a_drawings_caption_names_neither_colours_nor_prints(caption, expected):
    assert drawn_caption(caption, style="pen") == expected


def test_every_scene_has_a_drawn_caption_without_colours(scenes):
    for one in scenes:
        found = set(drawn_caption(one.caption(), style="wire").split())
        assert not found & {*COLOURS, *rendered_drawings.PRINTS}


def test_the_prints_are_those_of_the_world(scenes):
    named = {word for one in scenes for i in range(3) for word in one.caption(i).split()}
    assert set(rendered_drawings.PRINTS) <= named


def test_styles_are_drawn_by_turn_and_pieces_that_exist_are_kept(monkeypatch, tmp_path, scenes):
    monkeypatch.setattr(rendered_scenes, "PIECE", 4)
    here = partial(ThreadPoolExecutor, 1)  # other processes would not know the shorter pieces
    monkeypatch.setattr(rendered_drawings, "ProcessPoolExecutor", lambda *_args, **_options: here())
    shown = []
    paths = rendered_drawings.render(tmp_path, size=SIDE, count=7, workers=1, show=shown.append)
    drawings = DrawingAlbum(paths)
    assert len(drawings) == 7
    assert (shown[0], sorted(shown[1:])) == (0, [3, 4])
    found = drawings.drawings(torch.tensor([5, 1]))
    for sheet, number in zip(found, (5, 1), strict=True):
        style = tuple(STYLES)[number % len(STYLES)]
        expected = np.asarray(scenes[number].drawing(SIDE, style).convert("L"))
        assert np.array_equal(sheet.numpy(), expected)
    paths[0].write_bytes(b"kept")
    paths[1].unlink()
    rendered_drawings.render(tmp_path, size=SIDE, count=7, workers=1, show=shown.append)
    assert paths[0].read_bytes() == b"kept"
    assert np.load(paths[1]).shape == (3, SIDE, SIDE)
    assert shown[3:] == [4, 3]


def test_the_loss_is_the_generators_alone(task):
    with torch.no_grad():
        first, again, other = (float(task.loss(16, draw(seed))) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_the_loss_teaches_both_towers_and_the_scale(task):
    task.loss(16, draw()).backward()
    parts = {"visual.", "transformer.", "token_embedding", "text_projection", "logit_scale"}
    for part in parts:
        found = [p for n, p in task.network.named_parameters() if n.startswith(part)]
        assert any(p.grad is not None and p.grad.abs().max() > 0 for p in found), part


def test_the_scale_is_never_above_a_hundred(task):
    losses = []
    with torch.no_grad():
        for scale in (100.0, 1000.0, 50.0):
            task.network.logit_scale.fill_(np.log(scale))
            losses.append(float(task.loss(16, draw())))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert losses[0] != pytest.approx(losses[2], rel=1e-3)


def test_training_finds_captions_of_pictures_and_of_drawings(task, monkeypatch):
    monkeypatch.setattr(clip, "DRAWN", 0.6)  # so that few steps teach both
    before = task.figures()
    assert set(before) == {"retrieval", "retrieval_drawings"}
    assert max(before.values()) < 0.05
    optimiser = torch.optim.AdamW(task.network.parameters(), lr=4e-3)
    for step in range(240):
        optimiser.zero_grad()
        task.loss(32, draw(step)).backward()
        optimiser.step()
    after = task.figures()
    assert min(after.values()) > 0.12  # chance is 1 in 64


def test_figures_and_settled_networks_go_by_the_weights_alone(task):
    task.settle()
    settled = {name: tensor.clone() for name, tensor in task.network.named_buffers()}
    figures, loss = task.figures(), float(task.loss(16, draw()).detach())
    for name, tensor in task.network.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            tensor.fill_(7)
    assert task.figures() == figures
    assert float(task.loss(16, draw()).detach()) == loss
    task.settle()
    assert all(torch.equal(settled[name], t) for name, t in task.network.named_buffers())


def test_settled_statistics_are_those_of_training_pictures(task):
    task.settle()
    seen = []
    layer = task.network.visual.bn1
    hook = layer.register_forward_pre_hook(lambda _layer, inputs: seen.append(inputs[0].detach()))
    task.settle()
    hook.remove()
    values = torch.cat(seen)
    assert torch.allclose(layer.running_mean, values.mean((0, 2, 3)), atol=1e-3)
    assert torch.allclose(layer.running_var, values.var((0, 2, 3)), rtol=0.05)
    assert layer.momentum == 0.1


def test_the_folder_loads_offline_by_open_clips_own_name(tmp_path, tokenizer, monkeypatch, scenes):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    config = configuration(SMALL, tokenizer)
    network = build(config, seed=0).eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    folder = save_clip(tmp_path / "clip", network=network, tokenizer=tokenizer, config=config)
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())
    loaded, _, _ = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    captions = [one.caption() for one in scenes[:4]]
    numbers = open_clip.get_tokenizer(f"local-dir:{folder}")(captions)
    assert torch.equal(numbers, numbered(tokenizer, captions))
    image = torch.randn(2, 3, 64, 64, generator=draw())
    with torch.no_grad():
        assert torch.allclose(
            loaded.eval().encode_image(image), network.encode_image(image), atol=5e-3
        )
        assert torch.allclose(loaded.encode_text(numbers), network.encode_text(numbers), atol=5e-3)


def test_the_shipped_shape_is_small(tmp_path, tokenizer):
    config = configuration(SMALL, tokenizer)
    network = build(config, seed=0)
    assert sum(weight.numel() for weight in network.visual.parameters()) <= 4_000_000
    folder = save_clip(tmp_path, network=network, tokenizer=tokenizer, config=config)
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 12_000_000
    with safe_open(folder / "open_clip_model.safetensors", "pt") as tensors:
        dtypes = {tensors.get_tensor(name).dtype for name in tensors.offset_keys()}
    assert dtypes == {torch.float16, torch.int64}  # the latter counts batches


def test_random_weights_come_from_the_seed_alone(tokenizer):
    config = configuration(SMALL, tokenizer)
    state = torch.get_rng_state()
    first, second, third = (build(config, seed=seed).text_projection for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
