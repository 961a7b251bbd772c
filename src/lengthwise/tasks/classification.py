"""Classification of texts in local files: a text is read, and its label is asked at its end.

Shape letters: B rows, T positions.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import AfterValidator, Field

from lengthwise.errors import InputError
from lengthwise.registry import nearest_name
from lengthwise.spaces import Tokens
from lengthwise.tasks.base import Batch, Ints, Point, Stage, Task, side_by_side
from lengthwise.tasks.filler import UNKNOWN, most_common, numbered
from lengthwise.tasks.plain import compiles, whole
from lengthwise.tasks.records import SEPARATED, ending, separated


class Text(NamedTuple):
    """A text and its label."""

    label: str
    text: str


def _with_groups(pattern: str) -> str:
    if missing := {"label", "text"} - {*re.compile(compiles(pattern)).groupindex}:
        raise ValueError(f"{pattern!r} has no group {min(missing)!r}: (?P<{min(missing)}>...)")
    return pattern


_BEGINNINGS = {"train": ("train",), "validation": ("valid", "dev"), "test": ("test",)}
"""Split -> how the names of its files in a folder begin."""


class Classification(Task):
    """Texts with one label each, a split to train on and one to measure, whose texts are all measured once.

    Files may be compressed. The label of a row of ``.csv`` and ``.tsv`` stands in a column of its own, and
    the other columns, joined by a blank, are its text; lines of other files match ``pattern``. Two examples:

        "2","Giants win","A late goal decides"       is labelled 2, and reads ``Giants win A late goal decides``
        NUM:dist How far is it from Denver?           is labelled NUM, and reads ``dist How far is it from Denver?``
    """

    name: Literal["classification"] = "classification"

    source: str
    """A file, or a folder whose files' names begin with ``train``, ``test`` and ``valid`` or ``dev``."""
    column: int = 0
    """Where the label of a row of ``.csv`` or ``.tsv`` stands; -1 for the last column."""
    pattern: Annotated[str, AfterValidator(_with_groups)] = r"(?P<label>[^:]+):(?P<text>.*)"
    """Of a line of any other file, with groups ``label`` and ``text``."""
    test_share: float = Field(default=0.2, gt=0, lt=1)
    """The share of texts that is measured where there is no file for it; which ones, their content decides."""
    tokens: Literal["word", "byte"] = "word"
    """What is read: words, those of the training split alone, or bytes of UTF-8."""
    common: int = Field(default=20_000, ge=1)
    """How many words have symbols; the others are one symbol, number 0."""
    longest: int = Field(default=256, ge=1)
    """Symbols that are kept of a text."""

    @cached_property
    def splits(self) -> dict[str, list[Text]]:
        """Split -> its texts, in the order of the files."""
        found = {split: [text for file in files for text in self._read(file)] for split, files in self._files().items()}
        if "test" not in found:
            everything = found["train"]
            found["train"] = [text for text in everything if _share(text) >= self.test_share]
            found["test"] = [text for text in everything if _share(text) < self.test_share]
        for split, texts in found.items():
            if not texts:
                raise InputError(f"{self.source} has no text in the split {split!r}")
        return found

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The labels of the training split, by their class."""
        return tuple(sorted({text.label for text in self.splits["train"]}))

    @cached_property
    def _numbers(self) -> dict[str, int]:
        """Word -> its symbol."""
        words = (word for text in self.splits["train"] for word in _words(text.text))
        return numbered([UNKNOWN, *most_common(words, self.common)])

    @cached_property
    def _encoded(self) -> dict[str, tuple[list[Ints], Ints]]:
        """Split -> the symbols of its texts, and their classes; the shortest first."""
        encoded = dict[str, tuple[list[Ints], Ints]]()
        for split, texts in self.splits.items():
            if strange := sorted({text.label for text in texts} - {*self.labels}):
                raise InputError(f"{self.source}: label {strange[0]!r} of the split {split!r} is not trained on")
            read = [(self.encode(text.text), self.labels.index(text.label)) for text in texts]
            rows, classes = zip(*sorted(read, key=lambda one: len(one[0])), strict=True)
            encoded[split] = list(rows), np.array(classes, dtype=np.int64)
        return encoded

    def encode(self, text: str) -> Ints:
        """Return the symbols of a text, one at least."""
        found = list(text.encode()) if self.tokens == "byte" else [self._numbers.get(word, 0) for word in _words(text)]
        return np.array(found[: self.longest] or [0], dtype=np.int64)

    @property
    def inputs(self) -> Tokens:
        """The words or bytes."""
        return Tokens(256 if self.tokens == "byte" else len(self._numbers))

    @property
    def outputs(self) -> Tokens:
        """The labels."""
        return Tokens(len(self.labels))

    @property
    def data(self) -> str:
        """The file or folder, and the hash of what it holds."""
        return f"{Path(self.source).name} {self.identity()}"

    @property
    def training_length(self) -> int:
        """The longest text that is trained on."""
        return len(self._encoded["train"][0][-1])

    def identity(self) -> str:
        """Return a hash of all texts and labels."""
        return hashlib.sha256(repr(self.splits).encode()).hexdigest()[:16]

    def paths(self) -> tuple[str, ...]:
        """Return the source."""
        return ("source",)

    def points(self, stage: Stage) -> Sequence[Point]:
        """Return a point a split, with all of its texts: for a learning curve that of validation, if there is one."""
        curve = "validation" if "validation" in self.splits else "test"
        chosen = {"train": ["train"], "curve": [curve], "test": [split for split in self.splits if split != "train"]}
        return [Point({"split": split}, len(self.splits[split])) for split in chosen[stage]]

    def sample(self, rng: np.random.Generator, rows: int, point: Point) -> Batch:
        """Draw texts, every one alike."""
        return self._batch(point, rng.integers(len(self._split(point)[1]), size=rows))

    def batches(self, rng: np.random.Generator, point: Point, rows: int) -> Iterator[Batch]:
        """Yield every text once, the shortest first."""
        count = len(self._split(point)[1])
        for start in range(0, count, rows):
            yield self._batch(point, np.arange(start, min(start + rows, count)))

    def _split(self, point: Point) -> tuple[list[Ints], Ints]:
        if (split := str(point.axes.get("split"))) not in self.splits:
            raise InputError(f"{self.source} has no split {split!r}; {nearest_name(split, list(self.splits))}")
        return self._encoded[split]

    def _batch(self, point: Point, index: Ints) -> Batch:
        rows, classes = self._split(point)
        lengths_B = np.array([len(rows[row]) for row in index], dtype=np.int64)
        return Batch.classified(side_by_side([rows[row] for row in index]), classes[index], lengths_B)

    def _files(self) -> dict[str, list[Path]]:
        """Return the files of each split."""
        source = Path(self.source).expanduser()
        if source.is_file():
            return {"train": [source]}
        files = sorted(path for path in source.glob("*") if path.is_file())
        found = {split: [f for f in files if f.name.startswith(begin)] for split, begin in _BEGINNINGS.items()}
        if not found["train"]:
            there = ", ".join(path.name for path in files) or "nothing"
            raise InputError(f"{source} is no file, and no folder with a file called train...: it holds {there}")
        return {split: paths for split, paths in found.items() if paths}

    def _read(self, path: Path) -> Iterator[Text]:
        text = _contents(path)
        if ending(path) not in SEPARATED:
            yield from self._lines(path, text)
            return
        for number, row in enumerate(separated(path, io.StringIO(text, newline="")), start=1):
            if len(row) > 1 and -len(row) <= self.column < len(row):
                label = row.pop(self.column)
                yield Text(label.strip(), " ".join(row))
            elif any(row):
                raise InputError(f"{path}, row {number}: no label in column {self.column} of {len(row)} (column)")

    def _lines(self, path: Path, text: str) -> Iterator[Text]:
        for number, line in enumerate(text.splitlines(), start=1):
            if match := re.fullmatch(self.pattern, line):
                yield Text((match["label"] or "").strip(), match["text"] or "")
            elif line:
                raise InputError(f"{path}, line {number}: {line[:40]!r} does not match {self.pattern!r} (pattern)")


def _contents(path: Path) -> str:
    content = whole(path)
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _words(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text.lower())


def _share(text: Text) -> float:
    """Return a number in [0, 1) that a text alone decides, whatever stands around it."""
    return int.from_bytes(hashlib.sha256(repr(tuple(text)).encode()).digest()[:6], "big") / 2**48
