"""addresses: a word means the taps that it names, and a word that means none is an error."""

from difflib import get_close_matches

import pytest
from fuzz import fuzzed

from featurekit.backbones.describe import describe_backbone
from featurekit.core.errors import CaptureError, ConfigError, UnknownNameError
from featurekit.taps.addresses import _closest, addressed, alias, is_glob, resolve, split_address

LISTED = describe_backbone("sd15")
NAMES = [tap.name for tap in LISTED]


def meant(*words):
    return [tap.name for tap in resolve(words, LISTED)]


@pytest.mark.parametrize("tap", LISTED[::7], ids=lambda tap: tap.name)
def test_a_name_means_itself_and_an_address_the_first_tap_there(tap):
    assert resolve([tap.name], LISTED) == (tap,)
    (found,) = resolve([tap.address], [one for one in LISTED if one.network == tap.network])
    assert found.address == tap.address


def test_a_role_means_every_tap_of_that_role():
    for role in {tap.role for tap in LISTED} - set(NAMES):
        assert meant(role) == [tap.name for tap in LISTED if tap.role == role]


@pytest.mark.parametrize(
    ("glob", "count", "first"),
    [
        ("up*.resnet*", 12, "up0.resnet0"),
        ("up?", 4, "up0"),
        ("**.conv2", 22, "down0.resnet0.conv2"),
        ("up1.**", 53, "up1"),
        ("up[12].attention0", 2, "up1.attention0"),
        ("up[!12].attention0", 1, "up3.attention0"),
        ("**.attn2.q", 16, "down0.attention0.block0.attn2.q"),
        ("up_blocks.*.resnets.*.conv2", 12, "up0.resnet0.conv2"),
        ("up_blocks.1:skip*", 3, "up1.skip0"),
        ("cross_?", 48, "down0.attention0.block0.attn2.q"),
        ("**", len(LISTED), "down0"),
    ],
)
def test_a_glob_stays_within_a_part_unless_it_is_doubled(glob, count, first):
    found = meant(glob)
    assert (len(found), found[0]) == (count, first)


def test_words_keep_their_order_and_no_tap_comes_twice():
    assert meant("up2", "up1", "up*", "up_blocks.1") == ["up2", "up1", "up0", "up3"]
    assert resolve([], LISTED) == ()


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("dift1", "up1"),
        ("(1, 2)", "up1.resnet2.conv2"),
        ("(3,0)", "up3.resnet0.conv2"),
        ("unet-after-conv-in", "conv_in"),
        ("up-level1-repeat1-vit-block0-cross-q", "up1.attention1.block0.attn2.q"),
        ("up-level1-repeat2-res-out", "up1.resnet2"),
        ("down-level0-repeat1-res-increment", "down0.resnet1.conv2"),
        ("up-level2-upsampler-out", "up2.sampler"),
        ("down-level2-downsampler-out", "down2.sampler"),
        ("mid-vit-block0-ffn-inner", "mid.attention0.block0.ff.inner"),
        ("up-level3-repeat0-vit-block0-self-k", "up3.attention0.block0.attn1.k"),
        ("up-level2-repeat1-vit-block0-cross-map", "up2.attention1.block0.attn2.map"),
        ("up-level1-repeat0-vit-block0-out", "up1.attention0.block0"),
        ("up-level1-repeat0-vit-block0-self-out", "up1.attention0.block0.attn1"),
        ("up-level1-repeat0-vit-out", "up1.attention0"),
    ],
)
def test_names_of_published_extractors_are_understood(theirs, ours):
    assert alias(theirs) == ours
    assert meant(theirs) == [ours]


LAYERS = {  # of the way up, from the published one's own wiring: the last of a block is upsampled
    "sd15": [
        "up_blocks.0.resnets.0", "up_blocks.0.resnets.1", "up_blocks.0",
        "up_blocks.1.attentions.0", "up_blocks.1.attentions.1", "up_blocks.1",
        "up_blocks.2.attentions.0", "up_blocks.2.attentions.1", "up_blocks.2",
        "up_blocks.3.attentions.0", "up_blocks.3.attentions.1", "up_blocks.3",
    ],
    "sdxl": [
        "up_blocks.0.attentions.0", "up_blocks.0.attentions.1", "up_blocks.0",
        "up_blocks.1.attentions.0", "up_blocks.1.attentions.1", "up_blocks.1",
        "up_blocks.2.resnets.0", "up_blocks.2.resnets.1", "up_blocks.2",
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_layers_of_the_way_up_are_counted_from_one(name):
    listed = describe_backbone(name)
    words = [f"us{number}" for number in range(1, len(LAYERS[name]) + 1)]
    assert [resolve([word], listed)[0].address for word in words] == LAYERS[name]
    for word in ("us0", f"us{len(words) + 1}", "us"):
        with pytest.raises(UnknownNameError, match=f"no tap named '{word}'"):
            resolve([word], listed)


def test_a_pair_is_the_branch_of_a_resnet_and_nothing_else():
    pairs = [(block, resnet) for block in range(4) for resnet in range(3)]
    found = resolve([f"({block}, {resnet})" for block, resnet in pairs], LISTED)
    assert [tap.address for tap in found] == [
        f"up_blocks.{block}.resnets.{resnet}.conv2" for block, resnet in pairs
    ]
    for word in ("(4, 0)", "(1, 3)", "(1)", "1, 2"):
        with pytest.raises(UnknownNameError, match="no tap named"):
            resolve([word], LISTED)


# addresses


def addresses(*words, network="denoiser"):
    return addressed(words, LISTED, network=network)


def test_words_become_addresses_by_name():
    assert addresses("up1", "dift2", "up1.skip0") == {
        "up1": "up_blocks.1",
        "up2": "up_blocks.2",
        "up1.skip0": "up_blocks.1:skip0",
    }
    assert len(addresses("cross_q", "**.attn2.q")) == 16
    assert addresses("vae.encoder.mid", network="vae") == {"vae.encoder.mid": "encoder.mid_block"}


def test_a_glob_means_the_network_that_is_asked_and_no_maps_beside_other_things():
    every = [tap for tap in LISTED if tap.network == "denoiser"]
    assert len(addresses("**")) == len([tap for tap in every if tap.side != "map"])
    assert len(addresses("**", network="vae")) == len(LISTED) - len(every)
    assert len(addresses("**.map")) == len(addresses("cross_map", "self_map")) == 32
    assert addresses("mid.attention0.block0.attn1.map") == {
        "mid.attention0.block0.attn1.map": ("mid_block.attentions.0.transformer_blocks.0.attn1:map")
    }


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ((), ConfigError, "must be asked for something, got no word"),
        (("vae.encoder.mid",), CaptureError, "it lies in the vae; ask for it with network='vae'"),
        (("up1", "up9"), UnknownNameError, "no tap named 'up9'; did you mean"),
    ],
)
def test_words_that_mean_nothing_there_are_refused(words, error, message):
    with pytest.raises(error, match=message):
        addresses(*words)


def test_a_glob_is_told_by_its_signs():
    assert [is_glob(word) for word in ("up1", "up?", "up*", "up[1]", "(1, 2)")] == [
        False, True, True, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize("word", ["up1", "dift", "up-level1", "up-level1-repeat0-nothing", ""])
def test_what_is_no_published_name_is_not_translated(word):
    assert alias(word) is None


def test_an_address_is_a_path_and_a_side():
    assert split_address("up_blocks.1") == ("up_blocks.1", "out")
    assert split_address("up_blocks.1:skip0") == ("up_blocks.1", "skip0")


def outcome_of(word, listed):
    try:
        return resolve([word], listed), None
    except UnknownNameError as refusal:
        return (), str(refusal)


PARTS = {  # of the listings: the search for the nearest names takes time with each of them
    "sd15": ("up1", "mid", "conv_in"),
    "sdxl": ("up2", "down1", "conv_in", "vae.encoder.mid"),
}


@pytest.mark.parametrize("name", PARTS)
def test_of_a_thousand_words_each_is_a_match_or_an_error_with_suggestions(name):
    listed = [tap for tap in describe_backbone(name) if tap.name.startswith(PARTS[name])]
    words = [tap.name for tap in listed] + [tap.address for tap in listed]
    words += sorted({tap.role for tap in listed})
    outcomes = {"found": 0, "glob": 0, "refused": 0}
    for word in fuzzed(words, 1000):
        found, message = outcome_of(word, listed)
        if word in words:
            assert found
            outcomes["found"] += 1
        elif message is None:
            assert found
            assert any(sign in word for sign in "*?[")
            outcomes["glob"] += 1
        else:
            assert f"no tap named {word!r}; " in message
            assert "did you mean " in message or "known: " in message
            outcomes["refused"] += 1
    assert sum(outcomes.values()) == 1000
    assert min(outcomes.values()) > 100


# refusals


@pytest.mark.parametrize(
    ("word", "suggested"),
    [("up4", "up3"), ("up1.resnet9", "up1.resnet2"), ("cross-q", "cross_q"), ("mid.conv3", "mid")],
)
def test_a_misspelt_word_is_refused_with_the_nearest(word, suggested):
    with pytest.raises(UnknownNameError, match=f"no tap named .*did you mean .*{suggested}"):
        resolve([word], LISTED)


@pytest.mark.parametrize("word", ["down3.sampler", "up9.*", "**.conv3", "", "up0.attention0"])
def test_a_glob_or_name_without_a_tap_is_no_empty_answer(word):
    with pytest.raises(UnknownNameError, match=r"no tap named .*; a role, a module path or a glob"):
        resolve(["up1", word], LISTED)


def test_one_text_is_no_list_of_words():
    with pytest.raises(ConfigError, match=r"taps must be a list of names, got the text 'up1'"):
        resolve("up1", LISTED)


@pytest.mark.parametrize(("count", "cutoff"), [(3, 0), (3, 0.6), (2, 0.8)])
def test_the_closest_are_those_that_difflib_finds(count, cutoff):
    for word in fuzzed(NAMES, 12):
        found = [one for _, one in _closest(word, NAMES, count=count, cutoff=cutoff)]
        assert found == get_close_matches(word, NAMES, n=count, cutoff=cutoff)
