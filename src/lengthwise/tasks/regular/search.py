"""Searches breadth first: all that a start leads to, each with the shortest string that leads there."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Generic, TypeVar

from lengthwise.errors import InputError
from lengthwise.tasks.regular.writing import path_to, write_runs

StateT = TypeVar("StateT", bound=Hashable)


class Search(Generic[StateT]):
    """What a start leads to, in the order of the shortest strings: by length, then by alphabet.

    Iterating finds it, one after the other; it can be stopped at any place, and begun again.

    Args:
        start: what the empty string leads to.
        followers: what each symbol leads to from there, in the order of the alphabet.
        limit: how many are found at most.
        too_many: what the error message says of more, with a place for the limit and one for how far the search came.

    Raises:
        InputError: there are more than the limit.
    """

    def __init__(
        self, start: StateT, followers: Callable[[StateT], Iterable[StateT]], limit: int, too_many: str = "{} {}"
    ) -> None:
        self.found = [start]
        self.rows: list[list[int]] = []
        """The places of the followers of what was found."""
        self.parents, self.letters = [-1], [-1]
        """From where each was found, and by which symbol; -1 for the start."""
        self._depths = [0]
        self._places: dict[StateT, int] = {start: 0}
        self._followers, self._limit, self._too_many = followers, limit, too_many

    def __iter__(self) -> Iterator[StateT]:
        # The list grows while it is read.
        for place, state in enumerate(self.found):
            yield state
            self.row(place)

    def row(self, place: int) -> list[int]:
        """Return the places of the followers of what was found at a place; all before it are followed first."""
        for state in self.found[len(self.rows) : place + 1]:
            self.rows.append([self._place(symbol, one) for symbol, one in enumerate(self._followers(state))])
        return self.rows[place]

    def path(self, place: int) -> list[int]:
        """Return the shortest string, first in the order of the alphabet, that leads to what was found at a place."""
        return path_to(self.parents, self.letters, place)

    def _place(self, symbol: int, state: StateT) -> int:
        place = self._places.setdefault(state, len(self.found))
        if place == len(self.found):
            if place >= self._limit:
                raise InputError(self._too_many.format(self._limit, self._growth()))
            self.found.append(state)
            self.parents.append(len(self.rows))
            self.letters.append(symbol)
            self._depths.append(self._depths[len(self.rows)] + 1)
        return place

    def _growth(self) -> str:
        """Say how far the search came, and by which strings last."""
        last = [self.path(place) for place in range(len(self.found))[-3:]]
        written = ", ".join(write_runs(symbols, most=24) or "the empty string" for symbols in last)
        new = self._depths.count(self._depths[-1])
        return f"{new} of them are new with strings of {self._depths[-1]} symbols, the last ones with {written}"
