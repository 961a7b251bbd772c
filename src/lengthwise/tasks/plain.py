"""Plain text in files, read piece by piece: without a byte-order mark, and with LF where CRLF ends lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from lengthwise.errors import InputError
from lengthwise.tasks.records import LONGEST, unpacked


def compiles(pattern: str, *, of_bytes: bool = False) -> str:
    """Return a regular expression of a setting, or raise what its validation tells: it does not parse."""
    try:
        re.compile(pattern.encode() if of_bytes else pattern)
    # Of what bytes know nothing, and of what is too large or too deep, the errors are plain ones.
    except (re.error, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
    return pattern


_CHUNK = 2**20
_MARK = b"\xef\xbb\xbf"


def chunks(file: Path) -> Iterator[bytes]:
    """Yield the text of a file, some bytes at a time.

    Raises:
        InputError: it cannot be read.
    """
    with unpacked(file) as stream:
        held = stream.read(len(_MARK)).removeprefix(_MARK)
        for read in iter(partial(stream.read, _CHUNK), b""):
            text = held + read
            # What follows decides about it.
            held = b"\r" if text.endswith(b"\r") else b""
            yield text.removesuffix(held).replace(b"\r\n", b"\n")
        yield held


def ends_in_crlf(file: Path) -> bool:
    """Return whether the first lines of a file end in CRLF.

    Raises:
        InputError: it cannot be read.
    """
    with unpacked(file) as stream:
        return b"\r\n" in stream.read(_CHUNK)


def whole(file: Path) -> bytes:
    """Return the text of a file.

    Raises:
        InputError: it cannot be read, or is too large for one document.
    """
    parts, size = list[bytes](), 0
    for chunk in chunks(file):
        parts.append(chunk)
        if (size := size + len(chunk)) > LONGEST:
            raise InputError(
                f"{file} has more than {LONGEST:,} bytes, too many for one text; "
                "source.pieces: 65536 starts a new document after as many"
            )
    return b"".join(parts)


def cut(file: Path, size: int) -> Iterator[bytes]:
    """Yield the text of a file in pieces; see `lengthwise.tasks.sources.FilesSource`.

    Args:
        file: the file.
        size: the bytes of every piece at least, and about twice as many at most, but where lines are short.

    Raises:
        InputError: it cannot be read.
    """
    held = b""
    for chunk in chunks(file):
        held += chunk
        start = 0
        # What is left is at least a piece, so that no piece but a single one is smaller.
        while len(held) - start >= 3 * size:
            end = start + _end(held[start : start + 2 * size], size)
            yield held[start:end]
            start = end
        held = held[start:]
    while len(held) >= 2 * size:
        end = _end(held[: 2 * size], size)
        yield held[:end]
        held = held[end:]
    if held:
        yield held


def _end(text: bytes, size: int) -> int:
    """Return where the first piece of a text ends, beyond `size`: behind a line, behind a word, or between letters."""
    for mark in (b"\n", b" "):
        if end := text.find(mark, size) + 1:
            return end
    end = size
    while end < len(text) and text[end] & 0xC0 == 0x80:
        end += 1
    return end
