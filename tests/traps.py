"""Traps: what may stand where a file is expected, and is none."""

import os
from collections.abc import Callable
from pathlib import Path

Trap = Callable[[Path, Path], None]
"""(path of the trap, what a link leads to)."""


def link(path: Path, target: Path) -> None:
    path.symlink_to(target)


def fifo(path: Path, target: Path) -> None:
    del target
    os.mkfifo(path)


def device(path: Path, target: Path) -> None:
    del target
    path.symlink_to("/dev/zero")
