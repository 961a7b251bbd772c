"""Files that survive whatever ends the process that writes them: whole or not there, or whole but for a last line."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from lengthwise.errors import InputError, StoppedError


def write_atomically(path: Path, data: bytes, what: str) -> None:
    """Give a file new contents in one step that a crash cannot split.

    Args:
        path: the file to make or replace.
        data: all of its bytes.
        what: what the file is, as the error message says it.

    Raises:
        StoppedError: it could not be written; the previous contents are intact.
    """
    # One fixed name: what a killed process left behind is overwritten, not piled up.
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        kept = "the previous one is intact" if path.exists() else "there was none before"
        raise StoppedError(f"cannot write the {what} {path}: {error.strerror or error}; {kept}") from error


def append(path: Path, text: str, *, to_disk: bool = False) -> None:
    """Write at the end of a file, which is made where it is missing.

    Args:
        path: the file.
        text: whole lines; a kill may leave a part of them.
        to_disk: whether all that was appended so far is on the disk afterwards.

    Raises:
        StoppedError: it could not be written.
    """
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            if to_disk:
                os.fsync(file.fileno())
    except OSError as error:
        raise StoppedError(f"cannot write {path}: {error.strerror}; what was written before is intact") from error


def read_rows(path: Path, *, whole: bool = True) -> list[dict[str, Any]]:
    """Return the rows of a file of JSON lines, none where it is missing; a last line that a kill tore is left out.

    Args:
        path: the file.
        whole: whether lines before the last must be JSON; otherwise those that are not are left out too.

    Raises:
        InputError: a line that must be JSON is not.
    """
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            if whole and number < len(lines):
                raise InputError(f"{path}, line {number}: not JSON ({error.msg})") from error
    return rows


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
