"""Strings of symbols as people read them."""

from __future__ import annotations

from collections.abc import Sequence

from lengthwise.tasks.base import Ints

_LONGEST_BLOCK = 8
"""Symbols of a block whose repetitions are counted, at most."""
_LEAST_SAVED = 4
"""Symbols that counting has to cover to be worth its marks."""


def write_symbols(symbols: Sequence[int]) -> str:
    """Return a string of symbols: digits side by side, with spaces where one has two of them."""
    return (" " if max(symbols, default=0) > 9 else "").join(map(str, symbols))


def write_runs(symbols: Sequence[int], most: int | None = None) -> str:
    """Return a string of symbols with the repetitions of a block counted.

    Args:
        symbols: the string.
        most: the rest is left out after so many symbols and counted blocks; nothing by default.

    Example:
        >>> write_runs([1, 0] + [1] * 1320)
        '1 0 1^1320'
        >>> write_runs([2] + [0, 1] * 600 + [0])
        '2 (0 1)^600 0'
    """
    parts: list[str] = []
    place = 0
    while place < len(symbols) and (most is None or len(parts) < most):
        block, count = _repeated(symbols, place)
        written = " ".join(map(str, symbols[place : place + block]))
        counted = written if block == 1 else f"({written})"
        parts.append(written if count == 1 else f"{counted}^{count}")
        place += block * count
    left = f"... {len(symbols) - place:,} more symbols" if place < len(symbols) else ""
    return " ".join([*parts, left] if left else parts)


def _repeated(symbols: Sequence[int], place: int) -> tuple[int, int]:
    """Return the block at a place whose repetitions cover most, and how often it stands there."""
    best = (1, 1)
    for block in range(1, _LONGEST_BLOCK + 1):
        end = place + block
        while end < len(symbols) and symbols[end] == symbols[end - block]:
            end += 1
        count = (end - place) // block
        if count > 1 and block * count >= max(_LEAST_SAVED, best[0] * best[1] + 1):
            best = (block, count)
    return best


def path_to(parents: Sequence[int] | Ints, letters: Sequence[int] | Ints, place: int) -> list[int]:
    """Return the symbols by which a search found something.

    Args:
        parents: for each thing found, in order, the one that it was found from; -1 for the first.
        letters: the symbol that led from there; -1 for the first.
        place: what was found.
    """
    symbols: list[int] = []
    while parents[place] >= 0:
        symbols.append(int(letters[place]))
        place = int(parents[place])
    return symbols[::-1]
