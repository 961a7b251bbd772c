"""Problems that pydantic found in settings, said so that they can be put right."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from lengthwise.registry import nearest_name

Schema = Mapping[str, Any]
Path = list[str | int]

_MOST = 100
"""Characters of a wrong value that are shown."""
_DEEP, _PLACES = 4, 3
"""How deep a key is looked for in other sections, and in how many places it may stand to be told."""


def explain(error: ValidationError, schema: Schema, whole: str = "the recipe") -> str:
    """Return one line for each wrong setting: its path, what is wrong, and what would be right.

    Args:
        error: what validation raised.
        schema: the JSON Schema that settings were validated against.
        whole: what all of them together are called.
    """
    errors = error.errors()
    places = [details["loc"] for details in errors]
    # A wrong item also makes its list too short; only the item is worth a line.
    own = [e for e in errors if not any(len(p) > len(e["loc"]) and p[: len(e["loc"])] == e["loc"] for p in places)]
    return "\n".join(f"  {_explain_one(details, schema, whole)}" for details in own)


def _explain_one(details: ErrorDetails, schema: Schema, whole: str) -> str:
    path, governing = _find(details["loc"], schema)
    names = list(governing.get("discriminator", {}).get("mapping", {}))
    where = ".".join(str(part) for part in path) or whole
    context = details.get("ctx", {})
    value, given = details["input"], _shown(details["input"])
    match details["type"]:
        case "extra_forbidden":
            return f"{where}: unknown key; {_meant(details['loc'], where, schema)}"
        case "missing":
            return f"{where}: missing"
        case "union_tag_invalid":
            known = _quoted(str(context["expected_tags"]))
            return f"{where}.name: unknown {path[-1]} {context['tag']!r}; {nearest_name(str(context['tag']), known)}"
        case "union_tag_not_found":
            return f"{where}: needs a name; known: {', '.join(names)}"
        case "literal_error" if isinstance(value, str):
            return f"{where}: unknown value {given}; {nearest_name(value, _quoted(str(context['expected'])))}"
        case "value_error":
            return f"{where}: {context['error']}"
        case "model_type" | "model_attributes_type" | "dict_type":
            way = f"; {_naming(where, value, names)}" if names and isinstance(value, str) else ""
            return f"{where}: should be a section with settings of its own, not {given}{way}"
        case _:
            expected = details["msg"].partition(",")[0].removeprefix("Input ").replace("tuple", "list")
            return f"{where}: {expected}, not {given}"


def _naming(where: str, name: str, names: list[str]) -> str:
    """Return how a section is chosen by a name that was written in its place."""
    if name in names:
        return f"write {where}.name={name}"
    return f"it is chosen by name, with {where}.name=NAME; {nearest_name(name, names)}"


def _meant(location: Sequence[str | int], where: str, schema: Schema) -> str:
    """Return what an unknown key may stand for: one that is spelt like it, or that of the same name elsewhere."""
    *above, key = location
    near = nearest_name(str(key), list(_find(above, schema)[1].get("properties", {})))
    found = {".".join(place) for place in _places(str(key), schema, schema, ())}
    members = _find(above[:-1], schema)[1].get("discriminator", {}).get("mapping", {}) if where in found else {}
    found = sorted(found - {where}, key=lambda place: (place.count("."), place))
    others = [name for name in members if key in _find([*above[:-1], name], schema)[1].get("properties", {})]
    said = [f"{where.rpartition('.')[0]}.name={' or '.join(others)} has it"] if 0 < len(others) <= _PLACES else []
    said += [f"there is {' and '.join(found)}"] if 0 < len(found) <= _PLACES else []
    return " ".join([*([near] if near.startswith("did") or not said else []), "; ".join(said)]).strip()


def _places(key: str, node: Schema, schema: Schema, above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the path of each setting of a name, in whatever is chosen for each section."""
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].removeprefix("#/$defs/")]
    for choice in (*node.get("anyOf", ()), *node.get("oneOf", ())):
        yield from _places(key, choice, schema, above)
    for name, below in node.get("properties", {}).items() if len(above) < _DEEP else ():
        if name == key:
            yield (*above, name)
        yield from _places(key, below, schema, (*above, name))


def _shown(value: object) -> str:
    """Return a value as it was given, or how it begins."""
    text = repr(value)
    return text if len(text) <= _MOST else f"{text[:_MOST]}..."


def _quoted(text: str) -> list[str]:
    return re.findall(r"'([^']*)'", text)


def _find(location: Sequence[str | int], schema: Schema) -> tuple[Path, Schema]:
    """Return the path that a pydantic location stands for, and the part of the schema that governs what is there.

    The location also names members of unions, which are not keys of the settings.
    """
    path: Path = []
    node = schema
    for part in location:
        kinds = node.get("discriminator", {}).get("mapping", {})
        if part in kinds:
            node = {"$ref": kinds[part]}
        elif part == "[key]":
            break
        else:
            path.append(part)
            node = node.get("items", {}) if isinstance(part, int) else node.get("properties", {}).get(part, {})
        while "$ref" in node or "anyOf" in node:
            if "$ref" in node:
                node = schema["$defs"][node["$ref"].removeprefix("#/$defs/")]
            else:
                node = next((choice for choice in node["anyOf"] if choice.get("type") != "null"), {})
    return path, node
