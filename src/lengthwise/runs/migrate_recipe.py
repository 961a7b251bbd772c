"""Migration of recipes: settings of format 1, with two kinds of recipe, to format 2, with one.

What stands where is said in ``migrate_recipe.yaml``.
"""

from __future__ import annotations

from typing import Any, Literal

from lengthwise.runs.overrides import apply_overrides, merged
from lengthwise.yaml_loader import packaged

FORMAT: Literal[2] = 2

_TABLE: dict[str, Any] = packaged("lengthwise.runs", "migrate_recipe.yaml")
_MOVES: dict[str, list[str]] = _TABLE["moves"]
_OLD = {path.rpartition(".")[::2] for path in _MOVES} | {("training", name) for name in _TABLE["objective"]}


def is_old(settings: dict[str, Any]) -> bool:
    """Return whether settings are those of a recipe of format 1."""
    if "format" in settings:
        return settings["format"] == 1
    parts = {name: part for name in ("training", "evaluation") if isinstance(part := settings.get(name), dict)}
    return "text" in settings or any((name, key) in _OLD for name, part in parts.items() for key in part)


def migrate(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings in the present format; those that are in it are returned as they are.

    Args:
        settings: nested mappings and lists, with defaults left out at will; not changed.
    """
    if not is_old(settings):
        return settings
    kind = "language_modelling" if "text" in settings else "regular"
    parts = {name: settings.get(name) or {} for name in ("training", "evaluation")}
    left = apply_overrides(merged(_TABLE.get(kind, {}), settings | parts), [("format", FORMAT)])
    # A curriculum that said nothing but the lengths said nothing.
    moved = [(place, value) for path, places in _MOVES.items() for value in _taken(left, path) for place in places]
    changes = [("task.name", kind), *((place, value) for place, value in moved if value != {})]
    return apply_overrides(left | {"objective": _objective(left, kind)}, changes)


def _taken(settings: dict[str, Any], path: str) -> list[Any]:
    """Take what stands at a path out of settings."""
    *sections, last = path.split(".")
    for name in sections:
        settings = settings[name] if isinstance(settings.get(name), dict) else {}
    return [settings.pop(last)] if last in settings else []


def _objective(settings: dict[str, Any], kind: str) -> dict[str, Any]:
    training, model = settings["training"], settings.get("model") or {}
    tree = {name: training.pop(name) for name in _TABLE["objective"] if name in training}
    supervision, counterexamples = tree.pop("supervision", "root"), tree.pop("counterexamples", None)
    if kind == "language_modelling":
        return {"name": "asked"}
    if counterexamples:
        return {"name": "counterexamples"} | counterexamples
    if supervision == "prefixes":
        return {"name": "prefixes"}
    if model.get("name") != "ldru":
        return {"name": "asked"}
    if supervision == "root":
        tree["node_weight"] = 0.0
    return {"name": "tree"} | {name: value for name, value in tree.items() if value is not None}
