"""Expressions of ListOps in files as published: a value, a tab, and an expression of symbols with blanks between."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lengthwise.errors import InputError
from lengthwise.tasks.plain import whole
from lengthwise.tasks.records import ending

_BINARY = "()"
"""Parentheses that mark a binary tree and say nothing more."""


class Expression(NamedTuple):
    """Tokens, and what they come to."""

    tokens: tuple[int, ...]
    value: int


def read_expressions(
    source: Path, symbols: Mapping[str, int], value_of: Callable[[Sequence[int]], int | None]
) -> dict[str, list[Expression]]:
    """Return the expressions of a file, or of all ``.tsv`` files of a folder, by the name of the file without endings.

    An example of a line, with or without the parentheses: ``2 TAB ( ( ( [MIN 9 ) 2 ) ] )``

    Args:
        source: the file or folder; files may be compressed.
        symbols: symbol -> its token.
        value_of: what an expression comes to, None where it is not one.

    Raises:
        InputError: nothing is there, a symbol is unknown, or an expression does not come to its value.

    Source: Nangia and Bowman 2018, whose files are read.
    """
    files = sorted(path for path in source.glob("*") if ending(path) == ".tsv") if source.is_dir() else [source]
    if not files:
        raise InputError(f"{source} holds no .tsv file of expressions (task.published)")
    return {path.name.split(".")[0]: list(_lines(path, symbols, value_of)) for path in files}


def _lines(
    path: Path, symbols: Mapping[str, int], value_of: Callable[[Sequence[int]], int | None]
) -> Iterable[Expression]:
    for number, line in enumerate(whole(path).decode(errors="replace").splitlines(), start=1):
        value, _, expression = line.partition("\t")
        words = [word for word in expression.split() if word not in _BINARY]
        if strange := [word for word in words if word not in symbols]:
            known = " ".join(symbols)
            raise InputError(f"{path}, line {number}: {strange[0][:20]!r} is not among {known} (task.operations)")
        tokens = tuple(symbols[word] for word in words)
        if (found := value_of(tokens)) is None or str(found) != value:
            raise InputError(f"{path}, line {number}: {expression[:40]!r} comes to {found}, not to {value[:20]!r}")
        yield Expression(tokens, found)
