"""Faults at every rename, write, removal and sync; as a program it keeps runs and kills itself at one of them.

python faults.py RUNS OUT AT: SIGKILL at the AT-th place, before, within or after what is done there. It prints how many
places there were where it outlives all of them.
"""

import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lengthwise.runs.attachments import ATTACHMENTS, Attachment
from lengthwise.runs.folder import RunFolder
from lengthwise.runs.kept import keep
from lengthwise.runs.rows import Head

NOTES = {"note": "faults:NoteAttachment"}


class NoteAttachment(Attachment):
    """A line that somebody wrote into a run folder."""

    file = "notes"

    def read(self, folder: RunFolder, head: Head) -> str | None:
        path = folder.path / "note.txt"
        return path.read_text() if path.exists() else None

    def dump(self, value: str) -> dict[str, Any]:
        return {"note": value}

    def load(self, entry: dict[str, Any]) -> str:
        return entry["note"]


class Places:
    """Counts the places at which a fault can strike, and strikes at one of them."""

    def __init__(self, at: int, strike: Callable[[], None]) -> None:
        self.count, self.at, self.strike = 0, at, strike

    def pass_one(self) -> None:
        self.count += 1
        if self.count == self.at:
            self.strike()


class _Torn:
    """A file of which a write can be cut in half."""

    def __init__(self, file: Any, places: Places) -> None:
        self.file, self.places = file, places

    def __enter__(self) -> "_Torn":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def write(self, data: bytes) -> None:
        half = len(data) // 2
        self.file.write(data[:half])
        self.file.flush()
        self.places.pass_one()
        self.file.write(data[half:])


def install(patch: Callable[[Any, str, Any], None], places: Places) -> None:
    """Watch everything that changes a file."""

    def watched(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **settings: Any) -> Any:
            places.pass_one()
            result = real(*args, **settings)
            places.pass_one()
            return result

        return call

    def opened(file: Any, mode: str = "r", *args: Any, _open: Callable[..., Any] = io.open, **settings: Any) -> Any:
        if not set(mode) & set("wax+"):
            return _open(file, mode, *args, **settings)
        places.pass_one()
        return _Torn(_open(file, mode, *args, **settings), places)

    for name in ("replace", "rename", "link", "unlink", "remove", "truncate", "fsync", "mkdir", "rmdir"):
        patch(os, name, watched(getattr(os, name)))
    patch(io, "open", opened)


def main() -> None:
    runs, out, at = sys.argv[1:]
    places = Places(int(at), lambda: os.kill(os.getpid(), signal.SIGKILL))
    ATTACHMENTS._builtin = NOTES
    install(setattr, places)
    keep([Path(runs)], Path(out), replace=True)
    sys.stdout.write(f"{places.count}\n")


if __name__ == "__main__":
    main()
