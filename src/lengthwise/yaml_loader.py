"""YAML loader: the one place that reads YAML, within bounds, each key once, and no word taken for something else.

YAML 1.1 reads ``on`` as true, ``010`` as 8 and ``1:30`` as 90, and lets a later key replace an earlier one. Here all of
these are errors that say the line, and what to write.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

import yaml

from lengthwise.errors import InputError, reason_of

MOST_NODES = 100_000
"""Values in a document, those behind an alias counted each time: the parser takes seconds for as many."""
DEEPEST = 100
"""Levels of lists and mappings inside one another."""

# The one in C is ten times faster, and not everywhere.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_PLAIN = {f"{_TAG}{kind}" for kind in ("str", "int", "float", "bool", "null", "seq", "map")}
_MERGE = f"{_TAG}merge"
_MISREAD = re.compile(r"(?i:yes|no|on|off)|[-+]?0[0-9_]+|[-+]?[0-9][0-9_]*(:.*)+")
"""Plain words and numbers that are something else in YAML 1.1 than they look like."""


def parse_yaml(text: str, where: str, *, as_written: bool = False) -> Any:
    """Return what a YAML document holds; keys are always strings.

    Args:
        text: the document.
        where: what it is, as error messages say it.
        as_written: whether values are strings too, letter by letter, so that ``00`` and ``on`` are names.

    Raises:
        InputError: it is not YAML, a key is given twice, a plain word is something else in YAML than it looks like, or
            it is too large or too deep.

    Example:
        >>> parse_yaml("{task: parity, seeds: [0, 1]}", "the recipe")
        {'task': 'parity', 'seeds': [0, 1]}
    """
    try:
        _check_size(text, where)
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is None:
            return None
        _Checker(where, loader, as_written).check(root, ())
        return loader.construct_document(root)
    except InputError:
        raise
    except yaml.MarkedYAMLError as error:
        line = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        raise InputError(f"{where} is not valid YAML: {error.problem or error.context}{line}") from error
    # The parser raises all kinds for numbers, dates and characters that look right and are not.
    except Exception as error:
        raise InputError(f"{where} is not valid YAML: {reason_of(error)}") from error


def packaged(package: str, name: str) -> Any:
    """Return what is in a YAML file that ships with a package of this library."""
    return parse_yaml(files(package).joinpath(name).read_text(encoding="utf-8"), name)


def _check_size(text: str, where: str) -> None:
    """Refuse what is too large, or so deep that the parser in C would end the process."""
    depth = 0
    for number, event in enumerate(yaml.parse(text, _Loader)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if number > 2 * MOST_NODES or depth > DEEPEST:
            raise _too_large(where)


def _too_large(where: str) -> InputError:
    return InputError(
        f"{where} is too large: {MOST_NODES:,} values, those behind an alias counted each time, in {DEEPEST} levels "
        "are the most"
    )


class _Checker:
    """Checks the parts of a document, and settles what their scalars are."""

    def __init__(self, where: str, loader: Any, as_written: bool) -> None:
        self._where, self._loader, self._as_written = where, loader, as_written
        self._sizes: dict[int, int] = {}

    def check(self, node: Any, path: tuple[str, ...]) -> int:
        """Return how many values there are in a part, those behind an alias counted each time."""
        if id(node) not in self._sizes:
            # Whoever comes here again before it is counted stands inside it.
            self._sizes[id(node)] = MOST_NODES
            self._sizes[id(node)] = 1 + sum(self._inside(node, path))
        if self._sizes[id(node)] > MOST_NODES:
            raise _too_large(self._where)
        return self._sizes[id(node)]

    def _inside(self, node: Any, path: tuple[str, ...]) -> list[int]:
        if node.tag not in _PLAIN and not (isinstance(node, yaml.ScalarNode) and self._as_written):
            kind = node.tag.removeprefix(_TAG)
            raise self._error(node, f"YAML reads {_shown(node)} as a {kind}; put it in quotes if it is a word")
        if isinstance(node, yaml.ScalarNode):
            self._settle(node)
            return []
        if isinstance(node, yaml.SequenceNode):
            return [self.check(item, (*path, str(place))) for place, item in enumerate(node.value)]
        lines: dict[str, int] = {}
        sizes: list[int] = []
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._error(key, "a key is a word, not a list or a mapping")
            if key.value in lines:
                inside = f" (in {_short('.'.join(path))})" if path else ""
                raise self._error(key, f"{key.value[:60]!r}{inside} is given twice, first in line {lines[key.value]}")
            lines[key.value] = key.start_mark.line + 1
            if key.tag != _MERGE or self._as_written:
                key.tag = f"{_TAG}str"
            sizes.append(self.check(value, (*path, key.value)))
        return sizes

    def _settle(self, node: Any) -> None:
        if self._as_written:
            node.tag = f"{_TAG}str"
        elif not node.style and node.tag != f"{_TAG}str" and _MISREAD.fullmatch(node.value):
            read = str(self._loader.construct_object(node)).lower()
            raise self._error(
                node, f"YAML reads {node.value} as {read}; write {read}, or '{node.value}' in quotes for the word"
            )

    def _error(self, node: Any, problem: str) -> InputError:
        return InputError(f"{self._where}, line {node.start_mark.line + 1}: {problem}")


def _shown(node: Any) -> str:
    return _short(node.value) if isinstance(node, yaml.ScalarNode) else "this part"


def _short(text: str) -> str:
    """Return the beginning of a text on one line."""
    return " ".join(text.split())[:60]
