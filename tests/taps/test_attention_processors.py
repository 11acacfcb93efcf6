"""Every processor that diffusers has is shared and mapped as it attends, or refused by name."""

import inspect
import warnings

import diffusers.models.attention_processor as processors
import pytest
import torch
from diffusers.models.attention_processor import Attention
from torch import nn

from featurekit.core.errors import CaptureError
from featurekit.taps.attention_maps import attention_maps
from featurekit.taps.attention_sharing import (
    record_attention,
    replay_attention,
    share_attention,
)

WIDTH, HEADS = 8, 2
CLASSES = {
    name: found
    for name, found in vars(processors).items()
    if inspect.isclass(found) and found.__module__ == processors.__name__ and "Processor" in name
}
PLAIN = {"AttnProcessor", "AttnProcessor2_0", "SlicedAttnProcessor"}
PICTURES = {"IPAdapterAttnProcessor", "IPAdapterAttnProcessor2_0"}  # for cross-attentions
ELSEWHERE = {  # plain ones that need a library or hardware to attend
    "AttnProcessorNPU",
    "IPAdapterXFormersAttnProcessor",
    "XFormersAttnProcessor",
    "XLAFlashAttnProcessor2_0",
}
SETTINGS = {
    "slice_size": 1,
    "hidden_size": WIDTH,
    "cross_attention_dim": WIDTH,
    "ip_hidden_states_dim": WIDTH,
    "head_dim": WIDTH // HEADS,
}


class Network(nn.Module):
    """A transformer's self-attention and nothing else."""

    def __init__(self, processor):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            self.attn1 = Attention(WIDTH, heads=HEADS, dim_head=WIDTH // HEADS)
        self.requires_grad_(False)
        self.attn1.set_processor(processor)

    def forward(self, hidden, **given):
        return self.attn1(hidden, **given)


def made(name):
    """A processor with its weights drawn from a fixed seed; None where none can be made here."""
    cls = CLASSES[name]
    wanted = inspect.signature(cls.__init__).parameters
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # many are deprecated
        torch.default_generator.manual_seed(1)
        try:
            return cls(**{key: value for key, value in SETTINGS.items() if key in wanted})
        except (ImportError, TypeError, ValueError):  # deprecated names of what needs more
            return None


def rows(count, seed=0):
    return torch.randn(count, 5, WIDTH, generator=torch.Generator().manual_seed(seed))


def usual(network, hidden, states):
    """The same arithmetic with diffusers' default processor."""
    own = network.attn1.processor
    network.attn1.set_processor(CLASSES["AttnProcessor"]())
    out = network(hidden, encoder_hidden_states=states)
    network.attn1.set_processor(own)
    return out


def test_every_processor_was_looked_at():
    assert len(CLASSES) >= 40
    assert set(CLASSES) >= PLAIN | PICTURES | ELSEWHERE


@torch.no_grad()
@pytest.mark.parametrize("name", sorted(PLAIN))
def test_a_plain_one_reads_other_rows_and_gives_its_map(name):
    network, hidden = Network(made(name)), rows(2)
    first = usual(network, hidden, hidden[:1].expand(2, -1, -1))
    with share_attention(network, ["attn1"]):
        torch.testing.assert_close(network(hidden), first)
    with record_attention(network, ["attn1"]) as record:
        alone = network(hidden[:1])
    with replay_attention(network, ["attn1"], record):
        torch.testing.assert_close(network(hidden[1:]), first[1:])
    torch.testing.assert_close(alone, usual(network, hidden[:1], None))
    with attention_maps(network, {"map": "attn1:map"}) as maps:
        network(hidden)
    q, k = (
        layer(hidden).unflatten(-1, (HEADS, -1)).transpose(1, 2)
        for layer in (network.attn1.to_q, network.attn1.to_k)
    )
    expected = torch.softmax(q @ k.mT * network.attn1.scale, -1).mean(1)
    torch.testing.assert_close(maps["map"], expected)


@pytest.mark.parametrize("name", sorted(set(CLASSES) - PLAIN - ELSEWHERE))
def test_another_one_is_shared_and_mapped_by_no_door(name):
    processor = made(name)
    if processor is None:
        pytest.skip("it cannot be made here, and so not be met")
    network = Network(processor)
    message = rf"attn1 must attend with a plain processor .*{type(processor).__name__}"
    for door in (share_attention, record_attention):
        with pytest.raises(CaptureError, match=message), door(network, ["attn1"]):
            pytest.fail("the block ran")
    if name in PICTURES:
        return
    with (
        pytest.raises(CaptureError, match=message),
        attention_maps(network, {"map": "attn1:map"}),
    ):
        pytest.fail("the block ran")


@torch.no_grad()
@pytest.mark.parametrize("name", sorted(PICTURES))
def test_the_map_of_an_ip_adapter_is_that_of_the_words(name):
    network, hidden, words = Network(made(name)), rows(2), rows(2, seed=1)
    with attention_maps(network, {"map": "attn1:map"}) as maps:
        network(hidden, encoder_hidden_states=(words, [rows(2, seed=2)[:, None]]))
    q, k = (
        layer(states).unflatten(-1, (HEADS, -1)).transpose(1, 2)
        for layer, states in ((network.attn1.to_q, hidden), (network.attn1.to_k, words))
    )
    expected = torch.softmax(q @ k.mT * network.attn1.scale, -1).mean(1)
    torch.testing.assert_close(maps["map"], expected)


class Blind:
    """A person's own processor that knows no other states."""

    def __call__(self, attn, hidden_states, attention_mask=None, **rest):
        return attn.to_v(hidden_states)


def test_a_processor_of_ones_own_must_take_other_states_and_project_once():
    network = Network(Blind())
    with (
        pytest.raises(CaptureError, match=r"must take encoder_hidden_states .* a Blind does not"),
        share_attention(network, ["attn1"]),
    ):
        pytest.fail("the block ran")
    with (
        pytest.raises(
            CaptureError, match=r"project queries and keys once .* Blind ran to_q 0 time"
        ),
        attention_maps(network, {"map": "attn1:map"}),
    ):
        network(rows(1))


def test_an_attention_that_is_shared_is_not_shared_again():
    network = Network(made("AttnProcessor2_0"))
    with (
        share_attention(network, ["attn1"]),
        pytest.raises(CaptureError, match="attn1 must read its own rows to be shared"),
        record_attention(network, ["attn1"]),
    ):
        pytest.fail("the block ran")
