"""Tokenizers of whole words, saved beside small checkpoints."""

from collections.abc import Sequence
from pathlib import Path

import transformers
from tokenizers import Tokenizer, models, pre_tokenizers


def save_word_tokenizer(folder: Path, words: Sequence[str]) -> None:
    """Save a tokenizer of some words, a full stop and an end beside what a folder holds."""
    vocabulary = {word: number for number, word in enumerate(["?", ".", "<end>", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, "?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>").save_pretrained(folder)
