"""Nothing public needs float64 on a device that has none, nor mixes that device with the CPU."""

import pytest
import torch
from emulated_mps import Emulated, OnMps, module_to, moved
from optimising import OPTIMISING
from reduced import reduced_configs
from torch import nn

import featurekit as fk
from featurekit import backbones
from featurekit.analysis.artefacts import high_norms, massive_channels, position_probe
from featurekit.analysis.gram import gram_of
from featurekit.analysis.representative_timesteps import feature_gram
from featurekit.backbones.lora import LoraRecipe, applied, fit_lora
from featurekit.backbones.unet import sd
from featurekit.diffusion.backbone import guided
from featurekit.diffusion.denoising_objective import denoising_objective
from featurekit.diffusion.methods.kinds import FLOW_METHODS, METHODS
from featurekit.features.aggregate import averaged, concatenated
from featurekit.features.matching import match_patch
from featurekit.features.streaming import pooled, principal, projected
from featurekit.store.export import store_pictures
from featurekit.store.picture_reader import PictureReader
from featurekit.store.trajectory_reader import Inversion, TrajectoryReader
from featurekit.taps.attention_sharing import self_attention_paths, share_attention


def seeded():
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="module")
def model():
    """A narrow model on the emulated device."""
    found = sd.build("sd15", reduced_configs("sd15"), device="cpu", seed=1)
    for network in (found.unet, found.vae, found.text_encoder):
        moved(network)
    return found


@pytest.fixture(autouse=True)
def emulated(monkeypatch):
    monkeypatch.setattr(nn.Module, "to", module_to)
    with Emulated():
        yield


@pytest.fixture
def image():
    return (torch.rand(1, 3, 64, 64, generator=seeded()) * 2 - 1).to("mps")


@pytest.fixture
def z(model):
    return torch.randn(1, 4, 8, 8, generator=seeded()).to("mps")


@pytest.fixture
def maps(model, image):
    return fk.extract(model, image, taps=["up1", "mid"], timesteps=[261])


def test_the_stand_in_refuses_what_such_a_device_refuses(z):
    for made in (z.double, lambda: torch.zeros(2, dtype=torch.float64, device="mps"),
                 lambda: z.mean(dtype=torch.float64), lambda: torch.zeros(2).double().to("mps"),
                 lambda: z.to("cpu", torch.float64)):  # fmt: skip
        with pytest.raises(TypeError, match="float64"):
            made()
    with pytest.raises(RuntimeError, match="one device"):
        z + torch.zeros(1, 4, 8, 8)
    with pytest.raises(TypeError, match="numpy"):
        z.numpy()
    assert type((z + 1).cpu()) is torch.Tensor


def test_levels_of_a_batch(model):
    t = torch.tensor([261, 301]).to("mps")
    torch.testing.assert_close(model.noise.level(t), model.noise.level(t.cpu()))


def test_a_batch_of_timesteps_is_predicted(model, z):
    predict = model.predictor(model.embed("a cat"), guidance=2.0)
    found = predict(torch.cat([z, z]), torch.tensor([5, 9]).to("mps"))
    assert isinstance(found, OnMps)


def test_pictures_go_through_the_autoencoder(model, image):
    assert isinstance(model.decode(model.encode(image)), OnMps)
    assert model.encode(image.cpu()).isfinite().all()


@pytest.mark.parametrize("method", METHODS)
def test_every_inversion_and_the_way_back(model, z, method, tmp_path):
    predict, schedule = model.predictor(model.embed("a cat")), fk.Schedule.ddim(model.noise, 2)
    words = {"generator": seeded()} if method == "edit_friendly" else {}
    way = fk.invert(predict, z, schedule, method=method, **words)
    back = fk.sample(predict, way.latents[-1], schedule, trajectory=way)
    assert isinstance(back, OnMps)
    fk.save_trajectory(way, tmp_path / "way.safetensors")
    read = fk.load_trajectory(tmp_path / "way.safetensors")
    torch.testing.assert_close(read.latents[-1], way.latents[-1].cpu())


def test_levels_of_a_batch_of_a_flow(z):
    t, table = torch.tensor([261.5, 301.0]).to("mps"), fk.FlowTable()
    torch.testing.assert_close(table.level(t), table.level(t.cpu()))
    for at in (261.5, t):
        assert isinstance(table.noised(torch.cat([z, z]), torch.cat([z, z]), at), OnMps)


@pytest.mark.parametrize("method", FLOW_METHODS)
def test_every_inversion_of_a_flow_and_the_way_back(z, method, tmp_path):
    flow = fk.testing.MixtureFlow(torch.zeros(2, 4, 8, 8))
    schedule = fk.FlowSchedule.euler(fk.FlowTable(shift=3.0), 3)
    way = fk.invert(flow, z, schedule, method=method)
    assert all(isinstance(latent, OnMps) for latent in way.latents)
    for start in (3, 2):
        back = fk.sample(flow, way.at(start), schedule, start=start, trajectory=way)
        assert isinstance(back, OnMps)
    fk.save_trajectory(way, tmp_path / "way.safetensors")
    read = fk.load_trajectory(tmp_path / "way.safetensors")
    torch.testing.assert_close(read.latents[-1], way.latents[-1].cpu())


def test_sampling_with_guidance(model, z):
    words, none = (model.predictor(model.embed(prompt)) for prompt in ("a cat", ""))
    schedule = fk.Schedule.ddim(model.noise, 2)
    assert isinstance(fk.sample(guided(words, none, 3.0), z, schedule), OnMps)


def test_features_are_read_and_asked(maps, image, model):
    there = fk.extract(model, image.flip(3), taps=["up1", "mid"], timesteps=[261])
    found, other = maps["up1"], there["up1"]
    assert found.correspond(20, 20, other).score <= 1.001
    for one in (found.similarity(20, 20), found.pca(3), found.resize(8)):
        assert isinstance(one.tensor, OnMps)
    assert found.to_pil().mode == "RGB"
    assert found._repr_png_()
    assert isinstance(concatenated(list(maps)), OnMps)
    assert isinstance(averaged(list(maps)[:1]), OnMps)


def test_features_of_an_ensemble_of_latents_and_of_many(model, image, z):
    fk.extract(model, image, taps="up1", timesteps=261, ensemble=2)
    fk.extract_latents(model, {261: z}, taps=["up1"])
    recipe = fk.Recipe(("up1",), (261,))
    ((_, found),) = fk.Extractor(model, recipe, batch=1)([image.cpu()])
    assert isinstance(found["up1"].tensor, OnMps)


@pytest.mark.parametrize("reduce", [principal(2), projected(2), pooled(2)])
def test_what_is_captured_is_reduced(model, z, reduce):
    predict = model.predictor(model.embed("a cat"))
    with fk.capture(model.unet, {"mid": "up_blocks.1"}, reduce=reduce) as seen:
        predict(z, 5)
    assert isinstance(seen["mid"], OnMps)


def test_attention_is_read_written_and_shared(model, z):
    predict, paths = (
        model.predictor(model.embed("a cat")),
        self_attention_paths(model.unet, ["up_blocks"]),
    )
    words = {"words": "mid_block.attentions.0.transformer_blocks.0.attn2:map"}
    reduce = fk.to_tokens(model.token_indices("a cat", "cat"))
    with fk.attention_maps(model.unet, words, reduce=reduce) as seen:
        predict(z, 5)
    assert isinstance(seen["words"], OnMps)
    with share_attention(model.unet, paths), fk.inject(model.unet, {"mid_block": lambda x: x * 2}):
        predict(torch.cat([z, z]), 5)


def test_latents_are_optimised(z):
    found = fk.optimise(z, lambda z, i: z.square().sum(), limits=fk.Limits(updates=2))
    assert isinstance(found.latent, OnMps)


def test_a_lora_is_fitted_and_applied(model, image):
    words = model.embed("a cat")
    objective = denoising_objective(model, model.moments(image), words, 2)
    recipe = LoraRecipe(rank=2, steps=2)
    lora = fit_lora(model.unet, objective, recipe=recipe, generator=seeded())
    with applied(model.unet, lora):
        assert model.weights.keys() == {"unet"}


def test_patches_are_matched(image):
    found = match_patch(image, image, torch.tensor([20.5, 20.5]), radius_px=3, search_px=4)
    torch.testing.assert_close(found.xy, torch.tensor([20.5, 20.5]).double())


def test_analyses(model, image, maps):
    field = maps["up1"].tensor
    gram_of(field.flatten(1))
    feature_gram(model, image, taps=["up1"], timesteps=[1, 261])
    high_norms(field)
    massive_channels(field)
    position_probe([field])


def test_the_denoiser_in_closed_form(z):
    denoiser = fk.testing.MixtureDenoiser(torch.zeros(2, 4, 8, 8))
    for found in (denoiser(z, 5), denoiser.v(z, 5), denoiser.denoised(z, 5),
                  denoiser(torch.cat([z, z]), torch.tensor([5, 9]).to("mps"))):  # fmt: skip
        assert isinstance(found, OnMps)


def test_stores(model, tmp_path):
    fk.scenes.scene(7, "building").image(64).save(tmp_path / "me.png")
    readers = {
        "features": PictureReader(model, fk.Recipe(("up1",), (261,)), batch=1),
        "trajectories": TrajectoryReader(model, Inversion(steps=2), batch=1),
    }
    for name, reader in readers.items():
        written, _ = store_pictures(tmp_path / name, [tmp_path / "me.png"], reader=reader)
        assert written.samples == 1


DRAG = ["plugin.animation_frames=1"]
LATENT_DRAG = [*DRAG, *OPTIMISING, "plugin.updates=1", "plugin.lora_steps=1", "plugin.steps=3"]
SKETCH = ["plugin.iterations=1", "plugin.samples=1", "plugin.steps=16", "plugin.views=1",
          "plugin.tests=1"]  # fmt: skip


@pytest.mark.filterwarnings("ignore:at..frobenius_norm")  # of the stand-in
@pytest.mark.parametrize(
    ("plugin", "words"), [("drag", DRAG), ("drag", LATENT_DRAG), ("sketch", SKETCH)]
)
def test_plugins(monkeypatch, tmp_path, plugin, words):
    found = backbones.load("random", "cpu")
    for network in (found.unet, found.vae, found.text_encoder):
        moved(network)
    monkeypatch.setattr(backbones, "load", lambda *_, **__: found)
    words = [f"plugin={plugin}", "backbone=random", f"out={tmp_path / 'out'}", *words]
    assert fk.run(fk.compose(words))["status"] == "done"
