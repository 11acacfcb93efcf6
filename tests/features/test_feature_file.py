"""Maps are saved and loaded, are arrays to others, and show themselves in a notebook."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import featurekit as fk
from featurekit.cli.router import main
from featurekit.core.errors import ConfigError, OutputError, UnknownNameError
from featurekit.features.feature_maps import FeatureMaps, Features


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def maps():
    made = [
        Features(normal(1, 4, 3, 5).to(dtype), tap, t, stride, picture_px)
        for tap, t, stride, picture_px, dtype in (
            ("up1", 261, 8, (20, 37), torch.float32),
            ("up1", 1, 8, None, torch.bfloat16),
            ("mid", 261, 32, (90, 150), torch.float16),
        )
    ]
    return FeatureMaps(made, {"mid_block": "mid"})


# files


def test_maps_come_back_to_the_last_bit(maps, tmp_path):
    path = maps.save(tmp_path / "maps.safetensors")
    found = fk.load_features(path)
    assert len(found) == len(maps)
    for one, saved in zip(found, maps, strict=True):
        assert torch.equal(one.tensor, saved.tensor)
        assert one.tensor.dtype == saved.tensor.dtype
        assert (one.tap, one.timestep, one.stride, one.picture_px) == (
            saved.tap, saved.timestep, saved.stride, saved.picture_px,
        )  # fmt: skip
    assert found["mid_block"] is found["mid", 261]
    assert found["up1", 261].correspond(5, 5, maps["up1", 261]).score == pytest.approx(1)


def test_no_maps_are_saved_as_none(tmp_path):
    assert len(fk.load_features(FeatureMaps([]).save(tmp_path / "maps.safetensors"))) == 0


def test_what_the_command_wrote_is_read(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    fk.scenes.scene(7, "building").image(64).save("me.png")
    assert main(["extract", "backbone=random", "image=me.png", "taps=[up1,mid]", "out=f"]) == 0
    found = fk.load_features("f/features.safetensors")
    assert {one.tap for one in found} == {"up1", "mid"}
    assert all(one.picture_px == (64, 64) for one in found)


def test_a_file_of_something_else_is_refused(maps, tmp_path):
    path = tmp_path / "maps.safetensors"
    with pytest.raises(ConfigError, match=r"whole \.safetensors file"):
        fk.load_features(path)
    path.write_bytes(b"no tensors")
    with pytest.raises(ConfigError, match=r"whole \.safetensors file"):
        fk.load_features(path)
    save_file({"up1/261": normal(1, 4, 2, 2)}, path)
    with pytest.raises(ConfigError, match=r"maps\.save wrote, but .* names the format None"):
        fk.load_features(path)
    words = {"format": "featurekit features", "version": "9"}
    save_file({"up1/261": normal(1, 4, 2, 2)}, path, words)
    with pytest.raises(ConfigError, match="is of version '9', not 1"):
        fk.load_features(path)
    for record in ("{", json.dumps([{"tap": "up2", "t": 261, "stride": 8, "picture_px": None}])):
        save_file({"up1/261": normal(1, 4, 2, 2)}, path,
                  words | {"version": "1", "maps": record, "words": "{}"})  # fmt: skip
        with pytest.raises(ConfigError, match="does not fit its own record"):
            fk.load_features(path)


def test_a_failed_save_leaves_what_was_there(maps, tmp_path):
    with pytest.raises(OutputError):
        maps.save(tmp_path / "nowhere" / "maps.safetensors")


# arrays


@pytest.mark.parametrize("convert", [np.asarray, np.array, lambda f: f.numpy()])
def test_numpy_gets_the_numbers(maps, convert):
    for one in maps:
        array = convert(one)
        assert array.shape == one.shape == tuple(one.tensor.shape)
        np.testing.assert_array_equal(array, one.tensor.float().numpy())


def test_numpy_gets_the_dtype_and_the_copy_that_it_asks_for(maps):
    one = maps[0]
    assert np.asarray(one, dtype=np.float64).dtype == np.float64
    assert np.shares_memory(np.asarray(one), one.tensor.numpy())
    assert not np.shares_memory(np.array(one), one.tensor.numpy())


@pytest.mark.parametrize("convert", [torch.as_tensor, torch.from_dlpack])
def test_torch_gets_the_tensor(maps, convert):
    for one in maps:
        assert torch.equal(convert(one), one.tensor)


def test_gradients_are_left_behind_by_an_array():
    one = Features(normal(1, 4, 2, 2).requires_grad_(), "up1", 261, 8)
    np.testing.assert_array_equal(np.asarray(one), one.tensor.detach().numpy())
    assert torch.equal(torch.as_tensor(one), one.tensor.detach())


def test_a_map_is_moved_and_cast_and_stays_what_it_is(maps):
    one = maps[0]
    half = one.to(torch.float16)
    assert (half.dtype, half.device, half.tap) == (torch.float16, torch.device("cpu"), "up1")
    assert type(one.cpu()) is Features
    assert one.to("meta").device.type == "meta"
    assert maps.cpu()["mid_block"].picture_px == (90, 150)


# notebooks


def test_a_notebook_completes_keys(maps):
    keys = maps._ipython_key_completions_()
    assert keys == ["mid", ("up1", 261), ("up1", 1), ("mid", 261)]
    assert all(isinstance(maps[key], Features) for key in keys)


def test_a_notebook_shows_a_row_for_each_map_and_no_more_than_some(maps):
    shown = maps._repr_html_()
    assert shown.count("<tr>") == 4
    assert "<td>up1</td><td>261</td><td>1 x 4 x 3 x 5</td><td>8 px</td>" in shown
    many = FeatureMaps([Features(normal(1, 4, 2, 2), "<b>", t, 8) for t in range(50)])
    assert many._repr_html_().count("<tr>") == 41
    assert "and 10 more" in many._repr_html_()
    assert "&lt;b&gt;" in many._repr_html_()
    assert "<b>" not in many._repr_html_()


@pytest.mark.parametrize(("key", "shown"), [
    (("up1", 262), r'no feature map named \("up1", 262\); did you mean \("up1", 261\)'),
    ("up", "no feature map named 'up'; did you mean up1"),
])  # fmt: skip
def test_a_key_is_told_as_it_is_written(maps, key, shown):
    with pytest.raises(UnknownNameError, match=shown):
        maps[key]


def test_the_package_shows_its_public_names_alone():
    star: dict = {}
    exec("from featurekit import *", star)  # what a person types
    assert set(star) - {"__builtins__"} == set(fk.__all__)
    assert set(dir(fk)) == {*fk.__all__, "__version__"}
