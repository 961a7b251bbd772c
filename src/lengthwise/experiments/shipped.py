"""Where recipes are found: the folder that ships with the package, and paths."""

from __future__ import annotations

from pathlib import Path

import lengthwise
from lengthwise.errors import InputError
from lengthwise.registry import nearest_name


def recipes_folder() -> Path:
    """Return the folder of the shipped recipes: inside an installed wheel, or at the top of a source tree."""
    package = Path(lengthwise.__file__).parent
    inside = package / "recipes"
    return inside if inside.is_dir() else package.parents[1] / "recipes"


def recipe_names() -> list[str]:
    """Return the names of the shipped recipes, such as ``fast/parity``, sorted."""
    folder = recipes_folder()
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))


def find_recipe(name: str) -> Path:
    """Return the file of a recipe.

    Args:
        name: a shipped name such as ``fast/parity``, or the path of a YAML file.

    Raises:
        InputError: there is no such recipe; the message offers the nearest shipped name.
    """
    path = Path(name)
    if path.suffix in {".yaml", ".yml"}:
        if not path.is_file():
            raise InputError(f"there is no recipe file {path}")
        return path
    if name not in recipe_names():
        raise InputError(f"unknown recipe {name!r}; {nearest_name(name, recipe_names())}")
    return recipes_folder() / f"{name}.yaml"
