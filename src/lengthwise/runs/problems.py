"""Problems that pydantic found in settings, said so that they can be put right."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from lengthwise.registry import nearest_name

Schema = Mapping[str, Any]
Path = list[str | int]


def explain(error: ValidationError, settings: Any, schema: Schema, whole: str = "the recipe") -> str:
    """Return one line for each wrong setting: its path, what is wrong, and what would be right.

    Args:
        error: what validation raised.
        settings: the nested mappings and lists that were validated.
        schema: the JSON Schema that they were validated against.
        whole: what all of them together are called.
    """
    errors = error.errors()
    places = [details["loc"] for details in errors]
    # A wrong item also makes its list too short; only the item is worth a line.
    own = [e for e in errors if not any(len(p) > len(e["loc"]) and p[: len(e["loc"])] == e["loc"] for p in places)]
    return "\n".join(f"  {_explain_one(details, settings, schema, whole)}" for details in own)


def _explain_one(details: ErrorDetails, settings: Any, schema: Schema, whole: str) -> str:
    path = _without_tags(details["loc"], settings)
    where = ".".join(str(part) for part in path) or whole
    context = details.get("ctx", {})
    value = details["input"]
    match details["type"]:
        case "extra_forbidden":
            return f"{where}: unknown key; {nearest_name(str(path[-1]), _keys(schema, settings, path[:-1]))}"
        case "missing":
            return f"{where}: missing"
        case "union_tag_invalid":
            known = _quoted(str(context["expected_tags"]))
            return f"{where}.name: unknown {path[-1]} {context['tag']!r}; {nearest_name(str(context['tag']), known)}"
        case "union_tag_not_found":
            return f"{where}: needs a name; known: {', '.join(_names(schema, settings, path))}"
        case "literal_error" if isinstance(value, str):
            return f"{where}: unknown value {value!r}; {nearest_name(value, _quoted(str(context['expected'])))}"
        case "value_error":
            return f"{where}: {context['error']}"
        case "model_type" | "model_attributes_type" | "dict_type":
            names = _names(schema, settings, path)
            way = f"; {_naming(where, value, names)}" if names and isinstance(value, str) else ""
            return f"{where}: should be a section with settings of its own, not {value!r}{way}"
        case _:
            expected = details["msg"].partition(",")[0].removeprefix("Input ").replace("tuple", "list")
            return f"{where}: {expected}, not {value!r}"


def _naming(where: str, name: str, names: list[str]) -> str:
    """Return how a section is chosen by a name that was written in its place."""
    if name in names:
        return f"write {where}.name={name}"
    return f"it is chosen by name, with {where}.name=NAME; {nearest_name(name, names)}"


def _names(schema: Schema, settings: Any, path: Path) -> list[str]:
    """Return the names of the kinds that a section may be of; none where there is one kind."""
    return list(_at(schema, settings, path).get("discriminator", {}).get("mapping", {}))


def _quoted(text: str) -> list[str]:
    return re.findall(r"'([^']*)'", text)


def _without_tags(location: Sequence[str | int], settings: Any) -> Path:
    """Drop from a pydantic location the names of union members, which are not keys of the settings."""
    path: Path = []
    node = settings
    for part in location:
        is_tag = isinstance(node, Mapping) and part not in node and node.get("name") == part
        if not is_tag:
            path.append(part)
            node = _value(node, part)
    return path


def _value(node: Any, part: str | int) -> Any:
    if isinstance(node, Mapping):
        return node.get(part)
    if isinstance(node, Sequence) and isinstance(part, int) and part < len(node):
        return node[part]
    return None


def _keys(schema: Schema, settings: Any, path: Path) -> list[str]:
    return list(_choose(_at(schema, settings, path), _follow(settings, path), schema).get("properties", {}))


def _follow(settings: Any, path: Path) -> Any:
    for part in path:
        settings = _value(settings, part)
    return settings


def _at(schema: Schema, settings: Any, path: Path) -> Schema:
    """Return the part of the schema that governs the setting at a path; its unions are still open."""
    node = schema
    for part in path:
        node = _choose(node, settings, schema)
        node = node.get("items", {}) if isinstance(part, int) else node.get("properties", {}).get(part, {})
        settings = _value(settings, part)
    return node


def _choose(node: Schema, settings: Any, schema: Schema) -> Schema:
    """Follow references, and unions to the member that the settings name."""
    while True:
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].removeprefix("#/$defs/")]
        elif "discriminator" in node and isinstance(settings, Mapping):
            target = node["discriminator"]["mapping"].get(settings.get("name"))
            if target is None:
                return {}
            node = {"$ref": target}
        elif "anyOf" in node:
            node = next((member for member in node["anyOf"] if "$ref" in member or "properties" in member), {})
        else:
            return node
