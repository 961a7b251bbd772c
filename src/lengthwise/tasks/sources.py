"""Where the text of a corpus comes from: named documents, each as bytes."""

from __future__ import annotations

import itertools
import os
import re
import sysconfig
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import partial
from glob import has_magic
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, Field

from lengthwise.errors import InputError
from lengthwise.extras import import_extra
from lengthwise.files import read_bytes
from lengthwise.registry import Registry, nearest_name
from lengthwise.settings import Settings
from lengthwise.tasks.plain import compiles, cut, ends_in_crlf, whole
from lengthwise.tasks.records import RECORDS, ending, read_texts, saved_data_set, text_column


class Document(NamedTuple):
    """A text that nothing before it leads up to."""

    name: str
    """What the document is called inside its source; it decides on which side of the split the document falls."""
    text: bytes


class SourceConfig(Settings, ABC):
    """Settings of a source of text."""

    @property
    def described(self) -> str:
        """What messages call it."""
        return f"the text source {getattr(self, 'name', type(self).__name__)!r}"

    @abstractmethod
    def documents(self) -> Iterator[Document]:
        """Yield the documents in an order that is the same on every machine.

        Raises:
            InputError: the source is missing or cannot be read.
        """

    def notes(self) -> list[str]:
        """Return what was decided about the source and should be known, a sentence each; nothing by default."""
        return []


class StdlibSource(SourceConfig):
    """The source code of Python's own standard library, which is on every machine: a document a module.

    Installed packages, the module that describes how this Python was built, and the few modules that are not in UTF-8
    are left out. The library differs among versions of Python, so compare fingerprints before numbers.
    """

    name: Literal["stdlib"] = "stdlib"
    tests: bool = True
    """Whether the library's own tests are read, about 60 % of its text; some distributions leave them out."""

    def documents(self) -> Iterator[Document]:
        """Yield the modules, sorted by path.

        Raises:
            InputError: this Python has no library in files.
        """
        root = Path(sysconfig.get_paths()["stdlib"])
        excluded = {"site-packages", "dist-packages", "__pycache__"}
        excluded |= set() if self.tests else {"test", "tests", "idle_test"}
        files = [path for path in _files_below(root, excluded) if path.suffix == ".py"]
        modules = [path for path in files if not path.name.startswith("_sysconfigdata")]
        if not modules:
            raise InputError(f"the standard library of this Python has no source files in {root}; use source 'files'")
        for path in modules:
            text = read_bytes(path, "text file", given=True)
            if text.decode(errors="ignore").encode() == text:
                yield Document(path.relative_to(root).as_posix(), text)


_TEXTS = (".md", ".rst", ".text")
_FOUND = ((".txt",), _TEXTS, tuple(end for end in RECORDS if end != ".json"))
"""What is read of a folder: files of the first kind that it holds."""


_PACKED = (".zip", ".tar", ".tgz", ".7z", ".rar", ".pdf", ".epub", ".docx", ".odt", ".xlsx")
"""Endings of files whose bytes are not what people read in them."""


class FilesSource(SourceConfig):
    """Files of text, a document a file, or of records, a document a row; plain or compressed.

    A byte-order mark at the start of a file of text is left out, and CRLF is read as LF. Records are JSON lines, CSV,
    TSV, Parquet, Arrow, and data sets that `datasets` saved to a folder.
    """

    name: Literal["files"] = "files"
    paths: tuple[str, ...] = Field(min_length=1)
    """Files, folders (searched to any depth, without hidden names) or patterns such as ``books/**/*.txt``; relative
    ones start from the working directory."""
    suffixes: tuple[str, ...] | None = None
    """Which files of a folder are read, compressed or not; by default ``.txt``, or where there are none, other text or
    records. Files that are named or match a pattern always are."""
    column: str | int | None = None
    """The column of records that holds the text, or its number from 0 where the first row is no header; by default
    ``text``, or the only one that holds any."""
    boundary: Annotated[str, AfterValidator(partial(compiles, of_bytes=True))] | None = None
    """A regular expression at whose matches a new document starts in a file of text; ``^`` matches at every line."""
    pieces: int | None = Field(default=None, ge=16)
    """Bytes after which a new document starts inside a file of text: at the next end of a line, or within a line, where
    it goes on for as many bytes again, at a blank or else between two letters."""

    @property
    def described(self) -> str:
        """What messages call it, with the paths."""
        return f"{super().described} ({', '.join(self.paths)})"

    def documents(self) -> Iterator[Document]:
        """Yield the documents, sorted by name; a file that is reached twice is read once.

        Raises:
            InputError: a path does not exist or holds no file to read, or a file cannot be read.
        """
        for file, name in self._files():
            if ending(file) in RECORDS:
                for number, text in enumerate(read_texts(file, self.column)):
                    yield Document(f"{name}#{number}", _encoded(text, file, number))
            elif self.pieces is not None:
                for number, piece in enumerate(cut(file, self.pieces)):
                    yield Document(f"{name}#{number}", piece)
            else:
                yield from self._split(Document(name, whole(file)))

    def notes(self) -> list[str]:
        """Say which column was chosen and which files of a folder were left, where nobody did, and how lines end."""
        files, said = self._files(), list[str]()
        if self.suffixes is None:
            for folder in filter(Path.is_dir, (Path(path).expanduser() for path in self.paths)):
                others = {ending(file) for file in _files_below(folder, set())} & {*sum(_FOUND, ())}
                if left := sorted(others - {ending(file) for file, _ in files}):
                    said.append(f"{folder}: files that end in {', '.join(left)} are not read (setting: suffixes)")
        if self.column is None and (records := [file for file, _ in files if ending(file) in RECORDS]):
            chosen = text_column(records[0], None)
            said.append(f"{records[0]}: a document is the text in the column {chosen!r} (--text-column takes another)")
        said += [
            f"{file}: lines end in CRLF, which is read as LF"
            for file in [file for file, _ in files if ending(file) not in RECORDS][:1]
            if ends_in_crlf(file)
        ]
        return said

    def _files(self) -> list[tuple[Path, str]]:
        """Return the files and their names, sorted by name."""
        # The first way to reach a file names it.
        names: dict[Path, str] = {}
        for path in self.paths:
            for name, file in self._find(path):
                if ending(file) in _PACKED:
                    raise InputError(f"{file} is no file of text or of records; give what is in it")
                names.setdefault(file.resolve(), name)
        return sorted(names.items(), key=lambda item: (item[1], item[0]))

    def _find(self, path: str) -> list[tuple[str, Path]]:
        """Return the files of one path, each with its name relative to what does not vary."""
        start = Path(path).expanduser()
        if start.is_dir():
            return self._find_below(start)
        if start.exists():
            return [(start.name, start)]
        if not has_magic(path):
            raise InputError(f"the text source names {path}, which does not exist")
        fixed = Path(*itertools.takewhile(lambda part: not has_magic(part), start.parts))
        pattern = str(start.relative_to(fixed))
        if not (files := [file for file in fixed.glob(pattern) if file.is_file()]):
            raise InputError(f"no file matches {path!r}")
        return [(file.relative_to(fixed).as_posix(), file) for file in files]

    def _find_below(self, folder: Path) -> list[tuple[str, Path]]:
        if saved := saved_data_set(folder):
            return [(file.name, file) for file in saved]
        files = [file for file in _files_below(folder, set()) if not file.name.startswith(".")]
        of_text, of_others, of_records = (self._ending_in(files, endings) for endings in _FOUND)
        if self.suffixes is not None:
            read = self._ending_in(files, self.suffixes)
        elif not of_text and of_others and of_records:
            raise InputError(
                f"{folder} holds text ({of_others[0].name}) and records ({of_records[0].name}); say which is read with "
                f"a pattern such as '{folder}/**/*{ending(of_records[0])}', or with the setting suffixes"
            )
        else:
            read = of_text or of_others or of_records
        if not read:
            present = sorted({file.suffix or file.name for file in files})
            raise InputError(
                f"no file below {folder} ends in {' or '.join(self.suffixes or sum(_FOUND, ()))}; "
                f"it holds {', '.join(present) or 'no files'} (setting: suffixes)"
            )
        return [(file.relative_to(folder).as_posix(), file) for file in read]

    @staticmethod
    def _ending_in(files: list[Path], endings: tuple[str, ...]) -> list[Path]:
        return [file for file in files if file.name.endswith(endings) or ending(file) in endings]

    def _split(self, document: Document) -> Iterator[Document]:
        if self.boundary is None:
            yield document
            return
        matches = re.finditer(self.boundary.encode(), document.text, re.MULTILINE)
        starts = sorted({0, *(match.start() for match in matches)})
        for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(document.text)], strict=True)):
            yield Document(f"{document.name}#{number}", document.text[start:end])


class HuggingFaceSource(SourceConfig):
    """A column of a Hugging Face data set: a document a row."""

    name: Literal["huggingface"] = "huggingface"
    path: str
    """The data set, as ``datasets.load_dataset`` takes it."""
    subset: str | None = None
    """Its configuration, such as ``wikitext-103-raw-v1``."""
    split: str = "train"
    """The rows, such as ``train`` or ``train[:1%]``; documents are held out from these."""
    column: str = "text"
    """The column that holds the text."""
    revision: str | None = None
    """The version of the data set; the newest by default."""

    @property
    def described(self) -> str:
        """What messages call it, with the data set."""
        return f"{super().described} ({self.path}, {self.split})"

    def documents(self) -> Iterator[Document]:
        """Yield the rows in their order, named by their number.

        Raises:
            InputError: the library or the data set is missing, or the column is missing or does not hold text.
        """
        library = import_extra("datasets", "the text source 'huggingface'")
        try:
            rows = library.load_dataset(self.path, self.subset, split=self.split, revision=self.revision)
        except (OSError, ValueError) as error:
            raise InputError(f"cannot load the data set {self.path!r}: {error}") from error
        if self.column not in rows.column_names:
            nearest = nearest_name(self.column, list(rows.column_names))
            raise InputError(f"the data set {self.path!r} has no column {self.column!r}; {nearest}")
        for number, row in enumerate(rows.select_columns([self.column])):
            text = row[self.column]
            if not isinstance(text, str):
                raise InputError(f"column {self.column!r} of {self.path!r} holds {text!r} in row {number}, not text")
            yield Document(str(number), text.encode())


SOURCES: Registry = Registry(
    "text source",
    {
        "stdlib": "lengthwise.tasks.sources:StdlibSource",
        "files": "lengthwise.tasks.sources:FilesSource",
        "huggingface": "lengthwise.tasks.sources:HuggingFaceSource",
    },
    base="lengthwise.tasks.sources:SourceConfig",
)
"""Source name -> the class of its settings."""


def _files_below(root: Path, excluded: set[str]) -> Iterator[Path]:
    """Yield all files below a folder in sorted order, without hidden folders and those of excluded names."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in excluded and not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(files))


def _encoded(text: str, file: Path, number: int) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        where = f"{file}, row {number}, letter {error.start}"
        raise InputError(f"{where}: half of a surrogate pair, which is no text") from error
