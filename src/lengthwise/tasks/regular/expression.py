"""Regular expressions as automata: Glushkov's construction, which writes repetitions out, within bounds.

A place is where a pattern reads a symbol; a set of places is the bits of a number. The states of the automaton are the
sets of places that may come next.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from string import ascii_lowercase, digits
from typing import NamedTuple

from lengthwise.errors import InputError
from lengthwise.tasks.regular.automaton import Automaton
from lengthwise.tasks.regular.described import fitting

SYMBOLS = digits + ascii_lowercase
LONGEST_PATTERN = 10_000
"""Characters of a pattern."""
LARGEST_REPETITION = 1_000
DEEPEST_GROUP = 50
"""Groups inside one another."""
MOST_PLACES = 10_000
"""Symbols of a pattern whose repetitions are written out."""
MOST_STEPS = 500_000
"""Steps from a pattern to its automaton: less than a second's worth."""
MOST_SETS = 10_000
"""States of the automaton before those that answer alike are merged."""

_TOKEN = re.compile(
    r"(?P<symbol>[0-9a-z])|(?P<set>\.|\[\^?(?:[0-9a-z]-[0-9a-z]|[0-9a-z])+\])"
    r"|(?P<repeat>[*+?]|\{[0-9]*,[0-9]*\}|\{[0-9]+\})|(?P<other>[()|])|(?P<strange>.)",
    re.DOTALL,
)
_REPEATS = {"*": "{0,}", "+": "{1,}", "?": "{0,1}"}


def regex_alphabet(pattern: str) -> list[str]:
    """Return the symbols that a pattern uses in the order of their numbers; errors as in `automaton_from_regex`."""
    return _parsed(pattern)[1]


def automaton_from_regex(pattern: str) -> Automaton:
    """Return the minimal automaton of a regular expression over the symbols that it uses.

    Args:
        pattern: the expression.

    Raises:
        InputError: the pattern does not parse, has no symbol, matches nothing or is too large.
    """
    part, alphabet = _parsed(pattern)
    places = _Places(alphabet)
    try:
        whole, end = part(places), places.read("")
        start = places.chain([whole, end]).first
        automaton = Automaton.explore(
            start, places.step, lambda following: int(bool(following & end.first)), len(alphabet), MOST_SETS
        )
        automaton = fitting(automaton.minimal())
    except InputError as error:
        raise InputError(f"the regular expression {shortened(pattern)} is too large: {error}") from error
    if not automaton.outputs_S.any():
        raise InputError(f"the regular expression {shortened(pattern)} matches no string")
    return automaton


def shortened(pattern: str) -> str:
    """Return a pattern in quotes, of a long one the beginning."""
    return repr(pattern if len(pattern) <= 80 else f"{pattern[:77]}...")


class _Piece(NamedTuple):
    """Where a part of a pattern begins and ends: the places of its first and of its last symbols."""

    empty: bool
    """Whether it matches the empty string."""
    first: int
    last: int


_NOTHING = _Piece(True, 0, 0)
_Part = Callable[["_Places"], _Piece]
"""A part of a pattern: adds its places, anew at each call."""


class _Places:
    """The places of a pattern, and which may follow which."""

    def __init__(self, alphabet: list[str]) -> None:
        self._alphabet = alphabet
        self._reading = [0] * len(alphabet)
        self._following: list[int] = []
        self._steps = 0

    def read(self, text: str) -> _Piece:
        """Add a place that reads one of the symbols that a symbol or set of a pattern stands for."""
        if len(self._following) > MOST_PLACES:
            raise InputError(f"with its repetitions written out it has more than {MOST_PLACES:,} symbols")
        place = 1 << len(self._following)
        self._following.append(0)
        for number, symbol in enumerate(self._alphabet):
            if _stands_for(text, symbol):
                self._reading[number] |= place
        return _Piece(False, place, place)

    def chain(self, pieces: Iterable[_Piece]) -> _Piece:
        """Put pieces one behind another."""
        # From the end: what comes behind a piece is then one number, however many of them may be empty.
        rest = _NOTHING
        for piece in reversed(list(pieces)):
            self._follow(piece.last, rest.first)
            rest = _Piece(
                piece.empty and rest.empty,
                piece.first | (rest.first if piece.empty else 0),
                rest.last | (piece.last if rest.empty else 0),
            )
        return rest

    def choose(self, branches: list[list[_Part]]) -> _Piece:
        """Add a group: one of its branches."""
        self._count(1)
        pieces = [self.chain([part(self) for part in branch]) for branch in branches]
        first = last = 0
        for piece in pieces:
            first, last = first | piece.first, last | piece.last
        return _Piece(any(piece.empty for piece in pieces), first, last)

    def repeat(self, part: _Part, least: int, most: int | None) -> _Piece:
        """Add a part several times, the last one without an end where no most is given."""
        before = len(self._following)
        pieces = [part(self)] if most != 0 else []
        if len(self._following) == before:
            return _NOTHING
        pieces += [part(self) for _ in range(1, max(least, 1) if most is None else most)]
        if pieces[0].empty:
            least, pieces = 0, [piece._replace(empty=False) for piece in pieces]
        if most is None:
            self._follow(pieces[-1].last, pieces[-1].first)
        tail = _NOTHING
        for piece in reversed(pieces[least:]):
            tail = self.chain([piece, tail])._replace(empty=True)
        return self.chain([*pieces[:least], tail])

    def step(self, following: int, symbol: int) -> int:
        """Return the places that may come next after a symbol."""
        found = 0
        for place in self._bits(following & self._reading[symbol]):
            found |= self._following[place]
        return found

    def _follow(self, before: int, after: int) -> None:
        if after:
            for place in self._bits(before):
                self._following[place] |= after

    def _bits(self, places: int) -> Iterator[int]:
        self._count(1 + places.bit_count())
        while places:
            lowest = places & -places
            places ^= lowest
            yield lowest.bit_length() - 1

    def _count(self, steps: int) -> None:
        self._steps += steps
        if self._steps > MOST_STEPS:
            raise InputError(f"its automaton takes more than {MOST_STEPS:,} steps")


def _parsed(pattern: str) -> tuple[_Part, list[str]]:
    """Return a pattern as a part, and the symbols that it uses; a token that makes no sense where it stands is refused.

    Raises:
        InputError: the pattern does not parse, or has no symbol.
    """
    if len(pattern) > LONGEST_PATTERN:
        raise InputError(f"a regular expression has {LONGEST_PATTERN:,} characters at most, not {len(pattern):,}")
    groups: list[list[list[_Part]]] = [[[]]]
    used, opened, before = set[str](), list[int](), None
    for token in _TOKEN.finditer(pattern):
        text, position, branch = token.group(), token.start(), groups[-1][-1]
        if problem := _problem(token, before, len(opened)):
            raise _senseless(pattern, f"{text!r} at position {position} {problem}")
        if token.lastgroup == "repeat":
            least, most = _bounds(text)
            branch.append(partial(_Places.repeat, part=branch.pop(), least=least, most=most))
        elif token.lastgroup != "other":
            branch.append(partial(_Places.read, text=text))
            used.add(text.replace("^", ""))
        elif text == "(":
            groups.append([[]])
            opened.append(position)
        elif text == "|":
            groups[-1].append([])
        else:
            branches = groups.pop()
            groups[-1][-1].append(partial(_Places.choose, branches=branches))
            opened.pop()
        before = token
    if opened:
        raise _senseless(pattern, f"'(' at position {opened[-1]} is not closed")
    symbols = [symbol for symbol in SYMBOLS if any(_stands_for(one, symbol) for one in used - {"."})]
    if not symbols:
        raise InputError(f"the regular expression {shortened(pattern)} has no symbol (0 to 9, a to z)")
    return partial(_Places.choose, branches=groups[0]), symbols


@lru_cache(maxsize=10_000)
def _stands_for(text: str, symbol: str) -> bool:
    """Return whether a symbol or set of a pattern stands for a symbol."""
    return re.fullmatch(text, symbol) is not None


def _bounds(text: str) -> tuple[int, int | None]:
    """Return how often a repetition repeats, None where that has no end."""
    least, comma, most = _REPEATS.get(text, text)[1:-1].partition(",")
    return int(least or 0), int(most) if most else None if comma else int(least)


def _problem(token: re.Match[str], before: re.Match[str] | None, depth: int) -> str | None:
    """Return what is wrong with a token behind another one, in so many groups."""
    if token.lastgroup == "strange":
        return "is not understood there; use 0 to 9, a to z, ( ) | * + ? . {m,n} and [ ]"
    text = token.group()
    if token.lastgroup == "repeat":
        if before is None or before.group() in ("(", "|"):
            return "repeats nothing"
        if before.lastgroup == "repeat":
            return "repeats a repetition; put that in ( )"
        numbers = [number.lstrip("0") or "0" for number in re.findall("[0-9]+", text)]
        if any(len(number) > 4 or int(number) > LARGEST_REPETITION for number in numbers):
            return f"is larger than {LARGEST_REPETITION:,}"
        if len(numbers) == 2 and int(numbers[0]) > int(numbers[1]):
            return "has its larger number first"
    if any(low > high for low, high in re.findall("(.)-(.)", text)):
        return "has a range whose end comes before its beginning"
    if text == "(" and depth == DEEPEST_GROUP:
        return f"opens more than {DEEPEST_GROUP} groups inside one another"
    return "closes nothing" if text == ")" and not depth else None


def _senseless(pattern: str, problem: str) -> InputError:
    return InputError(f"the regular expression {shortened(pattern)} does not parse: {problem}")
