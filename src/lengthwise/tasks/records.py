"""Records: files that hold a text in one column of each row, such as JSON lines, CSV and Parquet; read row by row."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import itertools
import lzma
import shlex
import sys
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO, Any, TypeAlias, cast

from lengthwise.errors import InputError, reason_of
from lengthwise.extras import import_extra
from lengthwise.files import open_regular, parse_json, read_object, refuse_irregular
from lengthwise.registry import nearest_name

Column: TypeAlias = str | int
"""A name, or a number from 0 in a file whose first row is no header."""
Row: TypeAlias = dict[str, Any]

LONGEST = 2**28
"""Bytes of one document or one row, which are held in memory as a whole."""
_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_PACKED = (*_OPENERS, ".zst")
_JSON, SEPARATED, _TABLES = (".jsonl", ".ndjson", ".json"), (".csv", ".tsv"), (".parquet", ".arrow", ".feather")
RECORDS = (*_JSON, *SEPARATED, *_TABLES)
"""How the names of files end that hold records, compressed or not."""
_SAVED = "state.json"
_LOOKED_AT = 100
"""Rows by which it is judged what a column holds."""
_LONGEST_NAME = 60
"""Letters of the name of a column; what is longer, or a number, is taken for the text of a row."""


def ending(path: Path) -> str:
    """Return how a file's name ends, whether or not it is compressed."""
    packed = path.suffix.lower() in _PACKED
    return Path(path.stem if packed else path.name).suffix.lower()


def saved_data_set(folder: Path) -> list[Path]:
    """Return the files of what ``datasets.save_to_disk`` wrote into a folder; none where the folder is another.

    Raises:
        InputError: it holds several splits, or its rows are not in the order of its files.
    """
    if (splits := folder / "dataset_dict.json").is_file():
        names = read_object(splits, "list of splits", given=True).get("splits", [])
        listed = " or ".join(str(folder / str(name)) for name in names)
        raise InputError(f"{folder} is a data set of several splits; name one of them: {listed}")
    if not (folder / _SAVED).is_file():
        return []
    state = read_object(folder / _SAVED, "state of the data set", given=True)
    if state.get("_indices_data_files"):
        raise InputError(f"{folder} keeps its rows in another order than its files; save it again with save_to_disk")
    return [folder / Path(str(file.get("filename"))).name for file in state.get("_data_files", [])]


def text_column(path: Path, column: Column | None) -> Column:
    """Return the column of a file that holds its texts: the one asked for, ``text``, or the only one that holds any.

    Args:
        path: the file.
        column: the one asked for; None where nobody did.

    Raises:
        InputError: there is none, or there are several.
    """
    rows = list(_rows(path, column, _LOOKED_AT))
    names = dict.fromkeys(name for row in rows for name in row)
    kinds = {name: _kind([row.get(name) for row in rows]) for name in names}
    if not kinds:
        raise InputError(f"{path} holds no records")
    if column is not None:
        if str(column) in kinds:
            return column
        raise InputError(f"{path} has no column {str(column)!r}; {nearest_name(str(column), list(kinds))}")
    texts = [name for name, kind in kinds.items() if kind == "text"]
    longest = max(texts, key=lambda name: sum(len(str(row.get(name) or "")) for row in rows), default="")
    odd = [name for name in names if _is_number(name) or len(name) > _LONGEST_NAME]
    if odd and ending(path) in SEPARATED:
        number = list(names).index(longest) if texts else 0
        raise InputError(
            f"the first row of {path} seems to be no header: it holds {odd[0][:_LONGEST_NAME]!r}; say which column, "
            f"from 0, holds the text: --text-column {number}, or its name where it is one"
        )
    if not texts:
        listed = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
        raise InputError(f"no column of {path} holds text: {listed}; each record needs one that does")
    if len(texts) > 1 and "text" not in texts:
        raise InputError(
            f"{path} has text in its columns {', '.join(texts)}; say which is read: "
            f"--text-column {shlex.quote(longest)}, or in a recipe task.text.source.column"
        )
    return "text" if "text" in texts else texts[0]


def read_texts(path: Path, column: Column | None) -> Iterator[str]:
    """Yield the text of each row of a file in order; empty where a row has none.

    Args:
        path: the file.
        column: as in `text_column`.

    Raises:
        InputError: the file cannot be read, or a row holds something else than text.
    """
    chosen = text_column(path, column)
    for number, row in enumerate(_rows(path, chosen)):
        value = row.get(str(chosen))
        if value is not None and not isinstance(value, str):
            raise InputError(f"column {str(chosen)!r} of {path} holds {str(value)[:40]!r} in row {number}, not text")
        yield value or ""


@contextmanager
def unpacked(path: Path) -> Generator[IO[bytes]]:
    """Open a file that the user named for reading, decompressed as its name says.

    Raises:
        InputError: it cannot be read, or not be decompressed; the latter while it is read, too.
    """
    try:
        with open_regular(path, given=True) as file, _decompressed(path, file) as stream:
            yield stream
    except _broken() as error:
        raise InputError(f"cannot read the text file {path}: {getattr(error, 'strerror', None) or error}") from error


def _broken() -> tuple[type[Exception], ...]:
    """Return the errors of a file that cannot be read, or not be decompressed."""
    library = sys.modules.get("zstandard")
    return (OSError, EOFError, zlib.error, lzma.LZMAError, *([library.ZstdError] if library else []))


def _decompressed(path: Path, file: IO[bytes]) -> IO[bytes]:
    if path.suffix.lower() != ".zst":
        opener = _OPENERS.get(path.suffix.lower())
        return opener(file) if opener else file
    try:
        library: Any = import_module("zstandard")
    except ModuleNotFoundError as error:
        raise InputError(f"the file {path} needs zstandard: pip install zstandard") from error
    return io.BufferedReader(library.ZstdDecompressor().stream_reader(file, read_across_frames=True))


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a file with all of their columns.

    Raises:
        InputError: the file cannot be read.
    """
    yield from _rows(path, None)


def _rows(path: Path, column: Column | None, most: int | None = None) -> Iterator[Row]:
    """Yield the rows of a file: the first ones where they are looked at, and otherwise at least the column of each."""
    end = ending(path)
    if end in _TABLES:
        yield from _of_table(path, column, most)
        return
    with unpacked(path) as stream:
        try:
            rows = _of_json(path, stream) if end in _JSON else _of_lines(path, stream, column)
            yield from itertools.islice(rows, most)
        except UnicodeDecodeError as error:
            raise not_utf8(str(path), error) from error


def not_utf8(what: str, error: UnicodeDecodeError) -> InputError:
    """Return the error of a text that is not UTF-8; it says how to make it so."""
    start = bytes(error.object[:4])
    wide = start.startswith((b"\xff\xfe", b"\xfe\xff"))
    wrong = "it begins as UTF-16 does" if wide else f"byte {error.object[error.start]:#04x} at position {error.start}"
    return InputError(
        f"{what} is not UTF-8 ({wrong}); where it is text, convert it: "
        f"iconv -f {'UTF-16' if wide else 'LATIN1'} -t UTF-8 OLD > NEW"
    )


def _of_json(path: Path, stream: IO[bytes]) -> Iterator[Row]:
    """Yield the objects of a file that holds one a line, or one array of them."""
    for number, line in enumerate(iter(lambda: stream.readline(LONGEST + 1), b""), start=1):
        if len(line) > LONGEST:
            raise InputError(f"{path}, line {number}: longer than {LONGEST:,} bytes; write an object a line")
        if number == 1 and line.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"["):
            whole = line + stream.read(LONGEST + 1)
            if len(whole) > LONGEST:
                raise InputError(f"{path}: an array of more than {LONGEST:,} bytes; write an object a line instead")
            yield from (_object(path, f"entry {place}", one) for place, one in enumerate(_parsed(path, "", whole)))
            return
        if line.strip():
            yield _object(path, f"line {number}", _parsed(path, f", line {number}", line))


def _parsed(path: Path, where: str, text: bytes) -> Any:
    try:
        return parse_json(text.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}{where}: not JSON ({error}); a file of JSON has an object a line, or one array of objects"
        ) from error


def _object(path: Path, where: str, value: Any) -> Row:
    if not isinstance(value, dict):
        raise InputError(f"{path}, {where}: {str(value)[:40]!r} is no object with a field that holds the text")
    return cast(Row, value)


def _of_lines(path: Path, stream: IO[bytes], column: Column | None) -> Iterator[Row]:
    """Yield the rows of columns that are separated in each line; by a number, they are of a file without a header."""
    with io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
        rows = separated(path, text)
        header = next(rows, [])
        if isinstance(column, int):
            rows, header = itertools.chain([header], rows), [str(number) for number in range(len(header))]
        elif header.count(str(column)) > 1:
            raise InputError(f"{path} has several columns {column!r}; say which by its number, from 0")
        for number, row in enumerate(rows):
            if len(row) > len(header):
                raise InputError(
                    f"{path}, row {number} has {len(row)} columns, and the first has {len(header)}; "
                    "a text that holds what separates them stands in quotes"
                )
            if row:
                yield dict(zip(header, row, strict=False))


def separated(path: Path, text: IO[str]) -> Iterator[list[str]]:
    """Yield the columns of each line of a file that ends in ``.csv`` or ``.tsv``, compressed or not.

    Args:
        path: the file, for its ending and for messages.
        text: what it holds, opened without a translation of the ends of lines.

    Raises:
        InputError: it is no such table.
    """
    csv.field_size_limit(LONGEST)
    sample = [line for _ in range(_LOOKED_AT) if (line := text.readline(LONGEST))]
    # Strict: a quote that is never closed would take the rest of the file for one text.
    rows = csv.reader(itertools.chain(sample, text), strict=True, **_form(sample, ending(path)))
    try:
        yield from rows
    except csv.Error as error:
        raise InputError(
            f"{path}, line {rows.line_num}, is not a row of separated columns: {error}; a column in quotes ends with "
            "one, and a quote in it is written twice"
        ) from error


def _form(sample: list[str], end: str) -> dict[str, Any]:
    """Return how columns are separated: by what makes as many of every row, and a comma where nothing else does."""
    # A tab ends a column whatever stands around it; the quotes of such files are those of their texts.
    tabs: dict[str, Any] = {"delimiter": "\t", "quoting": csv.QUOTE_NONE}
    commas, *others = ({"delimiter": mark} for mark in ",;|")
    for form in (tabs,) if end == ".tsv" else (commas, *others, tabs):
        # The sample may end in the middle of the last row.
        counted = [len(row) for row in csv.reader(sample, **cast("Any", form)) if row]
        if len(set(counted[:-1] or counted)) == 1 and counted[0] > 1:
            return form
    return tabs if end == ".tsv" else commas


def _of_table(path: Path, column: Column | None, most: int | None) -> Iterator[Row]:
    """Yield the rows of a file of columns, about a thousand at a time."""
    library: Any = import_extra("polars", f"the file {path}")
    refuse_irregular(path, given=True)
    try:
        for batch in _batches(library, path, None if column is None else str(column), most):
            yield from batch.iter_rows(named=True)
    # What panics in the library is no ordinary exception of it.
    except (OSError, library.exceptions.PolarsError, library.exceptions.PanicException) as error:
        raise InputError(f"cannot read the records in {path}: {reason_of(error)}") from error


def _batches(library: Any, path: Path, column: str | None, most: int | None) -> Iterable[Any]:
    everything = column is None or most is not None
    with unpacked(path) as file:
        begins = file.read(6)
    if path.suffix.lower() != ".parquet" and begins != b"ARROW1":
        # A stream, as `datasets` saves it in files of a bounded size.
        return [library.read_ipc_stream(path, columns=None if everything else [column], n_rows=most)]
    rows = library.scan_parquet(path) if path.suffix.lower() == ".parquet" else library.scan_ipc(path)
    chosen = rows if column is None else rows.select(column)
    return [rows.head(most).collect()] if most else chosen.collect_batches(chunk_size=1024)


def _kind(values: list[Any]) -> str:
    """Return ``text`` where some values are texts, and not the numbers in a file of text; else their type."""
    there = [value for value in values if value is not None and str(value).strip()]
    texts = [value for value in there if isinstance(value, str)]
    if not there:
        return "empty"
    return "number" if texts and all(map(_is_number, texts)) else "text" if texts else type(there[0]).__name__


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
