"""Files that version 0.1 saved still load, hold what they held, and are gone on with.

What is too large to lie in the repository (styles, sessions of sketch, checkpoints of the embedded
model) is put together here: the names, shapes and metadata that version 0.1 wrote, numbers of a
seed. ``saved/v0_1/README.md`` says what made each file.
"""

import json
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import featurekit as fk
from featurekit.cli.router import main
from featurekit.core.file_bytes import read_metadata
from featurekit.core.json_files import read_json
from featurekit.core.types import Conditioning
from featurekit.images.io import read_tensors
from featurekit.store.read import StoredFeatures
from featurekit.store.records import Provenance, SampleRef, StoreSpec
from featurekit.store.trajectory_reader import recomputed
from featurekit.store.write import write_store
from featurekit.training import recipe, stages
from featurekit.training.networks import clip
from featurekit.training.recipe import LARGE, SMALL, Run

SAVED = Path(__file__).parent / "saved" / "v0_1"
SKETCH, EMBEDDED = SAVED / "sketch", SAVED / "embedded"
MODEL, WAYS, STORES = (
    read_json(SAVED / name) for name in ("model.json", "trajectories/numbers.json", "stores.json")
)
STYLES, SESSIONS = (read_json(SKETCH / name) for name in ("styles.json", "sessions.json"))
# what their next iteration gives since pictures of such sides lie in each corner of their frame
FRAMED = read_json(SKETCH / "framed.json")
SEES = " ('unet', 'vae')"  # how the key of a session ends: the sources of its network


@pytest.fixture(scope="module")
def embedded():
    backbone = fk.load_backbone("embedded", device="cpu")
    if dict(backbone.weights) != MODEL["weights"]:
        pytest.skip("other weights ship than those that these files were made with")
    return backbone


def rebuilt(path, record, *, step=0.0, given=None, **words):
    """Write a file of the recorded names, shapes and words with numbers of a seed."""
    tensors = dict(given or {})
    for group in record["groups"]:
        for name, sides in group["shapes"].items():
            shape = [int(side) for side in sides.split()]
            tensors |= {prefix + name: numbers(prefix, name, shape) for prefix in group["prefixes"]}
            tensors |= {prefix + name: torch.tensor(step) for prefix in group["scalars"]}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, record["metadata"] | words)
    return tensors


def numbers(prefix, name, shape):
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(crc32(name.encode())))
    if prefix in ("first/", "adam.exp_avg."):
        return 1e-3 * drawn
    if prefix in ("second/", "adam.exp_avg_sq."):
        return 1e-4 * (1 + drawn.square())
    if len(shape) > 1:
        return drawn / (drawn.numel() / shape[0]) ** 0.5
    return 0.1 * drawn + float(name.endswith("weight"))


# trajectories


class Mixture:
    """What was inverted with."""

    def __init__(self, fingerprint):
        templates = torch.linspace(-1, 1, 96, dtype=torch.float64).reshape(3, 2, 4, 4)
        self.denoiser = fk.testing.MixtureDenoiser(templates, sigma=0.3)
        self.fingerprint = fingerprint

    def __call__(self, z, t):
        return self.denoiser(z, t)


@pytest.mark.parametrize("method", WAYS)
def test_a_trajectory_is_the_one_that_was_saved(method):
    way, said = fk.load_trajectory(SAVED / "trajectories" / f"{method}.safetensors"), WAYS[method]
    kept = way.arrivals is not None and len(way.arrivals)
    rms = None if way.fixed_point_rms is None else list(way.fixed_point_rms)
    found = (way.method, way.until, way.states, way.fingerprint, kept, rms)
    names = ("until", "states", "fingerprint", "residuals", "fixed_point_rms")
    assert found == (method, *(said[name] for name in names))
    assert list(way.schedule.timesteps) == said["timesteps"]
    assert way.at(way.until)[0].flatten().tolist() == said["top"]


@pytest.mark.parametrize("method", WAYS)
def test_a_trajectory_leads_back_to_where_it_came_from(method):
    way = fk.load_trajectory(SAVED / "trajectories" / f"{method}.safetensors")
    latent = torch.linspace(1, -1, 32, dtype=torch.float64).reshape(1, 2, 4, 4).cos()
    walk = {"start": way.until, "trajectory": way}
    back = fk.sample(Mixture(way.fingerprint), way.at(way.until), way.schedule, **walk)
    torch.testing.assert_close(back[:1], latent, rtol=0, atol=1e-9)
    if method in ("ddim", "anderson", "residual"):
        with pytest.raises(fk.errors.ConfigError, match="a mixture of three"):
            fk.sample(Mixture("another"), way.at(way.until), way.schedule, **walk)


# stores


@pytest.mark.parametrize("name", STORES)
def test_a_store_is_whole_and_holds_what_was_stored(name, tmp_path, capsys):
    store = shutil.copytree(SAVED / name, tmp_path / name)
    assert main(["store", "verify", str(store)]) == 0
    assert "is whole: 3 samples" in capsys.readouterr().out
    found = dict(StoredFeatures(store)[index] for index in range(3))
    assert set(found) == set(STORES[name])
    for sample, tensors in STORES[name].items():
        assert set(found[sample]) == set(tensors)
        for tensor, said in tensors.items():
            one = found[sample][tensor]
            assert list(one.shape) == said["shape"]
            assert one.flatten()[:6].tolist() == said["numbers"]
            assert float(one.double().sum()) == pytest.approx(said["sum"], abs=1e-9)


def test_a_store_is_asked_for_what_it_lacks_and_for_nothing_else(tmp_path):
    made = Provenance(
        backbone="fake",
        weights="0123abcd",
        taps={"up1": "up_blocks.1"},
        timesteps=(261,),
        levels=(3,),
        schedule="0a1b",
        conditioning="feedbeef",
        preprocessing="reflect padding to 32 px",
        seeds="one noise a sample",
    )
    samples = [
        SampleRef(f"{i}.png", sha256(bytes([i])).hexdigest(), (32, 48), seed=i) for i in range(4)
    ]
    asked = []

    def read(some):
        for ref in some:
            asked.append(ref.id)
            yield ref.id, {"up1/261": torch.zeros(4, 4, 6)}

    store = shutil.copytree(SAVED / "numbers", tmp_path / "numbers")
    write_store(store, samples, read=read, spec=StoreSpec(made, ("pool:2", "pca:2", "int8")))
    assert asked == ["3.png"]
    assert len(StoredFeatures(store)) == 4


@pytest.mark.parametrize(
    ("name", "words", "prompt"),
    [
        ("features", ["taps=[up1,mid]", "timesteps=[261]", "reduce=[pool:2,pca:2,fp16]"], ""),
        ("inversions", ["trajectories=ddim-2", "reduce=[fp16]"], "a house"),
    ],
)
def test_a_store_of_pictures_takes_another_one(embedded, name, words, prompt, tmp_path, capsys):
    made = read_json(SAVED / name / "store.json")["provenance"]
    if embedded.embed(prompt).fingerprint != made["conditioning"]:
        pytest.skip("here the prompt's states round otherwise, which is another store by design")
    store = shutil.copytree(SAVED / name, tmp_path / name)
    album = shutil.copytree(SAVED / "pictures", tmp_path / "album")
    shutil.copy(album / "a.png", album / "d.png")
    given = [f"image={album}", f"store={store}", f"prompt={prompt}", "device=cpu"]
    assert main(["extract", *given, *words]) == 0
    assert "1 samples stored (3 there already)" in capsys.readouterr().out
    if name == "inversions":
        asked = fk.Recipe(["mid"], [501])
        made_of = recomputed(store, embedded, asked, prompt=prompt, ids=[*MODEL["recomputed"]])
        for (_, tensors), said in zip(made_of, MODEL["recomputed"].values(), strict=True):
            assert tensors["mid/501"].flatten()[:6].tolist() == pytest.approx(said, abs=1e-3)


# sketch


def test_the_same_captions_give_the_prior_that_was_saved(tmp_path):
    path, captions = tmp_path / "prior.safetensors", SKETCH / "captions.txt"
    given = ["backbone=random", f"captions={captions}", "components=1", "device=cpu"]
    assert main(["fit-prior", *given, f"out={path}"]) == 0
    found, said = read_metadata(path), read_metadata(SKETCH / "prior.safetensors")
    assert float(found.pop("kept")) == pytest.approx(float(said.pop("kept")))
    assert found == said
    tensors = read_tensors(path)
    for name, one in read_tensors(SKETCH / "prior.safetensors").items():
        same = tensors[name] * (tensors[name] * one).sum().sign()  # an axis has no direction
        torch.testing.assert_close(same, one, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("backbone", STYLES)
def test_a_style_draws_what_it_drew(backbone, request, tmp_path):
    if backbone == "embedded":
        request.getfixturevalue("embedded")
    weights = read_json(SKETCH / "training.json")["groups"][0]["shapes"]
    group = {"prefixes": [""], "scalars": [], "shapes": weights}
    style = tmp_path / "style.safetensors"
    rebuilt(style, {"metadata": STYLES[backbone], "groups": [group]})
    words = [f"backbone={backbone}", f"image={SKETCH / 'picture.png'}", f"plugin.style={style}"]
    out = tmp_path / "out"
    assert main(["run", "plugin=sketch", "task=extract", *words, "device=cpu", f"out={out}"]) == 0
    found, said = (
        np.asarray(Image.open(path), dtype=float)
        for path in (out / "picture.png", SKETCH / f"drawn-{backbone}.png")
    )
    assert said.std() > 20
    assert abs(found - said).max() <= 3  # of 255


@pytest.fixture(scope="module")
def prior_of_the_world(embedded, tmp_path_factory):
    path = tmp_path_factory.mktemp("prior") / "prior.safetensors"
    assert main(["fit-prior", "device=cpu", f"out={path}"]) == 0
    return path


def digest(facts):
    return sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def session(folder, said, prior):
    """A session that lacks its last iteration; what a machine rounds its own way is this one's."""
    assert digest(said["sampling"]) == said["sampling_key"]
    assert digest(said["facts"]) == said["key"]
    tensors = read_tensors(prior)
    parts = (tensors[name].numpy().tobytes() for name in ("mean", "deviations", "axes"))
    backbone = fk.load_backbone(said["backbone"], device="cpu")
    states = backbone.embed(said["prompt"]).fingerprint
    sampling = [*said["sampling"][:3], states, sha256(b"".join(parts)).hexdigest()]
    sampling_key = digest([*sampling, *said["sampling"][5:]])
    samples = read_json(SKETCH / "sample.json")
    for i in range(said["samples"]):
        timesteps = {"timesteps": torch.tensor(said["timesteps"])}
        rebuilt(folder / f"samples/{i:04d}.safetensors", samples, given=timesteps, key=sampling_key)
    record, done = read_json(SKETCH / "training.json"), said["iterations"] - 1
    terms = len(record["metadata"]["terms"].split())
    trace = torch.arange(done * terms, dtype=torch.float64).reshape(done, terms) / 1000
    key = digest([*said["facts"][:-1], sampling_key]) + SEES
    path = folder / "training.safetensors"
    return rebuilt(path, record, step=float(done), given={"trace": trace}, key=key)


def learn(folder, said, *words):
    given = [word.format(saved=SKETCH) for word in said["words"]]
    if not any(word.startswith("experiment=") for word in given):
        given.append("experiment=sketch_views")  # what was the default then
    return main(["run", "plugin=sketch", *given, *words, "device=cpu", f"out={folder}"])


def prior_of(said, request):
    own = any("plugin.prior" in word for word in said["words"])
    return SKETCH / "prior.safetensors" if own else request.getfixturevalue("prior_of_the_world")


@pytest.mark.parametrize("name", SESSIONS)
def test_a_session_goes_on_where_it_was_stopped(name, request, tmp_path):
    said = SESSIONS[name] | FRAMED.get(name, {})
    before = session(tmp_path, said, prior_of(said, request))
    sampled = {path: path.read_bytes() for path in (tmp_path / "samples").iterdir()}
    key = read_metadata(tmp_path / "training.safetensors")["key"]
    assert learn(tmp_path, said) == 0
    assert {path: path.read_bytes() for path in (tmp_path / "samples").iterdir()} == sampled
    after = read_tensors(tmp_path / "training.safetensors")
    assert set(after) == set(before)
    assert read_metadata(tmp_path / "training.safetensors")["key"] == key
    assert torch.equal(after["trace"][:-1], before["trace"])
    assert after["trace"][-1].tolist() == pytest.approx(said["last"], rel=1e-2, abs=1e-3)
    assert after["weight.decoder.out.3.bias"].tolist() == pytest.approx(said["bias"], abs=1e-4)
    logits = after["weight.levels.top.logits"].flatten()[:3].tolist()
    assert logits == pytest.approx(said["logits"], abs=1e-4)
    assert {float(one) for name, one in after.items() if ".step." in name} == {said["iterations"]}
    assert read_json(tmp_path / "run.json")["metrics"]["iterations"] == said["iterations"]


def test_a_session_of_other_settings_is_refused(tmp_path, capsys):
    said = SESSIONS["own"]
    session(tmp_path, said, SKETCH / "prior.safetensors")
    assert learn(tmp_path, said, "plugin.l1=21") == 2
    assert "training.safetensors' is of another training" in capsys.readouterr().err


def test_a_prompt_is_known_by_the_digest_that_it_was_known_by():
    states, pooled = torch.arange(12.0).reshape(1, 3, 4), torch.arange(4.0)[None]
    found = Conditioning(states, "a red star", {"pooled": pooled}).fingerprint
    assert found == MODEL["conditioning"]


# the embedded model

RUN = Run(samples=32, batch=8, rate=1e-3, average=0.9, warm_up=2)
SHAPE = {
    name: tuple(value) if isinstance(value, list) else value
    for name, value in json.loads(read_json(EMBEDDED / "vae.json")["metadata"]["recipe"]).items()
}
TINY = replace(SMALL, **SHAPE, scenes=4, drawings=4, vae=RUN, decoder=RUN, unet=RUN, clip=RUN)
AFTER = read_json(EMBEDDED / "numbers.json")["after"]


def checkpoint(folder, stage):
    record = read_json(EMBEDDED / f"{stage}.json")
    return rebuilt(folder / f"{stage}.ckpt.safetensors", record, step=2.0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A training whose stages were all stopped halfway, gone on with."""
    folder = shutil.copytree(EMBEDDED, tmp_path_factory.mktemp("training") / "runs")
    words = ["train-embedded", "recipe=tiny", f"folder={folder}", "workers=1", "device=cpu"]
    before = {stage: checkpoint(folder, stage) for stage in AFTER}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe, "RECIPES", {"tiny": TINY})
        patch.setattr(stages, "WATCHED", 4)
        patch.setattr(clip, "CANDIDATES", 2)
        patch.setattr(clip, "SETTLED", 1)
        assert main([*words, "stages=[scenes,vae]"]) == 0
        checkpoint(folder, "decoder")  # another autoencoder's went with its latents
        shutil.copy(next(EMBEDDED.glob("latents-*.npy")), folder)
        assert main([*words, "stages=[scenes,decoder,latents,unet,clip]"]) == 0
    return folder, before


@pytest.mark.parametrize("stage", AFTER)
def test_a_stage_of_the_embedded_model_goes_on_where_it_was_stopped(trained, stage):
    folder, before = trained
    path = folder / f"{stage}.ckpt.safetensors"
    words, said = read_metadata(path), read_json(EMBEDDED / f"{stage}.json")["metadata"]
    found, then = (json.loads(one["progress"]) for one in (words, said))
    assert words["fingerprint"] == said["fingerprint"]
    assert (found["step"], found["samples"]) == (AFTER[stage]["step"], AFTER[stage]["samples"])
    assert found["started"] == then["started"]
    assert found["history"][: len(then["history"])] == then["history"]
    assert found["history"][-1]["loss"] == pytest.approx(AFTER[stage]["loss"], rel=1e-2)
    after = read_tensors(path)
    assert set(after) == set(before[stage])
    moved = {name: (one - before[stage][name]).abs().max() for name, one in after.items()}
    assert 0 < max(one for name, one in moved.items() if name[:8] == "weights/") < 1e-2


def test_pictures_drawings_and_latents_are_taken_as_they_are(trained):
    found, said = (
        {path.name: path.read_bytes() for path in folder.glob("*-32-*")}
        for folder in (trained[0], EMBEDDED)
    )
    assert found == said


def test_the_shipped_recipes_are_known_by_the_digests_that_they_were_known_by():
    said = read_json(EMBEDDED / "numbers.json")["fingerprints"]
    assert {one.name: one.fingerprint() for one in (SMALL, LARGE)} == said
