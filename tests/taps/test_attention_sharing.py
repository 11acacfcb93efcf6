"""Shared self-attention: the published arithmetic, the reference untouched, nothing left behind."""

import pytest
import torch
from diffusers.models.attention_processor import FusedAttnProcessor2_0
from torch.nn.functional import scaled_dot_product_attention

from featurekit.backbones import embedded, random
from featurekit.backbones.folder import embedded_folder, read_config
from featurekit.backbones.lora import Lora, LoraRecipe, applied
from featurekit.backbones.unet import sd
from featurekit.core.errors import CaptureError, ShapeError, UnknownNameError
from featurekit.taps.attention_sharing import (
    record_attention,
    replay_attention,
    self_attention_paths,
    share_attention,
)
from featurekit.taps.capture import capture

UPPER = ("up_blocks.2", "up_blocks.3")
CONFIG = read_config(embedded_folder(), "unet")
TEXT, CHANNELS = CONFIG["cross_attention_dim"], CONFIG["in_channels"]
ONE = "up_blocks.2.attentions.0.transformer_blocks.0.attn1"


@pytest.fixture(scope="module")
def backbone():
    return random.load("cpu", seed=3)


@pytest.fixture
def unet(backbone):
    processors = dict(backbone.unet.attn_processors)
    yield backbone.unet
    backbone.unet.set_attn_processor(processors)


@pytest.fixture
def paths(unet):
    return self_attention_paths(unet, UPPER)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def run(unet, z, states=None, t=681):
    states = normal(1, 5, TEXT, seed=9) if states is None else states
    states = states.expand(len(z) if len(states) == 1 else -1, -1, -1)
    return unet(z, t, encoder_hidden_states=states, return_dict=False)[0]


def plain_attention(attention, asking, answering):
    """Softmax attention written out: queries of one row, keys and values of another."""

    def heads(states):
        return states.unflatten(-1, (attention.heads, -1)).transpose(1, 2)

    out = scaled_dot_product_attention(
        heads(attention.to_q(asking)),
        heads(attention.to_k(answering)),
        heads(attention.to_v(answering)),
    )
    return attention.to_out[0](out.transpose(1, 2).flatten(2))


# laws


@pytest.mark.parametrize("rows", [2, 3])
def test_every_row_asks_its_groups_first_row(unet, rows):
    attention = unet.get_submodule(ONE)
    hidden = normal(2 * rows, 20, attention.query_dim)
    with share_attention(unet, [ONE], rows=rows):
        out = attention(hidden)
    first = hidden[[0] * rows + [rows] * rows]
    torch.testing.assert_close(out, plain_attention(attention, hidden, first), rtol=0, atol=1e-6)


def test_the_reference_row_is_bit_exact_what_it_is_without_sharing(unet, paths):
    pair = normal(2, CHANNELS, 8, 8)
    alone = run(unet, pair)
    with share_attention(unet, paths):
        shared = run(unet, pair)
    assert torch.equal(shared[0], alone[0])
    assert not torch.allclose(shared[1], alone[1], atol=1e-4)


def test_identical_rows_in_are_identical_rows_out(unet, paths):
    with share_attention(unet, paths):
        out = run(unet, normal(1, CHANNELS, 8, 8).expand(2, -1, -1, -1))
    assert torch.equal(out[0], out[1])


def test_one_row_per_group_changes_nothing(unet, paths):
    z = normal(2, CHANNELS, 8, 8)
    with share_attention(unet, paths, rows=1):
        out = run(unet, z)
    assert torch.equal(out, run(unet, z))


def test_with_guidance_each_half_reads_its_own_reference(unet, paths):
    z, unconditional, conditional = (
        normal(2, CHANNELS, 8, 8),
        normal(1, 5, TEXT),
        normal(1, 5, TEXT, seed=1),
    )
    states = torch.cat([unconditional, conditional]).repeat_interleave(2, 0)
    with share_attention(unet, paths):
        together = run(unet, z.repeat(2, 1, 1, 1), states)
        halves = [run(unet, z, unconditional), run(unet, z, conditional)]
    torch.testing.assert_close(together, torch.cat(halves), rtol=0, atol=1e-5)


def test_a_lora_around_keys_and_values_takes_part(unet):
    attention = unet.get_submodule(ONE)
    width = attention.query_dim
    halves = {".lora_A.weight": (2, width), ".lora_B.weight": (width, 2)}
    weights = {f"{ONE}.to_k{end}": normal(*shape) for end, shape in halves.items()}
    lora = Lora(weights=weights, recipe=LoraRecipe(rank=2, alpha=2))
    hidden = normal(2, 9, width)
    with applied(unet, lora), share_attention(unet, [ONE]):
        out = attention(hidden)
        expected = plain_attention(attention, hidden, hidden[[0, 0]])
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
    with share_attention(unet, [ONE]):
        assert not torch.allclose(attention(hidden), out, atol=1e-3)


def test_the_gradient_reaches_both_rows(unet, paths):
    pair = normal(2, CHANNELS, 8, 8).requires_grad_()
    with share_attention(unet, paths):
        (gradient,) = torch.autograd.grad(run(unet, pair)[1].square().sum(), pair)
    assert gradient[0].abs().max() > 0
    assert gradient[1].abs().max() > 0


# which modules


@pytest.mark.parametrize(
    ("unet_of", "chosen", "of_all"),
    [
        (lambda: sd.from_config("sd15", device="meta").unet, 6, 16),
        (lambda: sd.from_config("sd21", device="meta").unet, 6, 16),
        (lambda: embedded.load("cpu").unet, 4, 10),
    ],
    ids=["sd15", "sd21", "embedded"],
)
def test_only_the_self_attentions_of_the_last_two_blocks_change(unet_of, chosen, of_all):
    unet = unet_of()
    before = dict(unet.attn_processors)
    selves = [name for name in before if ".attn1." in name]
    with share_attention(unet, self_attention_paths(unet, UPPER)):
        changed = [n for n, p in unet.attn_processors.items() if p is not before[n]]
    assert len(selves) == of_all
    assert len(changed) == chosen
    assert all(name.startswith(UPPER) and ".attn1." in name for name in changed)
    assert unet.attn_processors == before


def test_a_prefix_is_whole_words_and_a_path_is_its_own_prefix(unet):
    assert self_attention_paths(unet, [ONE]) == (ONE,)
    with pytest.raises(UnknownNameError, match=r"no part with self-attentions named 'up_blocks\.'"):
        self_attention_paths(unet, ["up_blocks."])


def test_overlapping_prefixes_list_each_attention_once(unet):
    assert self_attention_paths(unet, ["up_blocks.2", ONE]) == self_attention_paths(
        unet, ["up_blocks.2"]
    )


def test_attention_that_never_reads_its_own_rows_is_not_listed(unet):
    attention = unet.get_submodule(ONE)
    attention.is_cross_attention = True  # what only_cross_attention does to a block
    try:
        assert ONE not in self_attention_paths(unet, UPPER)
    finally:
        attention.is_cross_attention = False


# record and replay


def test_replaying_a_record_is_sharing_with_the_recorded_row(unet, paths):
    pair, steps = normal(2, CHANNELS, 8, 8), (681, 661, 641)
    with share_attention(unet, paths):
        shared = [run(unet, pair, t=t)[1:] for t in steps]
    with record_attention(unet, paths) as record:
        recorded = [run(unet, pair[:1], t=t) for t in steps]
    with replay_attention(unet, paths, record):
        replayed = [run(unet, pair[1:], t=t) for t in steps]
    torch.testing.assert_close(torch.cat(replayed), torch.cat(shared), rtol=0, atol=1e-5)
    assert torch.equal(recorded[0], run(unet, pair[:1], t=681))
    assert record.paths == paths
    assert [len(record.calls(path)) for path in paths] == [3] * len(paths)


def test_a_record_with_guidance_serves_several_edits(unet, paths):
    z, edits = normal(1, CHANNELS, 8, 8), normal(2, CHANNELS, 8, 8, seed=1)
    states = torch.cat([normal(1, 5, TEXT), normal(1, 5, TEXT, seed=1)])
    with record_attention(unet, paths) as record:
        run(unet, z.repeat(2, 1, 1, 1), states)
    with replay_attention(unet, paths, record):
        replayed = run(unet, edits.repeat(2, 1, 1, 1), states.repeat_interleave(2, 0))
    batch = torch.cat([z, edits]).repeat(2, 1, 1, 1)
    with share_attention(unet, paths, rows=3):
        shared = run(unet, batch, states.repeat_interleave(3, 0))
    torch.testing.assert_close(replayed, shared[[1, 2, 4, 5]], rtol=0, atol=1e-5)


def test_a_record_can_be_replayed_again_from_its_start(unet, paths):
    with record_attention(unet, paths) as record:
        run(unet, normal(1, CHANNELS, 8, 8))
    outs = []
    for _ in range(2):
        with replay_attention(unet, paths, record):
            outs.append(run(unet, normal(1, CHANNELS, 8, 8, seed=1)))
    assert torch.equal(*outs)


def test_recording_two_runs_in_one_block_keeps_both(unet):
    with record_attention(unet, [ONE]) as record:
        run(unet, normal(1, CHANNELS, 8, 8))
        run(unet, normal(1, CHANNELS, 8, 8, seed=1))
    first, second = record.calls(ONE)
    assert first.shape == second.shape
    assert not torch.equal(first, second)


# refusals


def test_more_calls_than_were_recorded_are_refused(unet, paths):
    with record_attention(unet, paths) as record:
        run(unet, normal(1, CHANNELS, 8, 8))
    with replay_attention(unet, paths, record):
        run(unet, normal(1, CHANNELS, 8, 8))
        with pytest.raises(CaptureError, match="got call 2 of 1; record a run of as many steps"):
            run(unet, normal(1, CHANNELS, 8, 8))


@pytest.mark.parametrize("shape", [(1, CHANNELS, 16, 8), (3, CHANNELS, 8, 8)])
def test_other_sizes_than_were_recorded_are_refused(unet, paths, shape):
    with record_attention(unet, paths) as record:
        run(unet, normal(2, CHANNELS, 8, 8))
    with (
        replay_attention(unet, paths, record),
        pytest.raises(ShapeError, match=r"recorded \(2, 16, \d+\), got \(\d, "),
    ):
        run(unet, normal(*shape))


def test_a_path_that_was_not_recorded_is_refused(unet, paths):
    with record_attention(unet, paths[1:]) as record:
        run(unet, normal(1, CHANNELS, 8, 8))
    with (
        pytest.raises(UnknownNameError, match="no recorded self-attention named"),
        replay_attention(unet, paths, record),
    ):
        pytest.fail("the block ran")


def test_a_batch_of_broken_groups_is_refused(unet, paths):
    with (
        share_attention(unet, paths),
        pytest.raises(ShapeError, match=r"whole groups of 2 rows .* got 3 rows"),
    ):
        run(unet, normal(3, CHANNELS, 8, 8))


def test_no_rows_in_a_group_is_refused(unet, paths):
    with (
        pytest.raises(ShapeError, match="at least 1, got 0"),
        share_attention(unet, paths, rows=0),
    ):
        pytest.fail("the block ran")


@pytest.mark.parametrize("path", [ONE.replace("attn1", "attn2"), "up_blocks.2", "nowhere"])
def test_what_is_no_self_attention_is_refused_by_name(unet, path):
    with (
        pytest.raises(UnknownNameError, match=f"no self-attention named '{path}'"),
        share_attention(unet, [path]),
    ):
        pytest.fail("the block ran")


@pytest.mark.parametrize("name", ["group_norm", "spatial_norm", "norm_cross", "fused_projections"])
def test_attention_that_treats_other_rows_differently_is_refused_by_name(unet, name):
    attention = unet.get_submodule(ONE)
    before = getattr(attention, name)
    setattr(attention, name, True if name == "fused_projections" else torch.nn.Identity())
    if name == "fused_projections":  # it is set with the flag; the fixture puts the own one back
        attention.set_processor(FusedAttnProcessor2_0())
    try:
        with (
            pytest.raises(CaptureError, match=f"must read plain hidden states .* has {name}"),
            share_attention(unet, [ONE]),
        ):
            pytest.fail("the block ran")
    finally:
        setattr(attention, name, before)


def test_a_mask_and_other_states_are_refused(unet):
    attention = unet.get_submodule(ONE)
    hidden = normal(2, 9, attention.query_dim)
    with share_attention(unet, [ONE]):
        with pytest.raises(CaptureError, match="given its rows alone, got other states"):
            attention(hidden, encoder_hidden_states=hidden)
        with pytest.raises(CaptureError, match="given its rows alone, got a mask"):
            attention(hidden, attention_mask=torch.zeros(2, 1, 9))


# no trace left


def open_share(unet, paths):
    return share_attention(unet, paths)


def open_record(unet, paths):
    return record_attention(unet, paths)


def open_replay(unet, paths):
    with record_attention(unet, paths) as record:
        run(unet, normal(1, CHANNELS, 8, 8))
    return replay_attention(unet, paths, record)


@pytest.mark.parametrize("door", [open_share, open_record, open_replay])
def test_the_processors_are_the_same_objects_afterwards(unet, paths, door):
    before = dict(unet.attn_processors)
    with door(unet, paths):
        assert all(
            unet.attn_processors[f"{p}.processor"] is not before[f"{p}.processor"] for p in paths
        )
        run(unet, normal(2, CHANNELS, 8, 8))
    assert unet.attn_processors == before


@pytest.mark.parametrize("door", [open_share, open_record, open_replay])
def test_the_processors_come_back_after_an_exception_which_is_passed_on(unet, paths, door):
    before = dict(unet.attn_processors)
    with pytest.raises(KeyboardInterrupt, match="ours"), door(unet, paths):
        raise KeyboardInterrupt("ours")
    assert unet.attn_processors == before


def test_the_processors_come_back_when_the_last_path_is_unknown(unet, paths):
    before = dict(unet.attn_processors)
    with (
        pytest.raises(UnknownNameError, match="no self-attention named 'nowhere'"),
        share_attention(unet, [*paths, "nowhere"]),
    ):
        pytest.fail("the block ran")
    assert unet.attn_processors == before


def test_an_early_exit_through_shared_attention_restores_it(unet, paths):
    before = dict(unet.attn_processors)
    with (
        capture(unet, {"up2": "up_blocks.2"}, stop_after=True) as found,
        share_attention(unet, paths),
    ):
        run(unet, normal(2, CHANNELS, 8, 8))
    assert found["up2"].shape[0] == 2
    assert unet.attn_processors == before
