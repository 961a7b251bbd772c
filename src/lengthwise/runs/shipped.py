"""Shipped recipes and sweeps, and where the files of all are found: in the package's folder, or by path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lengthwise
from lengthwise.errors import InputError
from lengthwise.files import read_text
from lengthwise.registry import nearest_name
from lengthwise.yaml_loader import parse_yaml

SWEEP = ".sweep"
"""How the names of files end, before ``.yaml``, that hold a sweep instead of a recipe."""


def recipes_folder() -> Path:
    """Return the folder of the shipped recipes."""
    return _folder("recipes")


def find_results(name: str) -> Path:
    """Return a folder of results.

    Args:
        name: of shipped ones such as ``baselines`` or ``text/mamba2``, or a path of one's own.

    Raises:
        InputError: there is neither; the message offers the nearest shipped name.
    """
    own, shipped = Path(name), result_names()
    if name not in shipped and not own.is_dir():
        raise InputError(f"there are no results {name!r}, shipped or as a folder; {nearest_name(name, shipped)}")
    return own if own.is_dir() else _folder("results") / name


def result_names() -> list[str]:
    """Return the names of the shipped results, such as ``text/mamba2``, and of the folders of several, sorted."""
    folder = _folder("results")
    kept = [index.parent.relative_to(folder) for index in folder.rglob("runs.json")]
    return sorted({place.as_posix() for path in kept for place in (path, *path.parents) if place.name})


def _folder(name: str) -> Path:
    """Return a folder of what ships: inside an installed wheel, or at the top of a source tree."""
    package = Path(lengthwise.__file__).parent
    inside = package / name
    return inside if inside.is_dir() else package.parents[1] / name


def recipe_names() -> list[str]:
    """Return the names of the shipped recipes, such as ``fast/parity``, sorted."""
    return [name for name in _names() if not name.endswith(SWEEP)]


def sweep_names() -> list[str]:
    """Return the names of the shipped sweeps, sorted."""
    return [name.removesuffix(SWEEP) for name in _names() if name.endswith(SWEEP)]


def find_recipe(name: str) -> Path:
    """Return the file of a recipe.

    Args:
        name: a shipped name such as ``fast/parity``, or the path of a YAML file.

    Raises:
        InputError: there is no such recipe; the message offers the nearest shipped name.
    """
    return _find("recipe", name, recipe_names(), "")


def find_sweep(name: str) -> Path:
    """Return the file of a sweep.

    Args:
        name: a shipped name, or the path of a YAML file.

    Raises:
        InputError: there is no such sweep; the message offers the nearest shipped name.
    """
    return _find("sweep", name, sweep_names(), SWEEP)


def read_settings(path: Path, kind: str, *, given: bool = True) -> dict[str, Any]:
    """Read the settings in a file.

    Args:
        path: of YAML.
        kind: what it holds, as error messages say it.
        given: whether the user named it, so that it may be a link; that of a run may not.

    Raises:
        InputError: it cannot be read, is not YAML, or holds no mapping.
    """
    settings = parse_yaml(read_text(path, kind, given=given), f"{kind} {path}")
    if not isinstance(settings, dict):
        raise InputError(f"{kind} {path} must be a mapping of settings, such as 'task: parity'")
    return settings


def default_name(path: Path) -> str:
    """Return the name that a recipe or a sweep has when its file says none: its place among the shipped, or its own."""
    folder, found = recipes_folder().resolve(), path.resolve()
    name = found.relative_to(folder).with_suffix("").as_posix() if found.is_relative_to(folder) else path.stem
    return name.removesuffix(SWEEP)


def _names() -> list[str]:
    folder = recipes_folder()
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))


def _find(kind: str, name: str, known: list[str], ending: str) -> Path:
    path = Path(name)
    if path.suffix in {".yaml", ".yml"}:
        if not path.exists():
            raise InputError(f"there is no {kind} file {path}")
        return path
    if name not in known:
        # A name of the other kind is no misspelt one of this.
        if name in _names() or f"{name}{SWEEP}" in _names():
            other, command = ("recipe", "train") if kind == "sweep" else ("sweep", "sweep")
            raise InputError(f"{name} is a {other} and no {kind}; 'lengthwise {command} {name}' takes it")
        raise InputError(f"unknown {kind} {name!r}; {nearest_name(name, known)}")
    return recipes_folder() / f"{name}{ending}.yaml"
