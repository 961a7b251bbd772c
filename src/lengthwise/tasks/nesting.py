"""Nestings: bracketed tasks told by what a pair makes of its items, so that models of them can be proved right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from lengthwise.tasks.base import IGNORE

Value: TypeAlias = Any
"""What is to be known of a symbol, of the items of a pair so far, or of a finished pair: anything that has a hash."""


@dataclass(frozen=True)
class Nesting:
    """A bracketed task, told in the order of a nested unit.

    A pair begins with its opening symbol, to which what stands directly inside it is joined from the left, then its
    closing symbol; it is then one item of what is around it. The outermost items of a string are joined alike. Pairs
    that are never closed end with the string, and a closing symbol that nothing opened is an item. ``[ )`` is a pair.

    Args:
        opening: the symbols that open a pair.
        closing: the symbols that close one.
        symbols: how many there are.
        leaf: the value of a symbol; None where no string with it has a class.
        join: the value of joined values; None where no string that has such a piece has a class.
        answer: the class of a string by its value, or `IGNORE`.
        matched: whether only strings whose brackets match have a class.
        within: what the strings are bounded by, in words; empty where there is no bound.
    """

    opening: tuple[int, ...]
    closing: tuple[int, ...]
    symbols: int
    leaf: Callable[[int], Value | None]
    join: Callable[[Value, Value], Value | None]
    answer: Callable[[Value], int]
    matched: bool = False
    within: str = ""

    def label(self, word: Sequence[int]) -> int:
        """Return the class of a string, or `IGNORE`.

        Example:
            >>> from lengthwise.tasks.brackets import Brackets
            >>> nesting = Brackets(kinds=2).nesting()
            >>> nesting.label([0, 2, 3, 1]), nesting.label([0, 2, 1, 3])
            (1, 0)
        """
        levels: list[Value | None] = [None]
        for symbol in word:
            value = self.leaf(symbol)
            if value is None or (self.matched and symbol in self.closing and len(levels) == 1):
                return IGNORE
            if symbol in self.opening:
                levels.append(value)
                continue
            if symbol in self.closing and len(levels) > 1:
                value = self._put(levels.pop(), value)
            levels[-1] = self._put(levels[-1], value)
            if levels[-1] is None:
                return IGNORE
        if self.matched and len(levels) > 1:
            return IGNORE
        while len(levels) > 1:
            value = levels.pop()
            levels[-1] = self._put(levels[-1], value)
        return IGNORE if levels[0] is None else self.answer(levels[0])

    def _put(self, left: Value | None, right: Value | None) -> Value | None:
        """Return a level with one more item; None where that cannot count."""
        return right if left is None or right is None else self.join(left, right)
