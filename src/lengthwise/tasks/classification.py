"""Classification of texts: a text is read, and its label is asked at its end.

Shape letters: B rows, T positions.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from lengthwise.errors import InputError
from lengthwise.registry import nearest_name
from lengthwise.spaces import Tokens
from lengthwise.tasks.bag_of_words import features_line, words_line
from lengthwise.tasks.base import Batch, Ints, Point, Stage, Task, side_by_side
from lengthwise.tasks.filler import UNKNOWN, most_common, numbered
from lengthwise.tasks.labelled import HUGGING_FACE, Labelled, Split, Text
from lengthwise.tasks.plain import compiles
from lengthwise.tasks.records import Column
from lengthwise.tasks.sources import Document
from lengthwise.tasks.tokenizer import Tokenizer, load_tokenizer


def _with_groups(pattern: str) -> str:
    if missing := {"label", "text"} - {*re.compile(compiles(pattern)).groupindex}:
        raise ValueError(f"{pattern!r} has no group {min(missing)!r}: (?P<{min(missing)}>...)")
    return pattern


class Classification(Task):
    """Texts with one label each, a split to train on and one to measure, whose texts are all measured once.

    Files may be compressed. The label of a row of ``.csv``, ``.tsv``, ``.jsonl``, ``.parquet`` or of a data set stands
    in a column of its own, and the other columns, joined by a blank, are its text; lines of other files match
    ``pattern``; of a folder ``train`` or ``test`` each folder in it is a label. Two examples:

        "2","Giants win","A late goal decides"       is labelled 2, and reads ``Giants win A late goal decides``
        NUM:dist How far is it from Denver?           is labelled NUM, and reads ``dist How far is it from Denver?``
    """

    name: Literal["classification"] = "classification"

    source: str
    """A file; a folder whose files' names begin with ``train``, ``test`` and ``valid`` or ``dev``; or ``hf:NAME`` or
    ``hf:NAME:SUBSET``, a data set of Hugging Face."""
    # Settings that were not there from the beginning are left out of resolved recipes at their defaults.
    files: dict[Split, tuple[str, ...]] = Field(default={}, exclude_if=lambda files: not files)
    """Split -> its files in the folder, or rows of the data set, as patterns such as ``train_[ab].csv``."""
    column: Column = 0
    """Where the label of a row stands: the name of a column, or its place; -1 for the last one."""
    texts: tuple[Column, ...] = Field(default=(), exclude_if=lambda texts: not texts)
    """Where its text stands; in all other columns by default."""
    segments: Literal["joined", "apart", "matched"] = Field(
        default="joined", exclude_if=lambda segments: segments == "joined"
    )
    """Columns of a text are joined by a blank; or stand apart, a symbol between them; or do, and each word also tells
    whether another segment has it, and whether with the same word before or behind it."""
    pattern: Annotated[str, AfterValidator(_with_groups)] = r"(?P<label>[^:]+):(?P<text>.*)"
    """Of a line of any other file, with groups ``label`` and ``text``."""
    test_share: float = Field(default=0.2, gt=0, lt=1)
    """The share of texts that is measured where there is no file for it; which ones, their content decides."""
    train_share: float = Field(default=1.0, gt=0, le=1, exclude_if=lambda share: share == 1)
    """The share of the texts of training that is used, words and all; which ones, their content decides."""
    tokens: Literal["word", "byte"] = "word"
    """What is read: words, those of the training split alone, or bytes of UTF-8."""
    tokenizer: str = Field(default="", exclude_if=lambda path: not path)
    """A ``tokenizer.json`` whose tokens are read instead."""
    common: int = Field(default=20_000, ge=1)
    """How many words have symbols; the others are one symbol, number 0."""
    longest: int = Field(default=256, ge=1)
    """Symbols that are kept of a text."""
    lengths: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(), exclude_if=lambda lengths: not lengths)
    """How many symbols of a text are read where it is measured, one point each; as in training by default."""
    least: int = Field(default=0, ge=0, exclude_if=lambda least: not least)
    """The fewest symbols, uncut, of a text that is measured."""
    word_dropout: float = Field(default=0.0, ge=0, lt=1, exclude_if=lambda chance: not chance)
    """The chance that a symbol is read as number 0, in training."""

    @cached_property
    def splits(self) -> dict[str, list[Text]]:
        """Split -> its texts, in the order of the files."""
        apart = self.segments != "joined"
        found = Labelled(self.source, self.files, self.column, self.texts, self.pattern, apart).read()
        if "test" not in found:
            everything = found["train"]
            found["train"] = [text for text in everything if _share(text) >= self.test_share]
            found["test"] = [text for text in everything if _share(text) < self.test_share]
        if self.train_share < 1:
            # Counted from the other end, so that it is no matter which ones were held out.
            found["train"] = [text for text in found["train"] if _share(text) >= 1 - self.train_share]
        for split, texts in found.items():
            if not texts:
                raise InputError(f"{self.source} has no text in the split {split!r}")
        return found

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The labels of the training split, by their class."""
        return tuple(sorted({text.label for text in self.splits["train"]}))

    @cached_property
    def _tokenizer(self) -> Tokenizer | None:
        return load_tokenizer(self.tokenizer) if self.tokenizer else None

    @cached_property
    def _numbers(self) -> dict[str, int]:
        """Word -> its symbol."""
        texts = (part for text in self.splits["train"] for part in _parts(text.text))
        return numbered([UNKNOWN, *most_common((word for text in texts for word in _words(text)), self.common)])

    @property
    def words(self) -> int:
        """The symbols, each but once where there are several kinds of it; the last one stands between segments."""
        bytes_or_words = 256 if self.tokens == "byte" else len(self._numbers)
        of_texts = self._tokenizer.vocabulary if self._tokenizer else bytes_or_words
        return of_texts + (self.segments != "joined")

    @cached_property
    def _encoded(self) -> dict[str, tuple[list[Ints], Ints]]:
        """Split -> the symbols of its texts, and their classes; the shortest first."""
        encoded = dict[str, tuple[list[Ints], Ints]]()
        for split, texts in self.splits.items():
            if strange := sorted({text.label for text in texts} - {*self.labels}):
                raise InputError(f"{self.source}: label {strange[0]!r} of the split {split!r} is not trained on")
            train = split == "train"
            longest = self.longest if train else max(self.lengths or (self.longest,))
            read = [
                (self._symbols(units, longest), self.labels.index(text.label))
                for text in texts
                if sum(map(len, units := self._units(text.text))) >= (0 if train else self.least)
            ]
            if not read:
                raise InputError(f"{self.source} has no text of {self.least} symbols in the split {split!r} (least)")
            rows, classes = zip(*sorted(read, key=lambda one: len(one[0])), strict=True)
            encoded[split] = list(rows), np.array(classes, dtype=np.int64)
        return encoded

    def encode(self, text: str | tuple[str, ...]) -> Ints:
        """Return the symbols of a text, or of its segments, one at least."""
        return self._symbols(self._units(text), self.longest)

    def _units(self, text: str | tuple[str, ...]) -> list[list[int] | list[str]]:
        """Return what each segment is read as: words, or the numbers of bytes or tokens."""
        parts = _parts(text)
        if self._tokenizer:
            return [row.tolist() for row in self._tokenizer.encode([Document(part, part.encode()) for part in parts])]
        return [list(part.encode()) if self.tokens == "byte" else _words(part) for part in parts]

    def _symbols(self, units: list[list[int] | list[str]], longest: int) -> Ints:
        """Return the symbols of segments, each of them cut so that together they are not too long."""
        kinds = [_kinds(part, units[:n] + units[n + 1 :]) for n, part in enumerate(units)] if self._kinds > 1 else None
        each, found = max(1, (longest - len(units) + 1) // len(units)), list[int]()
        for place, part in enumerate(units):
            cut = [unit if isinstance(unit, int) else self._numbers.get(unit, 0) for unit in part[:each]]
            if kinds:
                cut = [self.words * kind + symbol for kind, symbol in zip(kinds[place], cut, strict=False)]
            found += [*([self.words - 1] if place else []), *cut]
        return np.array(found or [0], dtype=np.int64)

    @property
    def _kinds(self) -> int:
        return 3 if self.segments == "matched" else 1

    @property
    def inputs(self) -> Tokens:
        """The words or bytes, of three kinds where segments are matched."""
        return Tokens(self._kinds * self.words, self._kinds)

    @property
    def outputs(self) -> Tokens:
        """The labels."""
        return Tokens(len(self.labels))

    @property
    def data(self) -> str:
        """The source, and the hash of what it holds."""
        name = self.source if self.source.startswith(HUGGING_FACE) else Path(self.source).name
        return f"{name} {self.identity()}"

    @property
    def training_length(self) -> int:
        """The longest text that is trained on."""
        return len(self._encoded["train"][0][-1])

    def identity(self) -> str:
        """Return a hash of all texts and labels, and of the tokenizer."""
        read = repr(self.splits) + ((self._tokenizer.identity or "") if self._tokenizer else "")
        return hashlib.sha256(read.encode()).hexdigest()[:16]

    def paths(self) -> tuple[str, ...]:
        """Return the source, and the tokenizer."""
        return ("source", "tokenizer")

    def points(self, stage: Stage) -> Sequence[Point]:
        """Return a point a split and length, with all of its texts: for a learning curve validation, if there is."""
        curve = "validation" if "validation" in self.splits else "test"
        chosen = {"train": ["train"], "curve": [curve], "test": [split for split in self.splits if split != "train"]}
        lengths = sorted(self.lengths) if stage == "test" else []
        return [
            Point({"split": split} | ({"length": length} if length else {}), len(self._encoded[split][1]))
            for split in chosen[stage]
            for length in lengths or [0]
        ]

    def sample(self, rng: np.random.Generator, rows: int, point: Point) -> Batch:
        """Draw texts, every one alike; of those of training some symbols are left out."""
        batch = self._batch(point, rng.integers(len(self._split(point)[1]), size=rows))
        if self.word_dropout and point.axes["split"] == "train":
            symbols_BT = batch.inputs
            dropped_BT = rng.random(symbols_BT.shape) < self.word_dropout
            symbols_BT[dropped_BT] -= symbols_BT[dropped_BT] % self.words
        return batch

    def batches(self, rng: np.random.Generator, point: Point, rows: int) -> Iterator[Batch]:
        """Yield every text once, the shortest first."""
        count = len(self._split(point)[1])
        for start in range(0, count, rows):
            yield self._batch(point, np.arange(start, min(start + rows, count)))

    def shortcuts(self) -> dict[str, Callable[[Ints], Ints]]:
        """Return the guesses of lines through counts of words, and of matches where segments are matched."""
        rows, classes = self._encoded["train"]
        words = words_line([row % self.words for row in rows], classes)

        def tf_idf(tokens_BT: Ints) -> Ints:
            return words(tokens_BT % self.words)

        return {"tf_idf": tf_idf} | (
            {"overlap": features_line(self._overlap, rows, classes)} if self._kinds > 1 else {}
        )

    def _overlap(self, symbols: Ints) -> NDArray[np.float64]:
        """Return the shares of matches in the first segment, the others, with a neighbour, and a ratio of lengths."""
        between = np.flatnonzero(symbols == self.words - 1)
        first, others = np.split(symbols // self.words, between[:1])
        others = others[1:]
        longer = max(len(first), len(others), 1)
        parts = [(part > 0).mean() if len(part) else 0.0 for part in (first, others)]
        return np.array([*parts, (symbols // self.words == 2).mean(), min(len(first), len(others)) / longer])

    def _split(self, point: Point) -> tuple[list[Ints], Ints]:
        if (split := str(point.axes.get("split"))) not in self._encoded:
            raise InputError(f"{self.source} has no split {split!r}; {nearest_name(split, list(self._encoded))}")
        return self._encoded[split]

    def _batch(self, point: Point, index: Ints) -> Batch:
        rows, classes = self._split(point)
        chosen = [rows[row][: point.length] for row in index]
        lengths_B = np.array([len(row) for row in chosen], dtype=np.int64)
        return Batch.classified(side_by_side(chosen), classes[index], lengths_B)


def _parts(text: str | tuple[str, ...]) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else text


def _words(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text.lower())


def _kinds(units: list[int] | list[str], others: Sequence[list[int] | list[str]]) -> list[int]:
    """Return for each unit 0 where no other segment has it, 2 where one has it beside the same neighbour, or else 1."""
    there = {unit for other in others for unit in other}
    beside = {pair for other in others for pair in pairwise(other)}
    pairs = [pair in beside for pair in pairwise(units)]
    followed = zip(units, [False, *pairs], [*pairs, False], strict=True) if units else []
    return [2 if before or behind else int(unit in there) for unit, before, behind in followed]


def _share(text: Text) -> float:
    """Return a number in [0, 1) that a text alone decides, whatever stands around it."""
    return int.from_bytes(hashlib.sha256(repr(tuple(text)).encode()).digest()[:6], "big") / 2**48
