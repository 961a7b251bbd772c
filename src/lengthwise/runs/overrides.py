"""Settings changed by path: ``training.steps=100``."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias, cast

from lengthwise.errors import InputError
from lengthwise.tasks import spell_task
from lengthwise.yaml_loader import parse_yaml

Change: TypeAlias = str | tuple[str, Any]
"""``path=value`` with the value in YAML, or the path and the value."""


def apply_overrides(settings: dict[str, Any], overrides: Iterable[Change]) -> dict[str, Any]:
    """Return settings with some of them replaced.

    Whether the paths exist is left to the validation of the result. Setting the ``name`` of a section chooses another
    kind of it, so the section's other settings, which belong to the old kind, go back to defaults.

    Args:
        settings: nested mappings and lists, as read from YAML; not changed.
        overrides: applied in order.

    Raises:
        InputError: an override has no ``=``, its value is not YAML, or its path leads through a plain value.

    Example:
        >>> apply_overrides({"training": {"steps": 9}, "seeds": [0]}, ["training.steps=100", ("seeds", [1, 2])])
        {'training': {'steps': 100}, 'seeds': [1, 2]}
    """
    result = copy.deepcopy(settings)
    for override in overrides:
        path, value = _read(override) if isinstance(override, str) else override
        _replace(result, path.strip().split("."), copy.deepcopy(value))
    return result


def merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with those of a base where they say nothing.

    A section that chooses another ``name`` than its base takes nothing else from it.
    """
    result = dict(base)
    for key, value in own.items():
        below = result.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            mine, theirs = cast("dict[str, Any]", value), cast("dict[str, Any]", below)
            result[key] = mine if mine.get("name", theirs.get("name")) != theirs.get("name") else merged(theirs, mine)
        else:
            result[key] = value
    return result


def _read(override: str) -> tuple[str, Any]:
    path, separator, text = override.partition("=")
    if not separator or not path.strip():
        raise InputError(f"cannot read the setting {override!r}; write it as path=value, such as training.steps=100")
    return path, parse_yaml(text, f"the value in {override!r}")


def _replace(settings: dict[str, Any], parts: list[str], value: Any) -> None:
    node: Any = settings
    for depth, part in enumerate(parts[:-1]):
        key = _index(node, part, parts[:depth])
        if isinstance(key, str) and node.get(key) is None:
            node[key] = {}
        node = node[key]
    key = _index(node, parts[-1], parts[:-1])
    if key == "name" and len(parts) > 1 and node.get("name") != value:
        node.clear()
    node[key] = _other_task(node.get("task"), value) if parts == ["task"] else value


def _other_task(old: Any, value: Any) -> Any:
    """Return the task that a name stands for; another regular language keeps lengths and mixture."""
    new = spell_task(value)
    if isinstance(old, dict) and isinstance(new, dict) and value != new and old.get("name") == new.get("name"):
        return old | new
    return new


def _index(node: Any, part: str, above: list[str]) -> str | int:
    """Return the key that a part of a path stands for in a mapping or a list."""
    if isinstance(node, dict):
        return part
    where = ".".join(above)
    if not isinstance(node, list):
        raise InputError(f"{where}.{part}: {where} is the value {node!r}, not a section with settings of its own")
    if not part.isdigit() or int(part) >= len(node):
        raise InputError(f"{where}.{part}: {where} is a list of {len(node)}; write a number from 0 to {len(node) - 1}")
    return int(part)
