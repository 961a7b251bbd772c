"""Corpora: text as symbols, split by document.

Shape letters: N symbols of a text, D documents or stretches, R rows, S symbols of a row.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from lengthwise.errors import InputError
from lengthwise.registry import OneOf
from lengthwise.settings import SEED
from lengthwise.tasks.base import Ints
from lengthwise.tasks.sources import SOURCES, SourceConfig, StdlibSource
from lengthwise.tasks.splitting import Splitting, Text, fingerprint_of
from lengthwise.tasks.token_cache import TokenCache
from lengthwise.tasks.tokenizer import load_tokenizer

Split = Literal["train", "validation"]
_MEASURED = 1 << 16
"""Symbols that are turned back into text, at most, to see how much of it each stands for."""


class TextConfig(BaseModel, frozen=True):
    """Which text, as which symbols, and how it is split.

    Example:
        >>> TextConfig.model_validate({"source": {"name": "stdlib", "tests": False}}).tokenizer
        'bytes'
    """

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    source: Annotated[SourceConfig, OneOf(SOURCES)] = StdlibSource()
    """Where the documents come from."""
    tokenizer: str = "bytes"
    """``bytes``, or the path of a JSON file of the ``tokenizers`` library."""
    separator: str | None = None
    """The token of a tokenizer file that opens every document; by default it gets a symbol of its own."""
    held_out: float = Field(default=0.1, gt=0, lt=1)
    """The fraction of the documents that is for validation, in expectation."""
    documents: Literal["packed", "separate"] = "packed"
    """``packed``: windows may cross from one document into the next; ``separate``: each lies inside one document."""
    seed: int = Field(default=0, ge=-SEED, le=SEED)
    """Of the order of the documents and of the split."""
    limit: int | None = Field(default=None, ge=1, le=10**12)
    """The largest number of training symbols; what a smaller limit keeps is part of what a larger one keeps."""


@dataclass(frozen=True)
class Stretches:
    """The stretches of a text in which windows of one size may lie.

    Args:
        starts_D: [D] where each begins.
        lengths_D: [D] the symbols of each, at least `size`.
        size: the symbols of a window.
        too_short: the number of documents that were left out because no window fits.
    """

    starts_D: Ints
    lengths_D: Ints
    size: int
    too_short: int

    def count(self, stride: int = 1) -> int:
        """Return the number of windows that begin at multiples of the stride from the start of their stretch."""
        return int(self._counts(stride).sum())

    def positions(self, index: Ints, stride: int = 1) -> Ints:
        """Return where in the text these windows begin, counted over all stretches as in `count`."""
        counts_D = self._counts(stride)
        before_D = counts_D.cumsum() - counts_D
        stretch = np.searchsorted(before_D, index, side="right") - 1
        return self.starts_D[stretch] + (index - before_D[stretch]) * stride

    def _counts(self, stride: int) -> Ints:
        return (self.lengths_D - self.size) // stride + 1


@dataclass(frozen=True)
class Corpus:
    """Text as symbols, split by document.

    Args:
        train: what is trained on.
        validation: what is held out.
        vocabulary: the number of different symbols, with the separator.
        separator: the symbol that opens every document.
        documents: as in `TextConfig`.
        fingerprint: a hash of all symbols and of the split; numbers are comparable only where it is equal.
        symbol_bytes: the bytes of held-out text over its symbols, separators among them.
    """

    train: Text
    validation: Text
    vocabulary: int
    separator: int
    documents: Literal["packed", "separate"]
    fingerprint: str
    symbol_bytes: float = 1.0

    @staticmethod
    @functools.cache
    def load(config: TextConfig) -> Corpus:
        """Return a corpus; each one is read once a process.

        Documents are ordered by a hash of the seed and their name, and those with the smallest are held out. So a new
        document moves no other one to the other side, and whatever the limit keeps is a random part; only where a side
        would have none, the nearest one goes there. Empty documents are left out. The symbols of large texts lie in a
        file and not in memory, and those of a tokenizer file are kept for the next time (`TokenCache`).

        Args:
            config: which text, as which symbols, and how it is split.

        Raises:
            InputError: the source or the tokenizer cannot be read, or a side of the split has no document.

        Example:
            >>> corpus = Corpus.load(TextConfig())
            >>> corpus.vocabulary
            257
        """
        tokenizer = load_tokenizer(config.tokenizer, config.separator)
        how = Splitting(config.held_out, config.seed, config.limit)
        kept = TokenCache.of(config.source, tokenizer, how)
        if kept is None or (found := kept.read()) is None:
            sides = how.split(config.source, tokenizer)
            found = sides, fingerprint_of(tokenizer.vocabulary, sides)
            if kept:
                kept.write(*found)
        (train, validation), fingerprint = found
        some_N = validation.tokens_N[:_MEASURED]
        symbol_bytes = tokenizer.bytes_of(some_N) / len(some_N)
        separator, documents = tokenizer.separator, config.documents
        return Corpus(train, validation, tokenizer.vocabulary, separator, documents, fingerprint, symbol_bytes)

    def text(self, split: Split) -> Text:
        """Return one side of the split."""
        return self.train if split == "train" else self.validation

    def stretches(self, split: Split, size: int) -> Stretches:
        """Return where windows of a size may lie: anywhere, or inside one document where documents are separate.

        Args:
            split: the side.
            size: the symbols of a window, at least 1.

        Raises:
            InputError: no window of this size fits; the message says which would.
        """
        text = self.text(split)
        if self.documents == "packed":
            starts_D, what = np.zeros(1, dtype=np.int64), f"the whole {split} text"
        else:
            starts_D, what = text.starts_D, f"the longest {split} document"
        lengths_D = np.diff(starts_D, append=len(text.tokens_N))
        fits_D = lengths_D >= size
        if not fits_D.any():
            raise InputError(
                f"a window of length {size - 1:,} needs {size:,} symbols, but {what} has {lengths_D.max():,}, "
                f"so the largest length is {lengths_D.max() - 1:,}{self._remedy(split, size)}"
            )
        return Stretches(starts_D[fits_D], lengths_D[fits_D], size, int((~fits_D).sum()))

    def _remedy(self, split: Split, size: int) -> str:
        whole = len(self.text(split).tokens_N)
        if self.documents == "separate" and whole >= size:
            return f" (with documents: packed, it is {whole - 1:,})"
        return f"; {self._needed(split, size)}"

    def _needed(self, split: Split, size: int) -> str:
        """Say how long a text has so many symbols on one side, if its documents are like those of this one."""
        whole = len(self.train.tokens_N) + len(self.validation.tokens_N)
        needed = -(-size * whole // len(self.text(split).tokens_N))
        return f"a text of about {needed:,} symbols is needed, this one has {whole:,}"

    def rows(self, split: Split, rows: int, length: int) -> Ints:
        """Return windows that are spread evenly over the text, the same ones every time.

        They share no symbol as long as the text is large enough for that.

        Args:
            split: the side.
            rows: R, the number of windows.
            length: the number of symbols to predict in each; any that the text allows.

        Returns:
            [R, S] symbols, S = length + 1: every symbol but the first is predicted.

        Raises:
            InputError: no window of this length fits, or there are fewer different ones.
        """
        stretches = self.stretches(split, length + 1)
        stride = stretches.size if stretches.count(stretches.size) >= rows else 1
        if rows > stretches.count(stride):
            raise InputError(
                f"the {split} text has only {stretches.count():,} different windows of length {length:,}, "
                f"but {rows:,} are asked for; {self._needed(split, length + rows)}"
            )
        index_R = np.linspace(0, stretches.count(stride) - 1, rows).round().astype(np.int64)
        return self.read(split, stretches.positions(index_R, stride), stretches.size)

    def read(self, split: Split, positions_R: Ints, size: int) -> Ints:
        """Return what stands at some positions; the text goes on at its beginning where it ends.

        Args:
            split: the side.
            positions_R: [R] where each row begins.
            size: S, the symbols of a row.

        Returns:
            [R, S] symbols.
        """
        tokens_N = self.text(split).tokens_N
        index_RS = positions_R[:, None] + np.arange(size)
        return tokens_N.take(index_RS, mode="wrap").astype(np.int64)
