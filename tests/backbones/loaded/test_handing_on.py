"""A backbone in another process or as a copy: the same one, or a sentence why not."""

import copy
import pickle
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from reduced import reduced_configs

from featurekit.backbones import load
from featurekit.backbones.random import load as load_random
from featurekit.backbones.unet import sd, sdxl
from featurekit.core.errors import BackboneError

Z = torch.linspace(-1, 1, 4 * 64).reshape(1, 4, 8, 8)


@pytest.fixture
def model(written):
    return load("sd15", "cpu", source=written("sd15"))


@torch.no_grad()
def answer(model):
    return model.predictor(model.embed("a face"), 2.0)(Z, 261)


def test_a_pickle_says_how_it_was_loaded_and_holds_no_weights(model, written):
    text = pickle.dumps(model)
    assert len(text) < 1000
    again = pickle.loads(text)
    assert (again.name, again.dtype, again.device) == ("sd15", model.dtype, model.device)
    assert again.weights == model.weights
    assert torch.equal(answer(again), answer(model))


def test_a_relative_folder_is_found_from_elsewhere(written, monkeypatch, tmp_path):
    monkeypatch.chdir(written("sd15").parent)
    text = pickle.dumps(load("./sd15", "cpu", "bfloat16"))
    monkeypatch.chdir(tmp_path)
    again = pickle.loads(text)
    assert (again.name, again.dtype) == ("./sd15", torch.bfloat16)


@pytest.mark.parametrize(
    "make",
    [
        lambda: load("embedded", "cpu"),
        lambda: load_random("cpu", seed=3),
        lambda: sdxl.build("xl", reduced_configs("sdxl"), device="cpu", seed=2),
    ],
    ids=["embedded", "random", "sdxl"],
)
def test_every_family_comes_back(make):
    model = make()
    again = pickle.loads(pickle.dumps(model))
    assert type(again) is type(model)
    found, meant = again.unet.state_dict(), model.unet.state_dict()
    assert all(torch.equal(found[name], one) for name, one in meant.items())


def test_a_process_that_is_started_anew_is_handed_one(tmp_path):
    path = tmp_path / "backbone.pickle"
    path.write_bytes(pickle.dumps(load("random", "cpu")))
    code = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb')).name)"
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    assert done.stdout == "random\n"


def add_adapter(model):
    from peft import LoraConfig

    model.unet.add_adapter(LoraConfig(r=2, target_modules=["to_q"]))


def add_to_data(model):
    model.unet.conv_in.weight.data.add_(1e-3)


def add_in_place(model):
    with torch.no_grad():
        model.vae.encoder.conv_in.bias.add_(1)


CHANGES = {
    "an adapter": (add_adapter, "the unet of 'sd15' has been changed"),
    "numbers": (add_in_place, "the vae of"),
    "numbers without a trace": (add_to_data, "the unet of"),
    "half precision": (lambda model: model.text_encoder.half(), "the text_encoder of"),
    "FreeU": (lambda model: model.unet.enable_freeu(0.9, 0.2, 1.2, 1.4), "the unet of"),
    "tiles": (lambda model: model.vae.enable_tiling(), "the vae of"),
    "a hook": (
        lambda model: model.unet.mid_block.register_forward_hook(lambda *_: None),
        "mid_block of the unet has a hook",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_one_is_refused_in_one_sentence_and_copied_whole(name, model):
    change, message = CHANGES[name]
    before = answer(model)
    change(model)
    with pytest.raises(BackboneError, match=rf"must be as it was loaded.*{message}") as refusal:
        pickle.dumps(model)
    assert "\n" not in str(refusal.value)
    if name in ("an adapter", "half precision"):
        return  # an adapter begins without effect, and half precision needs a cast at the border
    copied = copy.deepcopy(model)
    # numbers are copied to the bit; what a kernel makes of them hangs on how memory is aligned
    for part in ("unet", "vae", "text_encoder"):
        numbers = getattr(model, part).state_dict()
        copies = getattr(copied, part).state_dict()
        assert copies.keys() == numbers.keys()
        assert all(torch.equal(copies[key], one) for key, one in numbers.items())
    assert torch.allclose(answer(copied), answer(model), atol=1e-5)
    kept = name not in ("numbers without a trace", "FreeU")
    assert torch.allclose(answer(copied), before, atol=1e-5) is kept


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.unet.set_attention_slice("max"),
        lambda model: model.unet.train(),
        lambda model: model.unet.enable_gradient_checkpointing(),
    ],
    ids=["slices", "training", "checkpointing"],
)
def test_what_changes_no_answer_is_left_behind(model, change):
    before = answer(model)
    change(model)
    assert torch.equal(answer(pickle.loads(pickle.dumps(model))), before)


def test_a_deep_copy_shares_nothing_and_a_shallow_one_its_networks(model):
    deep, shallow = copy.deepcopy(model), copy.copy(model)
    assert shallow.unet is model.unet
    pairs = zip(deep.unet.parameters(), model.unet.parameters(), strict=True)
    assert not any(one.data_ptr() == other.data_ptr() for one, other in pairs)
    add_to_data(deep)
    assert not torch.equal(answer(deep), answer(model))
    assert torch.equal(answer(shallow), answer(model))
    assert deep.taps == model.taps


def test_one_that_nobody_loaded_says_so(model):
    with pytest.raises(BackboneError, match="pickled by how it was loaded, which 'sd15' does not"):
        pickle.dumps(replace(model, origin=None))


def test_a_folder_that_is_gone_is_told_where_it_is_unpickled(folder):
    text = pickle.dumps(sd.load_folder(folder, name="mine", device="cpu"))
    (folder / "unet/config.json").unlink()
    with pytest.raises(BackboneError, match=r"has no unet/config\.json"):
        pickle.loads(text)
