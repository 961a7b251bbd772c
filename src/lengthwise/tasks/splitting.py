"""The split of a text: which documents are trained on and which are held out, as symbols, in memory or in a file.

Shape letters: N symbols of a text, D documents of it.
"""

from __future__ import annotations

import hashlib
import heapq
import math
import mmap
import os
import tempfile
from array import array
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np

from lengthwise.errors import InputError, StoppedError
from lengthwise.tasks.base import Ints
from lengthwise.tasks.sources import Document, SourceConfig
from lengthwise.tasks.tokenizer import Symbols, Tokenizer

IN_MEMORY = 2**27
"""Bytes of symbols from which on they lie in a file."""
_MAPPED = 2**23
"""Symbols of a mapped file after which its memory is given back."""
_AT_ONCE, _TOGETHER = 2**20, 256
"""Bytes of text, and documents, that are made symbols at a time."""


@dataclass(frozen=True)
class Text:
    """One side of the split.

    Args:
        tokens_N: [N] the documents one after the other, each opened by the separator.
        starts_D: [D] where each document's separator stands, in increasing order.
    """

    tokens_N: Symbols
    starts_D: Ints


def fingerprint_of(vocabulary: int, texts: Iterable[Text]) -> str:
    """Return a hash of all symbols and of where the documents start."""
    digest = hashlib.blake2b(str(vocabulary).encode(), digest_size=8)
    for text in texts:
        digest.update(text.starts_D.astype("<i8").tobytes())
        little_endian = text.tokens_N.dtype.newbyteorder("<")
        for start in range(0, len(text.tokens_N), _MAPPED):
            digest.update(np.ascontiguousarray(text.tokens_N[start : start + _MAPPED], little_endian).data)
            _let_go(text.tokens_N)
    return digest.hexdigest()


def _let_go(tokens_N: Symbols) -> None:
    """Give the memory of a mapped file back, where it is one; what is looked at again is read again."""
    mapped = getattr(tokens_N, "_mmap", None)
    if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


@dataclass(frozen=True)
class Splitting:
    """How documents are ordered, which are held out and how many are kept; see `lengthwise.tasks.corpus.TextConfig`."""

    held_out: float
    seed: int
    limit: int | None

    def split(self, source: SourceConfig, tokenizer: Tokenizer) -> tuple[Text, Text]:
        """Return the documents for training and those held out, each side in the order of the hashes of their names.

        The documents are read one after the other, and only those of them are tokenized that may be kept.

        Raises:
            InputError: the source cannot be read, or has no document for one of the sides.
            StoppedError: the symbols do not fit into the folder of temporary files.
        """
        with closing(_Side(tokenizer, self.limit)) as train, closing(_Side(tokenizer, None)) as validation:
            first, last = math.inf, -math.inf
            for document in source.documents():
                if document.text:
                    place = _place(document.name, self.seed)
                    first, last = min(first, place), max(last, place)
                    (validation if place < self.held_out else train).add(place, document)
            if first < self.held_out <= last:
                return train.text(), validation.text()
        if first > last:
            raise InputError(f"{source.described} holds no text: no document in it, or only empty ones")
        if first == last:
            raise InputError(
                f"{source.described} is one document, which leaves no document for validation: text is held out by "
                "document; give more of them, or cut it with source.pieces (after so many bytes) or source.boundary"
            )
        # Few documents may all fall on one side: the one that is nearest to the other goes there.
        if last < self.held_out:
            return replace(self, held_out=last).split(source, tokenizer)
        return replace(self, held_out=math.nextafter(first, 1)).split(source, tokenizer)


@dataclass
class _Side:
    """The documents of one side, as they come: their symbols in a spool, which is a file once they are many."""

    tokenizer: Tokenizer
    limit: int | None
    spool: tempfile.SpooledTemporaryFile[bytes] = field(default_factory=lambda: _spool())
    places: array[float] = field(default_factory=lambda: array("d"))
    begins: array[int] = field(default_factory=lambda: array("q"))
    lengths: array[int] = field(default_factory=lambda: array("q"))
    waiting: list[tuple[float, Document]] = field(default_factory=list[tuple[float, Document]])
    kept: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    """With a limit, a heap of the documents within it, the last one on top: place and number, both negative."""
    bytes: int = 0
    """Of the texts that wait."""
    end: int = 0
    """Bytes of the spool."""
    size: int = 0
    """Symbols of the documents within the limit."""

    def add(self, place: float, document: Document) -> None:
        """Take a document, unless the limit ends before it."""
        if self.limit is not None and self.size >= self.limit and place >= -self.kept[0][0]:
            return
        self.waiting.append((place, document))
        self.bytes += len(document.text)
        if len(self.waiting) == _TOGETHER or self.bytes > _AT_ONCE:
            self._take()

    def text(self) -> Text:
        """Return the documents in the order of their places, cut at the limit."""
        self._take()
        everything = np.arange(len(self.places))
        numbers = everything if self.limit is None else np.sort([-number for _, number in self.kept])
        # Sorting is stable: documents of equal names stay in the order of the source.
        order = numbers[np.argsort(np.frombuffer(self.places)[numbers], kind="stable")]
        begins, lengths = (np.frombuffer(each, np.int64)[order] for each in (self.begins, self.lengths))
        ends = (lengths + 1).cumsum()
        tokens_N = _empty(int(ends[-1]), self.tokenizer.dtype)
        starts_D, mapped = ends - lengths - 1, 0
        for start, begin, length in zip(starts_D.tolist(), begins.tolist(), lengths.tolist(), strict=True):
            tokens_N[start] = self.tokenizer.separator
            self.spool.seek(begin)
            read = self.spool.read(length * tokens_N.itemsize)
            tokens_N[start + 1 : start + 1 + length] = np.frombuffer(read, tokens_N.dtype)
            if start - mapped > _MAPPED:
                _let_go(tokens_N)
                mapped = start
        tokens_N = tokens_N[: self.limit]
        for shared in (tokens_N, starts_D):
            shared.setflags(write=False)
        return Text(tokens_N, starts_D)

    def close(self) -> None:
        """Let go of the spool."""
        self.spool.close()

    def _take(self) -> None:
        """Make symbols of those that wait."""
        encoded, dtype = self.tokenizer.encode([document for _, document in self.waiting]), self.tokenizer.dtype
        try:
            # At its end, where it is: nothing is read before the last document came.
            self.spool.writelines(symbols.astype(dtype).tobytes() for symbols in encoded)
        except OSError as error:
            raise _full(error) from error
        for (place, _), symbols in zip(self.waiting, encoded, strict=True):
            if self.limit is not None:
                heapq.heappush(self.kept, (-place, -len(self.places)))
                self.size += 1 + len(symbols)
            self.places.append(place)
            self.lengths.append(len(symbols))
            self.begins.append(self.end)
            self.end += len(symbols) * dtype.itemsize
            while self.limit is not None and self.size - self._last() >= self.limit:
                self.size -= self._last()
                heapq.heappop(self.kept)
        self.waiting.clear()
        self.bytes = 0

    def _last(self) -> int:
        """Return the symbols of the last document within the limit."""
        return 1 + self.lengths[-self.kept[0][1]]


def _spool() -> tempfile.SpooledTemporaryFile[bytes]:
    return tempfile.SpooledTemporaryFile(IN_MEMORY, prefix="lengthwise-")


def _empty(size: int, dtype: np.dtype[np.integer]) -> Symbols:
    """Return a place for so many symbols; where they are many, in a file without a name."""
    if size * dtype.itemsize <= IN_MEMORY:
        return np.empty(size, dtype)
    try:
        with tempfile.TemporaryFile(prefix="lengthwise-") as file:
            # A full disk is told here; where it fills up under a mapped file, the process is killed.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size * dtype.itemsize)
            return np.memmap(file, dtype, "w+", shape=(size,))
    except OSError as error:
        raise _full(error) from error


def _full(error: OSError) -> StoppedError:
    where = tempfile.gettempdir()
    return StoppedError(f"cannot write symbols to {where}: {error.strerror}; TMPDIR=FOLDER takes another folder")


def _place(name: str, seed: int) -> float:
    """Return a number in [0, 1) that depends on the name and the seed alone."""
    digest = hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48
