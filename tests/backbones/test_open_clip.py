"""OpenClip: pictures prepared as open_clip does, gradients to the pixels, one-sentence errors."""

import json
import shutil

import huggingface_hub
import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from featurekit.backbones import open_clip as family
from featurekit.backbones.open_clip import CONFIG, WEIGHTS, load
from featurekit.core.errors import BackboneError, ShapeError
from featurekit.training.data import tokenizer_training
from featurekit.training.networks.clip import build, save_clip

SIDE = 32
TEXTS = ["a red house", "a blue dog on a green background"]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A narrow transformer with random weights; do not change it."""
    tokenizer = tokenizer_training.learn(TEXTS, tmp_path_factory.mktemp("words"), tokens=12)
    config = {
        "embed_dim": 16,
        "vision_cfg": {
            "image_size": SIDE,
            "patch_size": 8,
            "width": 32,
            "head_width": 16,
            "layers": 3,
        },
        "text_cfg": {
            "context_length": 12,
            "vocab_size": len(tokenizer),
            "hf_tokenizer_name": "tokenizer",
            "width": 32,
            "heads": 2,
            "layers": 1,
        },
    }
    folder = tmp_path_factory.mktemp("models") / "clip"
    network = build(config, seed=1)
    return save_clip(folder, network=network, tokenizer=tokenizer, config=config)


@pytest.fixture
def folder(written, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(written, tmp_path / "model")


@pytest.fixture(scope="module")
def model(written):
    return load(written, "cpu")


@pytest.fixture
def picture():
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def tensor(picture):
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]
    return pixels.float() / 127.5 - 1


def edit(folder, change):
    record = json.loads((folder / CONFIG).read_text())
    change(record)
    (folder / CONFIG).write_text(json.dumps(record))


def test_a_picture_of_the_right_size_is_prepared_as_open_clip_does(written, model, picture):
    _, _, transform = open_clip.create_model_and_transforms(f"local-dir:{written}")
    assert torch.allclose(model.prepared(tensor(picture))[0], transform(picture), atol=1e-5)


def test_vectors_are_those_of_open_clip(written, model, picture):
    network, _, transform = open_clip.create_model_and_transforms(f"local-dir:{written}")
    network.eval()
    own = network.encode_image(transform(picture)[None])
    assert torch.allclose(model.encode_image(tensor(picture)), own, atol=1e-5)
    numbers = open_clip.get_tokenizer(f"local-dir:{written}")(TEXTS)
    own = network.encode_text(numbers, normalize=True)
    assert torch.allclose(model.embed_text(TEXTS), own, atol=1e-5)
    assert not torch.allclose(own[0], own[1], atol=1e-2)


@pytest.mark.parametrize(("height", "width"), [(SIDE, SIDE), (20, 50), (90, 40)])
def test_a_picture_of_any_size_gives_a_unit_vector(model, height, width):
    found = model.embed_image(torch.rand(2, 3, height, width) * 2 - 1)
    assert found.shape == (2, 16)
    assert torch.allclose(found.norm(dim=1), torch.ones(2), atol=1e-5)


def test_the_gradient_reaches_every_part_of_the_picture_and_no_weight(model):
    image = (torch.rand(1, 3, 48, 48) * 2 - 1).requires_grad_()
    model.embed_image(image)[0, 0].backward()
    assert (image.grad.abs().sum(1) > 0).float().mean() > 0.99
    assert all(weight.grad is None for weight in model.network.parameters())


def test_the_gradient_is_that_of_finite_differences(written):
    model = load(written, "cpu", torch.float64)
    image = (torch.rand(1, 3, 40, 40, dtype=torch.float64) * 2 - 1).requires_grad_()
    target = torch.randn(16, dtype=torch.float64)
    (model.embed_image(image)[0] @ target).backward()
    direction = torch.randn_like(image)
    with torch.no_grad():
        ahead, behind = (
            model.embed_image(image + step * direction)[0] @ target for step in (1e-5, -1e-5)
        )
    slope = (ahead - behind) / 2e-5
    assert torch.isclose((image.grad * direction).sum(), slope, rtol=1e-4)


def test_a_checkerboard_of_single_pixels_becomes_grey(model):
    places = torch.arange(8 * SIDE)
    board = ((places[:, None] + places) % 2 * 2.0 - 1).expand(1, 3, -1, -1)
    inner = model.prepared(board)[..., 2:-2, 2:-2]
    assert inner.std(dim=(2, 3)).max() < 0.01
    grey = model.prepared(torch.zeros(1, 3, SIDE, SIDE))
    assert torch.allclose(inner.mean(dim=(2, 3)), grey[..., 0, 0], atol=0.01)


def test_a_wide_picture_is_squashed_or_cut_as_the_model_says(folder, model):
    middle = torch.rand(1, 3, SIDE, SIDE) * 2 - 1
    wide = torch.cat((torch.full_like(middle, -1), middle, torch.full_like(middle, 1)), dim=3)
    assert not torch.allclose(model.prepared(wide), model.prepared(middle), atol=0.1)
    edit(folder, lambda record: record["preprocess_cfg"].update(resize_mode="shortest"))
    cutting = load(folder, "cpu")
    assert torch.equal(cutting.prepared(wide), cutting.prepared(middle))


def test_features_are_what_the_blocks_put_out(model, picture):
    image, seen = tensor(picture), {}
    blocks = model.network.visual.transformer.resblocks
    hooks = [
        blocks[i].register_forward_hook(lambda _m, _a, out, i=i: seen.update({i: out}))
        for i in (0, 2)
    ]
    first, last = model.image_features(image, [0, 2])
    for hook in hooks:
        hook.remove()
    assert first.shape == (1, 32, 4, 4)
    assert torch.equal(first.flatten(2).transpose(1, 2), seen[0][:, 1:])
    assert torch.equal(last.flatten(2).transpose(1, 2), seen[2][:, 1:])


@pytest.mark.parametrize("layers", [[3], [-1], [1, 0], [1, 1], []])
def test_layers_that_are_none_are_refused(model, picture, layers):
    with pytest.raises(BackboneError, match=r"layers must .*got \["):
        model.image_features(tensor(picture), layers)


def test_the_model_is_frozen_and_evaluating(model):
    assert not model.network.training
    assert not any(weight.requires_grad for weight in model.network.parameters())
    assert not model.embed_text(TEXTS).requires_grad


def test_weights_take_the_dtype_and_results_the_pictures(written):
    model = load(written, "cpu", "bfloat16")
    assert model.embed_text(TEXTS).dtype == model.dtype == torch.bfloat16
    image = torch.zeros(1, 3, SIDE, SIDE)
    assert model.embed_image(image).dtype == torch.float32
    assert {part.dtype for part in model.image_features(image, [0])} == {torch.float32}


def test_loading_leaves_the_global_random_numbers_alone(written):
    before = torch.get_rng_state()
    load(written, "cpu")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_picture_with_other_axes_is_refused(model):
    with pytest.raises(ShapeError, match=r"image must be \(b 3 h w\)"):
        model.embed_image(torch.zeros(3, SIDE, SIDE))


def test_no_text_is_refused(model):
    with pytest.raises(BackboneError, match="texts must be one or more"):
        model.embed_text([])


def test_a_pickle_in_place_of_the_weights_is_not_opened(folder):
    (folder / WEIGHTS).rename(folder / "open_clip_pytorch_model.bin")
    with pytest.raises(BackboneError, match=f"has no {WEIGHTS}"):
        load(folder, "cpu")


def test_damaged_weights_are_one_sentence(folder):
    (folder / WEIGHTS).write_bytes(b"nothing")
    with pytest.raises(BackboneError, match="must hold a model that open_clip can build") as error:
        load(folder, "cpu")
    assert "\n" not in str(error.value)


def test_weights_of_another_shape_are_one_sentence(folder):
    edit(folder, lambda record: record["model_cfg"].update(embed_dim=8))
    with pytest.raises(BackboneError, match="must hold a model that open_clip can build") as error:
        load(folder, "cpu")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"model_cfg": {"text_cfg": 3}}'])
def test_a_config_of_another_form_is_refused(folder, text):
    (folder / CONFIG).write_text(text)
    with pytest.raises(BackboneError, match="must be JSON with a model_cfg"):
        load(folder, "cpu")


@pytest.mark.parametrize(
    "foreign", [{"hf_model_name": "roberta"}, {"tokenizer_kwargs": {"trust_remote_code": True}}]
)
def test_a_text_encoder_from_elsewhere_is_refused(folder, foreign):
    edit(folder, lambda record: record["model_cfg"]["text_cfg"].update(foreign))
    with pytest.raises(BackboneError, match=f"takes one from elsewhere .{next(iter(foreign))}"):
        load(folder, "cpu")


def test_a_model_that_pads_pictures_is_refused(folder):
    edit(folder, lambda record: record["preprocess_cfg"].update(resize_mode="longest"))
    with pytest.raises(BackboneError, match=r"resize_mode of .* got 'longest'"):
        load(folder, "cpu")


def test_a_name_that_is_nothing_is_refused():
    with pytest.raises(BackboneError, match="neither"):
        load("./nowhere", "cpu")


def test_a_hub_id_without_network_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(BackboneError, match="'nobody/nothing' must be a folder here") as error:
        load("nobody/nothing", "cpu")
    assert "\n" not in str(error.value)


def test_a_hub_id_that_was_downloaded_before_loads_without_network(monkeypatch, tmp_path):
    repository = tmp_path / "models--somebody--small"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0123abc")
    shutil.copytree(family.shipped_folder(), repository / "snapshots" / "0123abc")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    found, shipped = load("somebody/small", "cpu"), load(device="cpu")
    assert found.name == "somebody/small"
    texts = ["a red house", "a drawing of a face"]
    torch.testing.assert_close(found.embed_text(texts), shipped.embed_text(texts), rtol=0, atol=0)


def test_a_package_without_the_shipped_model_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(family, "files", lambda _package: tmp_path)
    with pytest.raises(BackboneError, match=r"found no folder .*weights.open_clip"):
        load(device="cpu")
