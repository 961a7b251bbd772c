"""The environment of a run: versions, commits, command line and machine, enough to run it again."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lengthwise
from lengthwise.registry import plugins

_PACKAGES = ("torch", "numpy", "safetensors", "pydantic", "automata-lib")


def describe_environment(seed: int) -> dict[str, Any]:
    """Return the versions, commit, command line and machine of this process, ready for JSON."""
    commit, modified = source_commit()
    user_commit, user_modified = _working_commit()
    return {
        "lengthwise": lengthwise.__version__,
        "commit": commit,
        "modified": modified,
        "user_commit": user_commit,
        "user_modified": user_modified,
        "command": shlex.join([*_program(), *sys.argv[1:]]),
        "seed": seed,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "plugins": plugins(),
        "machine": {
            "system": platform.platform(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "name": platform.node(),
        },
    }


def source_commit() -> tuple[str | None, bool]:
    """Return the git commit of the package's own source, and whether the source differs from it.

    Returns:
        None and False where the package was installed without its repository.
    """
    package = Path(lengthwise.__file__).parent
    # Tracked, because a virtual environment may lie inside somebody else's repository.
    if not _git(package, "ls-files", "__init__.py"):
        return None, False
    return _git(package, "rev-parse", "HEAD"), bool(_git(package, "status", "--porcelain", "--", "."))


def _working_commit() -> tuple[str | None, bool]:
    """Return the commit of the repository of the working directory, and whether tracked files or programs differ.

    Where there is none, or it is the package's own, None and False.
    """
    here, package = Path.cwd(), Path(lengthwise.__file__).resolve().parent
    top = _git(here, "rev-parse", "--show-toplevel")
    # What git says nothing of, as where it could not be started, is not taken for somebody else's.
    if top is None or (package.is_relative_to(top) and _git(package, "ls-files", "__init__.py") != ""):
        return None, False
    # Not all untracked files, because runs may lie there.
    changes = ("status", "--porcelain", "--untracked-files=no"), ("ls-files", "--others", "--exclude-standard", "*.py")
    return _git(here, "rev-parse", "HEAD"), any(_git(Path(top), *command) for command in changes)


def _program() -> list[str]:
    module = getattr(sys.modules["__main__"], "__spec__", None)
    if module is None:
        return [Path(sys.argv[0]).name]
    return ["python", "-m", module.name.removesuffix(".__main__")]


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        result = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.decode(errors="replace").strip()
