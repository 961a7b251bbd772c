"""Windows of a text: the batches of language modelling.

Shape letters: B batch rows, S = length + 1 symbols of a window.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TypeAlias, cast

import numpy as np

from lengthwise.errors import InputError
from lengthwise.tasks.base import Batch, Bools, Ints, Point, Stream
from lengthwise.tasks.corpus import Corpus, Split

WindowState: TypeAlias = "dict[str, str | list[int] | None]"
"""Where some windows stand, as JSON values."""


def predicted(tokens_BS: Ints, fresh_B: Bools | None = None) -> Batch:
    """Return rows of text as a batch: all symbols but the last of a row are read, all but the first predicted.

    Args:
        tokens_BS: [B, S] symbols.
        fresh_B: [B] whether nothing is carried over to a row from the same row of the batch before; to none by default.
    """
    fresh_B = np.ones(len(tokens_BS), dtype=np.bool_) if fresh_B is None else fresh_B
    return Batch(tokens_BS[:, :-1], tokens_BS[:, 1:], fresh=fresh_B)


class Windows(Stream, ABC):
    """An endless stream of batches that can be resumed exactly.

    Args:
        corpus: the text.
        split: the side of it.
        length: the number of symbols that each row reads, at least 1; as many are predicted.
        batch_size: B, the number of rows.

    Raises:
        InputError: no window of this length fits.
    """

    def __init__(self, corpus: Corpus, split: Split, length: int, batch_size: int = 1) -> None:
        if length < 1 or batch_size < 1:
            raise InputError(f"length and batch_size are at least 1, not {length} and {batch_size}")
        self.corpus = corpus
        self.split: Split = split
        self.length = length
        self.batch_size = batch_size
        self._stretches = corpus.stretches(split, length + 1)

    @property
    def too_short(self) -> int:
        """The number of documents that were left out because they are shorter than a window."""
        return self._stretches.too_short

    @abstractmethod
    def next_batch(self, rng: np.random.Generator, point: Point | None = None) -> Batch:
        """Return the next batch.

        Args:
            rng: the only source of randomness; to resume exactly, keep its state beside that of the windows.
            point: not looked at; windows have one length.
        """

    def state(self) -> WindowState:
        """Return all that decides which batches follow, apart from the generator."""
        return {"fingerprint": self.corpus.fingerprint}

    def restore(self, values: Mapping[str, object]) -> None:
        """Go on from a state: the same batches follow.

        Args:
            values: what `state` returned.

        Raises:
            InputError: the state belongs to another text or to other windows.
        """
        if (found := values.get("fingerprint")) != self.corpus.fingerprint:
            raise InputError(
                f"the text has changed: its fingerprint is {self.corpus.fingerprint}, that of the run is {found}; "
                "use the same files and, for source 'stdlib', the same version of Python"
            )

    def _read(self, positions_B: Ints, fresh_B: Bools | None = None) -> Batch:
        return predicted(self.corpus.read(self.split, positions_B, self.length + 1), fresh_B)


class RandomWindows(Windows):
    """Windows that begin anywhere, each place equally likely and every row for itself; all rows are fresh.

    Args:
        corpus: the text.
        split: the side of it.
        length: the number of symbols that each row reads.
        batch_size: B, the rows of `next_batch`.

    Raises:
        InputError: no window of this length fits.

    Example:
        >>> from lengthwise.tasks.corpus import TextConfig
        >>> windows = RandomWindows(Corpus.load(TextConfig()), "train", 64, batch_size=8)
        >>> windows.next_batch(np.random.default_rng(0)).inputs.shape
        (8, 64)
    """

    def next_batch(self, rng: np.random.Generator, point: Point | None = None) -> Batch:
        """Return `batch_size` windows."""
        index_B = rng.integers(self._stretches.count(), size=self.batch_size)
        return self._read(self._stretches.positions(index_B))


class AlignedWindows(Windows):
    """Windows of which each continues the same row of the batch before, as truncated backpropagation needs them.

    The last symbol of a window is the first of the next one, so each symbol is predicted once. Packed text is walked
    from positions that are drawn once, and goes on at its beginning where it ends. Separate documents are walked one
    after the other, each drawn anew; what is left of a document and shorter than a window is skipped.

    Args:
        corpus: the text.
        split: the side of it.
        length: the number of symbols that each row reads of a window.
        batch_size: B, the number of rows.
        reset: whether a row is fresh where a document begins, and not only in the first batch.
        loose: the number of rows, the first ones, that continue nothing: always fresh, each at a place of its own, as
            those of `RandomWindows`.

    Raises:
        InputError: no window of this length fits, documents are packed but should reset, or there are not as many rows.
    """

    def __init__(
        self, corpus: Corpus, split: Split, length: int, batch_size: int, reset: bool = False, loose: int = 0
    ) -> None:
        super().__init__(corpus, split, length, batch_size)
        if not 0 <= loose <= batch_size:
            raise InputError(f"loose rows are 0 to all {batch_size} of the batch, not {loose}")
        if reset and corpus.documents == "packed":
            raise InputError("reset at the borders of documents needs documents: separate, not packed")
        self.reset = reset
        self.loose = loose
        self._positions_B: Ints | None = None
        # Where the stretch of each row ends; packed text has no end.
        self._ends_B: Ints | None = None

    def next_batch(self, rng: np.random.Generator, point: Point | None = None) -> Batch:
        """Return the next window of every row."""
        fresh_B = np.full(self.batch_size, self._positions_B is None)
        if self.corpus.documents == "separate":
            positions_B, begun_B = self._separate(rng)
            fresh_B = begun_B if self.reset else fresh_B
        else:
            size = len(self.corpus.text(self.split).tokens_N)
            before_B = self._positions_B
            positions_B = rng.integers(size, size=self.batch_size) if before_B is None else before_B % size
        self._positions_B = positions_B + self.length
        if self.loose:
            places = rng.integers(self._stretches.count(), size=self.loose)
            positions_B = np.concatenate([self._stretches.positions(places), positions_B[self.loose :]])
            fresh_B = fresh_B | (np.arange(self.batch_size) < self.loose)
        return self._read(positions_B, fresh_B)

    def state(self) -> WindowState:
        """Return all that decides which batches follow, apart from the generator."""
        return {**super().state(), "positions": _values(self._positions_B), "ends": _values(self._ends_B)}

    def restore(self, values: Mapping[str, object]) -> None:
        """Go on from a state: the same batches follow.

        Args:
            values: what `state` returned.

        Raises:
            InputError: the state belongs to another text or to other windows.
        """
        super().restore(values)
        positions_B, ends_B = (self._rows_of(values, name) for name in ("positions", "ends"))
        if (ends_B is None) != (positions_B is None or self.corpus.documents == "packed"):
            raise InputError(f"the state of the windows does not belong to documents: {self.corpus.documents}")
        self._positions_B, self._ends_B = positions_B, ends_B

    def _rows_of(self, values: Mapping[str, object], name: str) -> Ints | None:
        if name not in values:
            raise InputError(f"the state of aligned windows has no {name!r}; was it made by random windows?")
        if (rows := values[name]) is None:
            return None
        rows_B = np.array(cast("list[int]", rows), dtype=np.int64)
        if len(rows_B) != self.batch_size:
            raise InputError(f"the state of the windows has {len(rows_B)} rows, the batch has {self.batch_size}")
        return rows_B

    def _separate(self, rng: np.random.Generator) -> tuple[Ints, Bools]:
        """Return where each row goes on, and which rows begin a document there."""
        if self._positions_B is None or self._ends_B is None:
            self._positions_B, self._ends_B = np.zeros((2, self.batch_size), dtype=np.int64)
        ended_B = self._positions_B + self.length >= self._ends_B
        drawn_B = rng.integers(len(self._stretches.starts_D), size=int(ended_B.sum()))
        self._positions_B[ended_B] = self._stretches.starts_D[drawn_B]
        self._ends_B[ended_B] = self._positions_B[ended_B] + self._stretches.lengths_D[drawn_B]
        return self._positions_B, ended_B


def _values(rows_B: Ints | None) -> list[int] | None:
    return None if rows_B is None else rows_B.tolist()
