"""The lock of a folder of a run or of kept results, which one process holds at a time."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from filelock import lock_descriptor

from lengthwise.errors import InputError, StoppedError
from lengthwise.files import open_regular

_AGAIN = 0.05
"""Seconds after which it is seen again whether a folder is free."""


class InUseError(InputError):
    """Another process works in a folder; once it ended, the folder is free."""


@contextmanager
def hold(folder: Path, *, wait: bool = False) -> Generator[None]:
    """Keep other processes out of a folder; the system lets go of it however this process ends.

    Args:
        folder: made if it is missing.
        wait: whether to wait for another process that holds it.

    Raises:
        InUseError: another process holds it, and it is not waited for.
        InputError: it cannot be made or written.
        StoppedError: the disk is full.
    """
    with _locked(folder, wait) as file:
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


def _locked(folder: Path, wait: bool) -> IO[bytes]:
    """Return the locked file of a folder, both made where they are missing."""
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = open_regular(folder / "lock", os.O_RDWR | os.O_CREAT)
            free = lock_descriptor(file.fileno(), blocking=False)
        except OSError as error:
            with contextlib.suppress(OSError):
                folder.rmdir()
            kind = StoppedError if error.errno == errno.ENOSPC else InputError
            raise kind(f"cannot write the lock of {folder}: {error.strerror}") from error
        if not free:
            with file:
                if wait:
                    time.sleep(_AGAIN)
                    continue
                raise InUseError(f"{folder} is in use by {_holder(file)}; wait for it or end it")
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
