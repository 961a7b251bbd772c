"""Corpora: text as symbols, split by document.

Shape letters: N symbols of a text, D documents or stretches, R rows, S symbols of a row.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from lengthwise.errors import InputError
from lengthwise.registry import OneOf
from lengthwise.settings import SEED
from lengthwise.tasks.base import Ints
from lengthwise.tasks.sources import SOURCES, Document, SourceConfig, StdlibSource
from lengthwise.tasks.tokenizer import Symbols, Tokenizer, load_tokenizer

Split = Literal["train", "validation"]


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
class Text:
    """One side of the split.

    Args:
        tokens_N: [N] the documents one after the other, each opened by the separator.
        starts_D: [D] where each document's separator stands, in increasing order.
        names: D names.
    """

    tokens_N: Symbols
    starts_D: Ints
    names: tuple[str, ...]


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
    """

    train: Text
    validation: Text
    vocabulary: int
    separator: int
    documents: Literal["packed", "separate"]
    fingerprint: str

    @staticmethod
    def load(config: TextConfig) -> Corpus:
        """Return a corpus; each one is read once a process.

        Documents are ordered by a hash of the seed and their name, and those with the smallest are held out. So a new
        document moves no other one to the other side, and whatever the limit keeps is a random part. Empty documents
        are left out.

        Args:
            config: which text, as which symbols, and how it is split.

        Raises:
            InputError: the source or the tokenizer cannot be read, or a side of the split has no document.

        Example:
            >>> corpus = Corpus.load(TextConfig())
            >>> corpus.vocabulary
            257
        """
        return _load(config)

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
        if self.documents == "packed" or whole < size:
            return ""
        return f" (with documents: packed, it is {whole - 1:,})"

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
                f"but {rows:,} are asked for"
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


@functools.cache
def _load(config: TextConfig) -> Corpus:
    tokenizer = load_tokenizer(config.tokenizer, config.separator)
    training, held_out = _split(config)
    train = _encode(training, tokenizer, config.limit)
    validation = _encode(held_out, tokenizer, None)
    fingerprint = _fingerprint(tokenizer.vocabulary, [train, validation])
    return Corpus(train, validation, tokenizer.vocabulary, tokenizer.separator, config.documents, fingerprint)


def _split(config: TextConfig) -> tuple[list[Document], list[Document]]:
    """Return the documents for training and those held out, each side in the order of its hashes."""
    documents = [document for document in config.source.documents() if document.text]
    if not documents:
        raise InputError(f"{config.source.described} holds no text: no document in it, or only empty ones")
    places = {document.name: _place(document.name, config.seed) for document in documents}
    # Sorting is stable: documents of equal names stay in the order of the source.
    documents.sort(key=lambda document: places[document.name])
    held_out = [document for document in documents if places[document.name] < config.held_out]
    training = documents[len(held_out) :]
    for side, use in ((training, "training"), (held_out, "validation")):
        if not side:
            raise InputError(
                f"a held_out of {config.held_out:g} with seed {config.seed} leaves no document for {use} among "
                f"{len(documents)}; give more documents, another held_out or another seed "
                "(in a file that holds many documents, source.boundary tells where each starts)"
            )
    return training, held_out


def _place(name: str, seed: int) -> float:
    """Return a number in [0, 1) that depends on the name and the seed alone."""
    digest = hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48


def _encode(documents: Sequence[Document], tokenizer: Tokenizer, limit: int | None) -> Text:
    """Return documents as one text of at most so many symbols; what lies beyond is not even tokenized."""
    separator = np.array([tokenizer.separator], dtype=tokenizer.dtype)
    pieces: list[Symbols] = []
    names: list[str] = []
    starts = [0]
    for document, symbols in _encoded(documents, tokenizer):
        if limit is not None and starts[-1] >= limit:
            break
        names.append(document.name)
        pieces += [separator, symbols.astype(tokenizer.dtype)]
        starts.append(starts[-1] + 1 + len(symbols))
    tokens_N, starts_D = np.concatenate(pieces)[:limit], np.array(starts[:-1], dtype=np.int64)
    for shared in (tokens_N, starts_D):
        shared.setflags(write=False)
    return Text(tokens_N, starts_D, tuple(names))


def _encoded(documents: Sequence[Document], tokenizer: Tokenizer) -> Iterator[tuple[Document, Symbols]]:
    for start in range(0, len(documents), 32):
        some = documents[start : start + 32]
        yield from zip(some, tokenizer.encode(some), strict=True)


def _fingerprint(vocabulary: int, texts: Sequence[Text]) -> str:
    digest = hashlib.blake2b(str(vocabulary).encode(), digest_size=8)
    for text in texts:
        digest.update(text.starts_D.astype("<i8").tobytes())
        little_endian = text.tokens_N.dtype.newbyteorder("<")
        digest.update(np.ascontiguousarray(text.tokens_N, little_endian).data)
    return digest.hexdigest()
