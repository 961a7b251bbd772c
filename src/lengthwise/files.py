"""Files that survive whatever ends the process that writes them, and that are read for what they are.

A file is whole or not there, or whole but for a last line. A folder from elsewhere may hold links, fifos or devices
where files are expected: nothing is written through them, and only regular files of bounded size are read.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any, TypeAlias

from lengthwise.errors import InputError, StoppedError

Buffer: TypeAlias = bytes | memoryview
PLACE = "LENGTHWISE_CACHE"
"""The environment variable that names the folder of the cache; empty, nothing is kept."""
MOST = 2**30
"""Bytes that are read of a file as a whole; text to train on is read piece by piece."""

# Each is missing on some systems. A fifo that nobody writes to is opened at once, and seen to be one.
_PLAIN: int = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_NO_LINK: int = getattr(os, "O_NOFOLLOW", 0)
_WINDOWS = os.name == "nt"
_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a fifo", stat.S_IFLNK: "a link", stat.S_IFSOCK: "a socket"}


def write_atomically(path: Path, data: bytes | Iterable[Buffer], what: str, *, to_disk: bool = True) -> None:
    """Give a file new contents in one step that a crash cannot split.

    Args:
        path: the file to make or replace; a link in its place is replaced, and not followed.
        data: all of its bytes, in parts at will.
        what: what the file is, as the error message says it.
        to_disk: whether the contents are on the disk afterwards, which takes its time.

    Raises:
        StoppedError: it could not be written; the previous contents are intact.
    """
    # One fixed name: what a killed process left behind is overwritten, not piled up.
    partial = path.with_name(f".{path.name}.partial")
    try:
        with _made_anew(partial) as file:
            file.writelines([data] if isinstance(data, bytes) else data)
            file.flush()
            if to_disk:
                os.fsync(file.fileno())
        partial.replace(path)
        if to_disk:
            _sync(path.parent)
    except OSError as error:
        _take_away(partial)
        kept = "the previous one is intact" if os.path.lexists(path) else "there was none before"
        raise StoppedError(f"cannot write the {what} {path}: {error.strerror or error}; {kept}") from error


def move_into_place(partial: Path, path: Path, *, replace: bool = False) -> None:
    """Give a folder that is whole its name in one step, once all below it is on the disk.

    Args:
        partial: the folder.
        path: its name, beside it, which nothing or an empty folder has.
        replace: whether another folder may have the name, which is taken away: it is ``PATH.replaced`` until then.

    Raises:
        OSError: something cannot be written.
    """
    for folder, _, names in os.walk(partial):
        for name in names:
            if not Path(folder, name).is_symlink():
                _sync(Path(folder, name))
        _sync(Path(folder))
    old = path.with_name(f"{path.name}.replaced")
    if replace and path.exists():
        shutil.rmtree(old, ignore_errors=True)
        path.rename(old)
    partial.rename(path)
    _sync(path.parent)
    if replace:
        shutil.rmtree(old, ignore_errors=True)


def cache_folder() -> Path | None:
    """Return the folder of what is quicker to read than to make: that of `PLACE`, or one in the user's cache.

    Returns:
        None where none is wanted.
    """
    if (named := os.environ.get(PLACE)) is not None:
        return Path(named).expanduser() if named else None
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lengthwise"
    # Nobody knows where somebody's home is who has none.
    except RuntimeError:
        return None


def cached(name: str, make: Callable[[], str]) -> str:
    """Return a text from the cache, or make it; the first line of its file says what it must hash to.

    Args:
        name: of its file; another for whatever else `make` may return.
        make: gives the text.
    """
    folder = cache_folder()
    if folder is None:
        return make()
    path = folder / name
    with contextlib.suppress(InputError):
        digest, _, text = read_text(path, "cache").partition("\n")
        if digest == hashlib.sha256(text.encode()).hexdigest():
            return text
    text = make()
    # A cache that cannot be written costs time, and nothing else.
    with contextlib.suppress(StoppedError):
        make_folder(folder, "the cache")
        write_atomically(path, f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}".encode(), "cache", to_disk=False)
    return text


def append(path: Path, text: str, *, to_disk: bool = False) -> None:
    """Write at the end of a file, which is made where it is missing.

    Args:
        path: the file.
        text: whole lines; a kill may leave a part of them.
        to_disk: whether all that was appended so far is on the disk afterwards.

    Raises:
        StoppedError: it could not be written.
        InputError: it is a link, or no regular file.
    """
    new = not os.path.lexists(path)
    try:
        with open_regular(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT) as file:
            file.write(text.encode())
            file.flush()
            if to_disk:
                os.fsync(file.fileno())
    except OSError as error:
        if new:
            _take_away(path)
        raise StoppedError(f"cannot write {path}: {error.strerror}; what was written before is intact") from error


def make_folder(path: Path, what: str) -> None:
    """Make a folder, and those above it, where they are missing.

    Args:
        path: the folder.
        what: what it is for, as the error message says it.

    Raises:
        StoppedError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoppedError(f"cannot write {what} in {path}: {error.strerror or error}") from error


def open_regular(path: Path, flags: int = os.O_RDONLY, *, given: bool = False) -> IO[bytes]:
    """Open a file without waiting for what is at the other end of it.

    Args:
        path: the file.
        flags: as of `os.open`.
        given: whether the user named it, so that it may be a link; the files of a run, of kept results or of a cache
            may come from elsewhere, and may not.

    Raises:
        OSError: it cannot be opened.
        InputError: it is a link that may not be one, or no regular file.
    """
    try:
        descriptor = os.open(path, flags | _PLAIN | (0 if given else _NO_LINK), 0o666)
    except OSError as error:
        mode = os.lstat(path).st_mode if os.path.lexists(path) else stat.S_IFREG
        # Systems differ in the number of this error.
        if (stat.S_ISLNK(mode) and not given) or error.errno == errno.ENXIO:
            raise _irregular(path, mode) from error
        raise
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise _irregular(path, mode)
    modes = {os.O_RDONLY: "rb", os.O_WRONLY: "ab" if flags & os.O_APPEND else "wb", os.O_RDWR: "r+b"}
    return os.fdopen(descriptor, modes[flags & (os.O_WRONLY | os.O_RDWR)])


def read_bytes(path: Path, what: str, *, given: bool = False, most: int = MOST) -> bytes:
    """Return what is in a file.

    Args:
        path: the file.
        what: what it is, as the error message says it.
        given: as in `open_regular`.
        most: bytes that it may hold.

    Raises:
        InputError: it cannot be read, is a link that may not be one, is no regular file, or holds more.
    """
    try:
        with open_regular(path, given=given) as file:
            if (size := os.fstat(file.fileno()).st_size) > most:
                raise InputError(f"cannot read the {what} {path}: it has {size:,} bytes, and {most:,} are the most")
            return file.read()
    except OSError as error:
        raise InputError(f"cannot read the {what} {path}: {error.strerror or error}") from error


def read_text(path: Path, what: str, *, given: bool = False, most: int = MOST) -> str:
    """Return the text in a file of UTF-8; arguments and errors as in `read_bytes`."""
    try:
        return read_bytes(path, what, given=given, most=most).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"the {what} {path} is not UTF-8: byte {error.start:,} is {error.object[error.start]:#04x}"
        ) from error


def parse_json(text: str | bytes) -> Any:
    """Return what a text of JSON says.

    Args:
        text: as somebody else may have written it.

    Raises:
        ValueError: it is no JSON, or an object has a name twice, of which a parser would drop one without a word.
        RecursionError: it nests deeper than the parser goes.
    """
    return json.loads(text, object_pairs_hook=_of_pairs)


def read_object(path: Path, what: str, *, given: bool = False) -> dict[str, Any]:
    """Return the JSON object in a file; arguments and errors as in `read_bytes`."""
    try:
        found = parse_json(read_text(path, what, given=given))
    # Damage can nest deeper than the parser goes.
    except (ValueError, RecursionError) as error:
        raise InputError(f"the {what} {path} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"the {what} {path} is not a JSON object")
    return found


def read_rows(path: Path, *, whole: bool = True) -> list[dict[str, Any]]:
    """Return the rows of a file of JSON lines, none where it is missing; a last line that a kill tore is left out.

    Args:
        path: the file.
        whole: whether lines before the last must be JSON objects; otherwise those that are not are left out too.

    Raises:
        InputError: a line that must be a JSON object is not, or the file cannot be read.
    """
    lines = read_text(path, "file of rows").splitlines() if os.path.lexists(path) else []
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError("no object")
            rows.append(row)
        except (ValueError, RecursionError) as error:
            if whole and number < len(lines):
                raise InputError(f"{path}, line {number}: not a JSON object ({error})") from error
    return rows


def refuse_irregular(path: Path, *, given: bool = False) -> None:
    """Refuse what a library that opens files itself must not open; a file that is missing is left to it.

    Args:
        path: the file.
        given: as in `open_regular`.

    Raises:
        InputError: it is a link that may not be one, or no regular file.
    """
    with contextlib.suppress(OSError):
        mode = (os.stat if given else os.lstat)(path).st_mode
        if not stat.S_ISREG(mode):
            raise _irregular(path, mode)


def _of_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        [(often, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"{often!r} is given twice in an object")
    return found


def _made_anew(path: Path) -> IO[bytes]:
    """Open a new file for writing; what had its name, a link or a fifo too, loses it and is not touched."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _PLAIN | _NO_LINK, 0o666), "wb")


def _irregular(path: Path, mode: int) -> InputError:
    kind = _KINDS.get(stat.S_IFMT(mode), "a device")
    mended = "; a copy made with cp -rL has the files that links lead to" if stat.S_ISLNK(mode) else ""
    return InputError(f"{path} is {kind}, and not a regular file{mended}")


def _take_away(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _sync(path: Path) -> None:
    """Bring a file or a folder to the disk; Windows opens no folders, and syncs only what it may write."""
    if _WINDOWS and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDWR if _WINDOWS else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
