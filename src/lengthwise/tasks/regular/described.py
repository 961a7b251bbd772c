"""Automata as files describe them, by names, and the tables that they stand for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from reprlib import repr as repr_in_short

import numpy as np

from lengthwise.errors import InputError
from lengthwise.registry import nearest_name
from lengthwise.tasks.base import IGNORE
from lengthwise.tasks.regular.automaton import Automaton

MOST_STATES = 2_500
"""States of a language: its sampler keeps tables of states by states."""
MOST_SYMBOLS = 1_000
MOST_CLASSES = 1_000
MOST_TRANSITIONS = 1_000_000
"""Before states that answer alike are merged."""
LONGEST_NAME = 100


@dataclass(kw_only=True)
class Described:
    """An automaton by names."""

    alphabet: list[str]
    states: list[str]
    start: str
    moves: Iterable[tuple[str, str, str]]
    """A state, a symbol and the next state each."""
    classes: dict[str, int]
    """Classes of states; a state without one has the next."""
    otherwise: int = 0
    """The class of other states: 0 for those that do not accept, `IGNORE` for those outside the domain."""
    sink: bool = False
    """Whether the file itself says that what is missing leads nowhere."""
    _numbers: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self._numbers = {name: number for number, name in enumerate(self.states)}
        if longest := [name for name in (*self.alphabet, *self.states, self.start) if len(name) > LONGEST_NAME]:
            raise InputError(f"a name has {len(longest[0]):,} characters; {LONGEST_NAME} are the most")
        if not 0 < len(self.alphabet) <= MOST_SYMBOLS or len(set(self.alphabet)) < len(self.alphabet):
            raise InputError(f"an alphabet is 1 to {MOST_SYMBOLS:,} different names, not {listed(self.alphabet)}")
        if len(self._numbers) < len(self.states):
            raise InputError(f"two states have one name: {listed(self.states)}")

    def automaton(self, *, sink: bool = False) -> Automaton:
        """Return the automaton, minimal.

        Args:
            sink: whether transitions that are missing lead to a state that is never left and does not accept.

        Raises:
            InputError: it is not deterministic, a transition is missing, or a name is unknown.
        """
        if (entries := len(self.states) * len(self.alphabet)) > MOST_TRANSITIONS:
            raise InputError(f"states by symbols are {entries:,}; {MOST_TRANSITIONS:,} are the most")
        symbols = {name: number for number, name in enumerate(self.alphabet)}
        table_SA = np.full((len(self.states), len(self.alphabet)), -1)
        for source, symbol, target in self.moves:
            if symbol not in symbols:
                raise InputError(
                    f"state {source!r} has a transition for an unknown symbol {symbol[:LONGEST_NAME]!r}; "
                    f"the alphabet is {listed(self.alphabet)}"
                )
            place = self._number(source, "a transition"), symbols[symbol]
            number = self._number(target, f"the transition of {source!r} for symbol {symbol!r}")
            if table_SA[place] not in (-1, number):
                raise InputError(
                    f"state {source!r} has two transitions for symbol {symbol!r}, to {self.states[table_SA[place]]!r} "
                    f"and to {target!r}; an automaton here is deterministic"
                )
            table_SA[place] = number
        outputs = [self.classes.get(name, self.otherwise) for name in self.states]
        if (table_SA < 0).any():
            if not (sink or self.sink):
                state, symbol = np.argwhere(table_SA < 0)[0]
                raise InputError(
                    f"state {self.states[state]!r} has no transition for symbol {self.alphabet[symbol]!r}; "
                    "write dfa+sink: instead of dfa: if what is missing leads to a state that is never left"
                )
            table_SA[table_SA < 0] = len(self.states)
            table_SA = np.vstack([table_SA, np.full(len(self.alphabet), len(self.states))])
            outputs.append(self.otherwise)
        for name in self.classes:
            self._number(name, "a class")
        automaton = Automaton(table_SA, self._number(self.start, "'start'"), np.array(outputs)).minimal()
        if automaton.outputs_S.max() == IGNORE:
            raise InputError("no state that strings reach has a class")
        return fitting(automaton)

    def _number(self, name: str, where: str) -> int:
        if name not in self._numbers:
            short = name[:LONGEST_NAME]
            raise InputError(f"{where} names an unknown state {short!r}; {nearest_name(short, self.states[:100])}")
        return self._numbers[name]


def fitting(automaton: Automaton) -> Automaton:
    """Return an automaton as it is, or refuse one with more states than can be sampled from."""
    if automaton.states > MOST_STATES:
        raise InputError(f"the automaton has {automaton.states:,} states; {MOST_STATES:,} are the most")
    return automaton


def in_order(names: Iterable[str]) -> list[str]:
    """Return names once each: as numbers where all of them are, otherwise by letter, digits first."""
    found = set(names)
    numbers = all(whole_number(name, 10**9) is not None for name in found)
    return sorted(sorted(found), key=int) if numbers else sorted(found)


def listed(names: list[str]) -> str:
    """Return the first of some names."""
    return ", ".join(names[:20]) + (f", ... ({len(names):,})" if len(names) > 20 else "")


def as_class(state: str, label: object) -> int:
    """Return the class that is written for a state."""
    if (number := whole_number(label, MOST_CLASSES - 1)) is None:
        shown = repr_in_short(label)
        raise InputError(f"the class of state {state!r} is a number from 0 to {MOST_CLASSES - 1}, not {shown}")
    return number


def whole_number(written: object, most: int) -> int | None:
    """Return a whole number that is written in digits and is no larger; None for anything else."""
    number = int(written) if isinstance(written, str) and re.fullmatch("[0-9]{1,9}", written) else None
    return None if number is None or number > most else number
