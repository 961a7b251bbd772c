"""The lock of a run folder, which one process holds at a time."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from filelock import lock_descriptor

from lengthwise.errors import InputError
from lengthwise.files import open_regular


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
            os.ftruncate(file.fileno(), 0)
            os.write(file.fileno(), f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        try:
            yield
        finally:
            # While it is held, so that no other process can have a hold on the name.
            with contextlib.suppress(OSError):
                if _still_there(file, folder):
                    (folder / "lock").unlink()


def _locked(folder: Path) -> IO[bytes]:
    """Return the locked file of a folder, both made where they are missing."""
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = open_regular(folder / "lock", os.O_RDWR | os.O_CREAT)
            free = lock_descriptor(file.fileno(), blocking=False)
        except OSError as error:
            with contextlib.suppress(OSError):
                folder.rmdir()
            raise InputError(f"cannot use {folder} as a run folder: {error.strerror}") from error
        if not free:
            with file:
                raise InUseError(f"run folder {folder} is in use by {_holder(file)}; wait for it or end it")
        # A process that ends takes its lock away: a lock on a file that is no longer there keeps nobody out.
        with contextlib.suppress(FileNotFoundError):
            if _still_there(file, folder):
                return file
        file.close()


def _still_there(file: IO[bytes], folder: Path) -> bool:
    return os.path.samestat(os.fstat(file.fileno()), os.lstat(folder / "lock"))


def _holder(file: IO[bytes]) -> str:
    """Return who holds a lock; some systems let nobody else read a file that is locked."""
    with contextlib.suppress(OSError):
        return file.read(200).decode(errors="replace").strip() or "another process"
    return "another process"


def is_held(folder: Path) -> bool:
    """Return whether some process works in a run folder."""
    try:
        with open_regular(folder / "lock") as file:
            return not lock_descriptor(file.fileno(), blocking=False)
    except (OSError, InputError):
        return False
