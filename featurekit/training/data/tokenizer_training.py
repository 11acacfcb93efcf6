"""The tokenizer: byte-pair merges learnt from the world's own captions."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import Tensor
from transformers import CLIPTokenizer

from featurekit.core.atomic import make_folder

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789,.'-"
WORD_END = "</w>"
START, END = "<|startoftext|>", "<|endoftext|>"
MOST = 900  # entries of the vocabulary at most; the world's words are a few hundred


def learn(captions: Iterable[str], folder: Path, *, tokens: int) -> CLIPTokenizer:
    """Learn a tokenizer from captions and write it.

    Args:
        captions: texts; their order does not matter for whole vocabularies.
        folder: where its files go.
        tokens: the longest text, start and end included.

    Returns:
        Stock tokenizer, read from the folder.
    """
    tokenizer = Tokenizer(
        models.BPE(unk_token=END, end_of_word_suffix=WORD_END, continuing_subword_prefix="")
    )
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=MOST,
        special_tokens=[],
        end_of_word_suffix=WORD_END,
        initial_alphabet=sorted(LETTERS),
        show_progress=False,
    )
    tokenizer.train_from_iterator(captions, trainer)
    merges = [
        merge if isinstance(merge, str) else " ".join(merge)
        for merge in json.loads(tokenizer.to_str())["model"]["merges"]
    ]
    words = [*sorted(LETTERS), *(letter + WORD_END for letter in sorted(LETTERS))]
    words += [merge.replace(" ", "") for merge in merges]
    entries = [*dict.fromkeys(words), START, END]
    make_folder(folder)
    vocabulary = {word: index for index, word in enumerate(entries)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", "utf-8")
    learnt = CLIPTokenizer(
        vocab=str(folder / "vocab.json"),
        merges=str(folder / "merges.txt"),
        model_max_length=tokens,
    )
    learnt.save_pretrained(folder)
    return learnt


def numbered(tokenizer: CLIPTokenizer, texts: Sequence[str]) -> Tensor:
    """Token numbers of texts, padded to the tokenizer's length, (b n) int64."""
    words = tokenizer(list(texts), padding="max_length", truncation=True)
    return torch.tensor(words.input_ids)


def single(tokenizer: CLIPTokenizer, words: Iterable[str]) -> Tensor:
    """Token numbers of those words that are one token each, in the order of the alphabet, (n)."""
    found = [tokenizer(word, add_special_tokens=False).input_ids for word in sorted(words)]
    return torch.tensor([numbers[0] for numbers in found if len(numbers) == 1], dtype=torch.long)
