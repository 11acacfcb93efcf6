"""Hard negatives: captions that are almost right, which a CLIP must tell from the right ones."""

from collections.abc import Sequence

import torch
from torch import Tensor

from featurekit.scenes import TRAIN_SEEDS, scene
from featurekit.scenes.wording import subject


def kindred(captions: Sequence[Sequence[str]]) -> list[set[str]]:
    """Subjects that are hardest to tell apart: those of scenes of one kind, as a barn of a church.

    Args:
        captions: of the first scenes of the training seeds.
    """
    named: dict[str, set[str]] = {}
    for seed, texts in zip(TRAIN_SEEDS, captions, strict=False):
        named.setdefault(scene(seed).kind, set()).update(map(subject, texts))
    return list(named.values())


def exchanged(texts: Tensor, group: Tensor, draw: torch.Generator) -> Tensor:
    """The same captions, each with one word of a group exchanged for another of it by chance.

    Args:
        texts: token numbers, (b n).
        group: token numbers of words that can stand for each other, (c), or none.
        draw: generator on the CPU.

    Returns:
        Token numbers, (b n); captions without such a word stay as they are.
    """
    named = torch.isin(texts, group)
    if not bool(named.any()):
        return texts.clone()
    place = (torch.rand(texts.shape, generator=draw) * named).argmax(1)
    rows = torch.arange(len(texts))
    other = group[torch.randint(len(group), (len(texts),), generator=draw)]
    changed = texts.clone()
    changed[rows, place] = torch.where(named[rows, place], other, texts[rows, place])
    return changed


def borrowed(texts: Tensor, colours: Tensor, draw: torch.Generator) -> Tensor:
    """Captions of other pictures of a batch, in each picture's own colours: they are no clue.

    The colour words of the other caption become those of the own one in their order, and begin
    again where it names fewer.

    Args:
        texts: token numbers, (b n).
        colours: token numbers of the colours, (c), or none.
        draw: generator on the CPU.

    Returns:
        Token numbers, (b n); where the own caption names no colour, the other one's stay.
    """
    others = texts[torch.randperm(len(texts), generator=draw)]
    own, theirs = torch.isin(texts, colours), torch.isin(others, colours)
    in_front = (~own).long().argsort(stable=True, dim=1)
    palette = texts.gather(1, in_front)
    count = own.sum(1, keepdim=True)
    turn = (theirs.cumsum(1) - 1).clamp(min=0) % count.clamp(min=1)
    return torch.where(theirs & (count > 0), palette.gather(1, turn), others)
