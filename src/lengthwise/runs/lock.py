"""The lock of a folder of a run or of kept results, which one process holds at a time."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout, lock_descriptor

from lengthwise.errors import InputError, StoppedError
from lengthwise.files import open_regular, refuse_irregular

FOREVER = -1.0
MOMENT = 0.2
"""Seconds in which a lock whose file its holder just took away is made anew."""


class InUseError(InputError):
    """Another process works in a folder; once it ended, the folder is free."""


@contextmanager
def hold(folder: Path, patience: float = MOMENT) -> Generator[None]:
    """Keep other processes out of a folder; the system lets go of it however this process ends.

    Args:
        folder: made if it is missing.
        patience: seconds to wait for another process that holds it, or `FOREVER`.

    Raises:
        InUseError: another process still holds it.
        InputError: it cannot be made or written.
        StoppedError: the disk is full.
    """
    path, made = folder / "lock", list[os.stat_result]()

    def sign(descriptor: int) -> None:
        made.append(os.fstat(descriptor))
        # Who holds it is told as a courtesy; a full disk that cannot hold the line does not end the run.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())

    refuse_irregular(path)
    lock = FileLock(path, timeout=patience, on_acquired=sign)
    try:
        try:
            held = lock.acquire()
        except FileNotFoundError:
            # The process that held it was refused and took the folder away.
            held = lock.acquire()
    except Timeout as error:
        raise InUseError(f"{folder} is in use by {_holder(path)}; wait for it or end it") from error
    except OSError as error:
        with contextlib.suppress(OSError):
            folder.rmdir()
        kind = StoppedError if error.errno == errno.ENOSPC else InputError
        raise kind(f"cannot write the lock of {folder}: {error.strerror}") from error
    with held:
        try:
            yield
        finally:
            # While it is held, so that no other process can have a hold on the name.
            with contextlib.suppress(OSError):
                if os.path.samestat(made[0], path.lstat()):
                    path.unlink()


def _holder(path: Path) -> str:
    """Return who holds a lock; some systems let nobody else read a file that is locked."""
    with contextlib.suppress(OSError, InputError), open_regular(path) as file:
        return file.read(200).decode(errors="replace").strip() or "another process"
    return "another process"


def is_held(folder: Path) -> bool:
    """Return whether some process works in a run folder."""
    try:
        with open_regular(folder / "lock") as file:
            return not lock_descriptor(file.fileno(), blocking=False)
    except (OSError, InputError):
        return False
