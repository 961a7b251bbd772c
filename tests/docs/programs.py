"""Programs of ``examples`` that are folders: modules that import one another by their names."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType

EXAMPLES = Path(__file__).parents[2] / "examples"


@contextmanager
def imported(folder: str, name: str) -> Iterator[ModuleType]:
    """Import a module of a program, and leave nothing of the program behind."""
    path = EXAMPLES / folder
    sys.path.insert(0, str(path))
    try:
        yield import_module(name)
    finally:
        sys.path.remove(str(path))
        for file in path.glob("*.py"):
            sys.modules.pop(file.stem, None)
