"""Labelled texts: each with a label, in the rows or lines of files, in folders named by labels, or a data set."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from lengthwise.errors import InputError
from lengthwise.extras import import_extra
from lengthwise.registry import nearest_name
from lengthwise.tasks.plain import whole
from lengthwise.tasks.records import RECORDS, SEPARATED, Column, ending, read_rows, separated

HUGGING_FACE = "hf:"
"""What a data set of Hugging Face begins with: ``hf:NAME``, or ``hf:NAME:SUBSET``."""
Split = Literal["train", "validation", "test"]
_NAMED: Mapping[Split, tuple[str, ...]] = {"train": ("train*",), "validation": ("valid*", "dev*"), "test": ("test*",)}
"""Split -> patterns of the names of its files in a folder."""
_Rows: TypeAlias = Iterable[tuple[str, Mapping[str, Any]]]
"""Where each row stands, in words, and its columns."""


class Text(NamedTuple):
    """A text and its label."""

    label: str
    text: str | tuple[str, ...]
    """As one, or as segments."""


class Labelled(NamedTuple):
    """Where labelled texts are, and where in a row the label and the text stand."""

    source: str
    splits: Mapping[Split, tuple[str, ...]]
    """Split -> patterns of its files, or of a data set its rows; by their names by default."""
    column: Column
    texts: tuple[Column, ...]
    """All but the label by default."""
    pattern: str
    apart: bool
    """Whether the columns of a text are segments, and not joined by a blank."""

    def read(self) -> dict[str, list[Text]]:
        """Return the texts of each split, in the order of the files.

        Raises:
            InputError: the source cannot be read, or has no label or no text in a row.
        """
        if self.source.startswith(HUGGING_FACE):
            return {split: self._texts(rows) for split, rows in self._data_set().items()}
        found = self._files()
        return {split: [text for path in paths for text in self._read(path)] for split, paths in found.items()}

    def _files(self) -> dict[str, list[Path]]:
        """Return the files, or folders of a folder a label, of each split."""
        source = Path(self.source).expanduser()
        if source.is_file():
            return {"train": [source]}
        there = sorted(path for path in source.glob("*") if not path.name.startswith("."))
        named = self.splits if "train" in self.splits else {**_NAMED, **self.splits}
        found = {
            split: [path for path in there if any(fnmatch(path.name, name) for name in names)]
            for split, names in named.items()
        }
        if missing := [
            names for split, names in named.items() if not found[split] and split in {"train", *self.splits}
        ]:
            called = " or ".join(missing[0]).replace("*", "...")
            held = ", ".join(path.name for path in there) or "nothing"
            raise InputError(f"{source} is no file, and no folder with a file called {called}: it holds {held}")
        return {split: paths for split, paths in found.items() if paths}

    def _data_set(self) -> dict[str, _Rows]:
        """Return the rows of each split of a data set of Hugging Face."""
        library: Any = import_extra("datasets", f"the source {self.source}")
        name, _, subset = self.source.removeprefix(HUGGING_FACE).partition(":")
        try:
            data = library.load_dataset(name, subset or None)
        except (OSError, ValueError) as error:
            raise InputError(f"cannot load the data set {name!r}: {error}") from error
        wanted = self.splits or {split: (split,) for split in _NAMED if split in data}
        if unknown := [part for parts in wanted.values() for part in parts if part not in data]:
            raise InputError(f"the data set {name!r} has no rows {unknown[0]!r}; {nearest_name(unknown[0], [*data])}")
        return {
            split: [(f"row {n} of {part} of {self.source}", row) for part in parts for n, row in enumerate(data[part])]
            for split, parts in wanted.items()
        }

    def _read(self, path: Path) -> Iterator[Text]:
        """Yield the texts of a file, or of a folder with a folder a label."""
        if path.is_dir():
            for file in sorted(file for file in path.glob("*/*") if file.is_file()):
                yield Text(file.parent.name, _contents(file))
        elif ending(path) in SEPARATED:
            yield from self._texts(self._columns(path))
        elif ending(path) in RECORDS:
            yield from self._texts((f"{path}, row {n}", row) for n, row in enumerate(read_rows(path), start=1))
        else:
            yield from self._lines(path)

    def _columns(self, path: Path) -> _Rows:
        """Yield the rows of a table, by the names in its first row where columns are named, or else by numbers."""
        rows = separated(path, io.StringIO(_contents(path), newline=""))
        named = any(isinstance(column, str) for column in (self.column, *self.texts))
        header = next(rows, []) if named else []
        for number, row in enumerate(rows, start=1):
            if any(row):
                names = header[: len(row)] or map(str, range(len(row)))
                yield f"{path}, row {number}", dict(zip(names, row, strict=False))

    def _texts(self, rows: _Rows) -> list[Text]:
        return [self._text(where, row) for where, row in rows]

    def _text(self, where: str, row: Mapping[str, Any]) -> Text:
        names = [*row]
        label = self._name(self.column, names, where, "column")
        others = [self._name(column, names, where, "texts") for column in self.texts]
        others = others or [name for name in names if name != label]
        if row[label] is None:
            raise InputError(f"{where}: nothing in column {label!r}, where the label stands (column)")
        if not others:
            raise InputError(f"{where}: no text beside the label in column {label!r} of {len(names)} (texts)")
        segments = tuple(str(row[name] or "") for name in others)
        return Text(str(row[label]).strip(), segments if self.apart else " ".join(segments))

    def _name(self, column: Column, names: list[str], where: str, setting: str) -> str:
        """Return the name of a column that is given by its name or its place."""
        if isinstance(column, str) and column in names:
            return column
        if isinstance(column, int) and -len(names) <= column < len(names):
            return names[column]
        what = "label" if setting == "column" else "text"
        raise InputError(f"{where}: no {what} in column {column} of {len(names)} ({setting})")

    def _lines(self, path: Path) -> Iterator[Text]:
        for number, line in enumerate(_contents(path).splitlines(), start=1):
            if match := re.fullmatch(self.pattern, line):
                text = match["text"] or ""
                yield Text((match["label"] or "").strip(), (text,) if self.apart else text)
            elif line:
                raise InputError(f"{path}, line {number}: {line[:40]!r} does not match {self.pattern!r} (pattern)")


def _contents(path: Path) -> str:
    content = whole(path)
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")
