"""Every door at every address of every backbone, for any picture, and nothing left behind."""

import pytest
import torch
from families import EVERY
from fuzz import fuzzed

from featurekit.core.errors import CaptureError, UnknownNameError
from featurekit.features.extract import extract
from featurekit.features.extractor import Extractor, Sample
from featurekit.features.recipes import Recipe
from featurekit.taps.attention_maps import attention_maps
from featurekit.taps.attention_probabilities import to_tokens
from featurekit.taps.capture import capture
from featurekit.taps.inject import inject


@pytest.fixture(scope="module", params=list(EVERY))
def backbone(request):
    return EVERY[request.param]()


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def latent(backbone):
    """Two cells at least of the coarsest level, so that no attention has a single key."""
    cells = backbone.multiple // backbone.stride
    return normal(1, backbone.latent_channels, cells, 2 * cells)


def left(network):
    parts = network.modules()
    return any(part._forward_hooks or part._forward_pre_hooks for part in parts)


def written(network, addresses, call):
    """Gradient of what a call gives, by address, along what is added there; and what was read."""
    added, taps = {}, dict(zip(addresses, addresses, strict=True))

    def change(address):
        def write(activation):
            added[address] = torch.zeros_like(activation, requires_grad=True)
            return activation + added[address]

        return write

    changes = {address: change(address) for address in addresses}
    with inject(network, changes), capture(network, taps) as found:
        result = call()
    assert set(found) == set(added) == set(addresses)
    gradients = torch.autograd.grad((result * normal(*result.shape)).sum(), list(added.values()))
    return dict(zip(added, gradients, strict=True))


def test_what_is_written_at_any_address_of_the_denoiser_reaches_its_answer(backbone):
    taps = backbone.addresses("**")
    unet = [tap for tap in backbone.activations.values() if tap.network == "denoiser"]
    assert len(taps) == len([tap for tap in unet if tap.form != "heads"])
    predict, z = backbone.predictor(backbone.embed("a face")), latent(backbone)
    gradients = written(backbone.unet, sorted(set(taps.values())), lambda: predict(z, 261))
    assert [address for address, found in gradients.items() if not found.any()] == []
    assert not left(backbone.unet)


@pytest.mark.parametrize("way", ["encoder", "decoder"])
def test_what_is_written_at_any_address_of_the_autoencoder_reaches_its_answer(backbone, way):
    taps = backbone.addresses(f"vae_{way}", network="vae")
    image = normal(1, 3, backbone.multiple, backbone.multiple).clamp(-1, 1)
    call = {
        "encoder": lambda: torch.cat(backbone.moments(image)),
        "decoder": lambda: backbone.decode(latent(backbone)),
    }[way]
    gradients = written(backbone.vae, sorted(set(taps.values())), call)
    assert [address for address, found in gradients.items() if not found.any()] == []
    assert not left(backbone.vae)


@torch.no_grad()
def test_one_write_is_what_is_read_there_and_what_follows_changes(backbone):
    (address,) = backbone.addresses("up1.resnet1.conv2").values()
    predict, z = backbone.predictor(backbone.embed("a face")), latent(backbone)
    plain = predict(z, 261)
    change = inject(backbone.unet, {address: torch.zeros_like})
    with change, capture(backbone.unet, {"tap": address}) as found:
        changed = predict(z, 261)
    assert not found["tap"].any()
    assert not torch.equal(changed, plain)
    assert torch.equal(predict(z, 261), plain)


@torch.no_grad()
@pytest.mark.parametrize("size", [(130, 50), (1, 1), (1, 130), (200, 3)])
def test_a_picture_of_any_size_is_read_everywhere(backbone, size):
    padded = [-(-side // backbone.multiple) * backbone.multiple for side in size]
    z = backbone.encode(normal(1, 3, *size).clamp(-1, 1))
    assert z.shape[2:] == tuple(side // backbone.stride for side in padded)
    assert backbone.decode(z).shape == (1, 3, *padded)
    taps = {name: tap.address for name, tap in backbone.taps.items()}
    words = backbone.addresses("cross_map")
    predict = backbone.predictor(backbone.embed("a face"))
    with (
        capture(backbone.unet, taps) as found,
        attention_maps(backbone.unet, words, reduce=to_tokens([1])) as maps,
    ):
        predict(z, 261)
    for name, tap in backbone.taps.items():
        cells = tuple(side // tap.stride for side in padded)
        assert found[name].shape == (1, tap.channels, *cells)
    for name in words:
        cells = tuple(side // backbone.activations[name].stride for side in padded)
        assert maps.as_map(name).shape == (1, 1, *cells)


def test_timesteps_of_a_batch_are_the_ones_the_network_saw(backbone):
    seen, side = [], backbone.multiple
    hook = backbone.unet.time_proj.register_forward_pre_hook(
        lambda module, given: seen.append(given[0].tolist())
    )
    images = [normal(1, 3, side, side).clamp(-1, 1)] * 2 + [torch.zeros(1, 3, side, 2 * side)]
    samples = [Sample(str(number), image) for number, image in enumerate(images)]
    found = dict(Extractor(backbone, Recipe(("mid",), (261, 5, 999)), batch=2, rows=4)(samples))
    hook.remove()
    assert seen == [[261, 261, 5, 5], [999, 999]] * 2
    for sample in samples:
        assert [one.timestep for one in found[sample.id]] == [261, 5, 999]


@pytest.mark.parametrize("door", ["capture", "inject", "attention_maps"])
def test_hooks_are_gone_after_an_exception_inside_a_forward(backbone, door):
    unet = backbone.unet
    block = {
        "capture": lambda: capture(unet, backbone.addresses("up", "cross_k"), stop_after=True),
        "inject": lambda: inject(unet, dict.fromkeys(backbone.addresses("up").values(), abs)),
        "attention_maps": lambda: attention_maps(unet, backbone.addresses("cross_map")),
    }[door]

    def broken(module, given):
        raise ZeroDivisionError("ours")

    predict, z = backbone.predictor(backbone.embed("a face")), latent(backbone)
    hook = unet.up_blocks[1].register_forward_pre_hook(broken)
    try:
        with pytest.raises(ZeroDivisionError, match="ours"), block():
            predict(z, 261)
    finally:
        hook.remove()
    assert not left(unet)


# words of a prompt


def test_words_of_a_prompt_are_found_where_the_states_have_them(backbone):
    find = backbone.token_indices
    assert find("a face", "face")[0] > find("a face", "a")[0] == 1
    twice = find("a face, a house", "a")
    assert len(twice) == 2
    assert set(find("a red face", "red face")) == {
        *find("a red face", "red"),
        *find("a red face", "face"),
    }
    # a later word changes no state before it, and its own
    first, other = (backbone.embed(p).states[0] for p in ("a red face", "a red house"))
    at = find("a red face", "face")[0]
    assert torch.equal(first[:at], other[:at])
    assert not torch.equal(first[at], other[at])


@pytest.mark.parametrize("word", ["dog", "", "fac", "face a"])
def test_words_that_are_not_in_the_prompt_are_refused(backbone, word):
    with pytest.raises(UnknownNameError, match=rf"no words of the prompt named '{word}'"):
        backbone.token_indices("a face", word)


def test_a_word_beyond_what_is_read_is_refused(backbone):
    with pytest.raises(UnknownNameError, match=r"its first \d+ tokens are read"):
        backbone.token_indices("a " * 100 + "face", "face")


# words of a person


@torch.no_grad()
def test_a_glob_reads_the_maps_that_it_fits_and_says_what_it_leaves_out(backbone):
    image = normal(1, 3, backbone.multiple, backbone.multiple).clamp(-1, 1)
    with pytest.warns(
        UserWarning, match=r"globs fit \d+ activations that are no maps .*up1\.att"
    ) as said:
        maps = extract(backbone, image, taps=["up1.**", "mid"], timesteps=[261])
    assert len(said) == 1
    fits = [tap for tap in backbone.activations.values() if f"{tap.name}.".startswith("up1.")]
    expected = [tap.name for tap in fits if tap.form in ("map", "tokens")]
    assert [one.tap for one in maps] == [*expected, "mid"]
    assert len(expected) < len(fits)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("up1.attention0.block0.attn2.map", r"one of heads; read it with attention_maps\("),
        ("up1.attention0.block0.attn2.k", r"one of words; read it with capture\("),
        ("cross_map", "one of heads"),
        ("**.map", "one of heads"),
        ("vae.**", "lies in the vae"),
    ],
)
def test_what_is_no_map_is_refused_where_nothing_else_is_meant(backbone, word, message):
    with pytest.raises(CaptureError, match=message):
        Extractor(backbone, Recipe((word,), (261,)))


class Small:
    """A backbone that lists a part of what it has: nearest names are searched for in all of it."""

    def __init__(self, whole, starts):
        self.denoiser, self.noise = whole.denoiser, whole.noise
        found = whole.activations.items()
        self.activations = {name: tap for name, tap in found if name.startswith(starts)}


def outcome_of(small, word):
    """What extraction reads at a word, or why nothing."""
    try:
        return Extractor(small, Recipe((word,), (261,)))._asked.taps, None
    except (UnknownNameError, CaptureError) as refusal:
        return {}, refusal


@pytest.mark.filterwarnings("ignore:globs fit")
@pytest.mark.parametrize("name", ["sd15", "sdxl"])
def test_of_a_thousand_words_extraction_takes_each_or_says_why_not(name):
    small = Small(EVERY[name](), ("mid", "conv_in", "vae.encoder.mid"))
    taps = list(small.activations.values())
    words = [tap.name for tap in taps] + [tap.address for tap in taps]
    words += sorted({tap.role for tap in taps})
    outcomes = {"read": 0, "unknown": 0, "no map": 0}
    for word in fuzzed(words, 1000):
        found, refusal = outcome_of(small, word)
        if refusal is None:
            assert found
            outcomes["read"] += 1
        elif isinstance(refusal, UnknownNameError):
            assert f"no tap named {word!r}; " in str(refusal)
            assert "did you mean " in str(refusal) or "known: " in str(refusal)
            outcomes["unknown"] += 1
        else:
            assert "capture" in str(refusal) or "attention_maps" in str(refusal)
            outcomes["no map"] += 1
    assert min(outcomes.values()) > 20


def test_names_of_published_extractors_open_doors(backbone):
    taps = backbone.addresses("dift1", "(1, 1)", "us1")
    assert list(taps)[:2] == ["up1", "up1.resnet1.conv2"]
    assert list(taps)[2] in ("up0.resnet0", "up0.attention0")
    with torch.no_grad(), capture(backbone.unet, taps) as found:
        backbone.predictor(backbone.embed(""))(latent(backbone), 261)
    assert found["up1"].shape[1] == backbone.taps["up1"].channels
