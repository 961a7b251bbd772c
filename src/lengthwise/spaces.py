"""Spaces: what a model reads at each position, and what it answers there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Tokens:
    """Symbols ``0 .. size - 1``: read as tokens, answered as classes.

    Args:
        size: the number of different symbols, or of classes.
        kinds: of each word, where symbols are words of several kinds: symbol ``kind * words + word``. Its embedding is
            the sum of that of the word and that of the kind.
    """

    size: int
    kinds: int = 1


@dataclass(frozen=True)
class Values:
    """Vectors of real numbers.

    Args:
        size: F, the numbers of each vector.
    """

    size: int


Space: TypeAlias = Tokens | Values


def as_space(given: Space | int) -> Space:
    """Return a space; a plain number is that of the symbols or classes."""
    return Tokens(given) if isinstance(given, int) else given
