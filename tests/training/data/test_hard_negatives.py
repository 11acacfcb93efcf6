"""Captions that are almost right."""

import torch

from featurekit.scenes import TRAIN_SEEDS, scene
from featurekit.training.data.hard_negatives import borrowed, exchanged, kindred

RED, BLUE, GREEN, PINK = 10, 11, 12, 13
COLOURS = torch.tensor([RED, BLUE, GREEN, PINK])
A, HOUSE, ROOF, DOG = 1, 20, 21, 22


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def test_one_word_of_a_caption_is_exchanged_for_another_of_its_group():
    texts = torch.tensor([[A, RED, HOUSE, A, BLUE, ROOF, 0]] * 40)
    changed = exchanged(texts, COLOURS, draw())
    different = changed != texts
    assert different.sum(1).max() == 1
    assert different.sum() > 20  # a word may be drawn for itself
    assert torch.isin(changed[different], COLOURS).all()
    assert set(different.nonzero()[:, 1].tolist()) == {1, 4}


def test_captions_without_a_word_of_the_group_stay_as_they_are():
    texts = torch.tensor([[A, HOUSE, 0], [A, RED, HOUSE]])
    assert torch.equal(exchanged(texts, torch.tensor([DOG]), draw()), texts)
    assert torch.equal(exchanged(texts, COLOURS, draw())[0], texts[0])
    assert torch.equal(exchanged(texts, torch.tensor([], dtype=torch.long), draw()), texts)


def test_another_caption_takes_the_own_ones_colours_in_their_order():
    one = [A, PINK, DOG, 0, 0, 0, 0, 0]
    two = [A, RED, HOUSE, A, BLUE, ROOF, GREEN, 0]
    swap = draw(
        next(s for s in range(9) if torch.randperm(2, generator=draw(s)).tolist() == [1, 0])
    )
    changed = borrowed(torch.tensor([one, two]), COLOURS, swap)
    assert changed.tolist() == [
        [A, PINK, HOUSE, A, PINK, ROOF, PINK, 0],  # begins again
        [A, RED, DOG, 0, 0, 0, 0, 0],
    ]


def test_a_caption_without_colours_borrows_another_as_it_is():
    texts = torch.tensor([[A, DOG, 0], [A, RED, HOUSE]])
    found = [borrowed(texts, COLOURS, draw(seed)).tolist() for seed in range(6)]
    assert [[A, RED, HOUSE], [A, DOG, 0]] in found
    assert all(sorted(each) == sorted(texts.tolist()) for each in found)


def test_subjects_that_are_exchanged_are_of_one_kind():
    scenes = [scene(seed) for seed in TRAIN_SEEDS[:70]]
    groups = kindred([[one.caption(i) for i in range(3)] for one in scenes])
    assert sorted(map(sorted, groups)) == [
        ["barn", "house", "skyscraper", "tower"],
        ["bird", "cat", "dog", "rabbit"],
        ["crescent", "heart", "square", "star", "triangle"],
        ["face"],
        ["landscape"],
    ]
