"""The lock of a run folder, which one process holds at a time."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from filelock import lock_descriptor

from lengthwise.errors import InputError


class InUseError(InputError):
    """Another process works in a folder; once it ended, the folder is free."""


@contextmanager
def hold(folder: Path) -> Generator[None]:
    """Keep other processes out of a folder; the system lets go of it however this process ends.

    Args:
        folder: made if it is missing.

    Raises:
        InUseError: another process holds it.
        InputError: it cannot be made or written.
    """
    with _locked(folder) as file:
        # Who holds it is told as a courtesy; a full disk that cannot hold the line does not end the run.
        with contextlib.suppress(OSError):
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
        yield
        file.truncate(0)


def _locked(folder: Path) -> TextIO:
    """Return the locked file of a folder, both made where they are missing."""
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = (folder / "lock").open("a+", encoding="utf-8")
            free = lock_descriptor(file.fileno(), blocking=False)
        except OSError as error:
            raise InputError(f"cannot use {folder} as a run folder: {error.strerror}") from error
        if not free:
            with file:
                raise InUseError(f"run folder {folder} is in use by {_holder(file)}; wait for it or end it")
        # A process that was refused takes its folder away: a lock on a file that is no longer there keeps nobody out.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), (folder / "lock").stat()):
                return file
        file.close()


def _holder(file: TextIO) -> str:
    """Return who holds a lock; some systems let nobody else read a file that is locked."""
    with contextlib.suppress(OSError):
        file.seek(0)
        return file.read().strip() or "another process"
    return "another process"


def is_held(folder: Path) -> bool:
    """Return whether some process works in a run folder."""
    try:
        with (folder / "lock").open(encoding="utf-8") as file:
            return not lock_descriptor(file.fileno(), blocking=False)
    except OSError:
        return False
