"""Files that are either whole or not there, whatever ends the process that writes them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from lengthwise.errors import StoppedError


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


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
