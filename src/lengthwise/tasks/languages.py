"""The regular languages that ship with the package, a row each.

The 21 tasks of "Length Generalization with Log-Depth Recurrent Units" (arXiv 2605.26035), of which four come
from Deletang et al., "Neural Networks and the Chomsky Hierarchy" (ICLR 2023), with Tomita's languages 1 and 2
and modular arithmetic with precedence beside them. Every row is an attribute of this module that makes its
`Language` when it is called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from lengthwise.tasks.automaton import Automaton
from lengthwise.tasks.base import UNLABELLED, Ints
from lengthwise.tasks.language import Example, Language, Sampling

MODULUS = 5
PLUS, MINUS, TIMES = 5, 6, 7


@dataclass(frozen=True)
class Row:
    """A language that is built when it is first asked for.

    Args:
        name: as the registry knows it.
        rule: what decides the class, in words.
        examples: worked strings with their classes.
        build: makes the automaton.
        sampling: which strings are drawn.
    """

    name: str
    rule: str
    examples: tuple[Example, Example]
    build: Callable[[], Automaton]
    sampling: Sampling

    def __call__(self) -> Language:
        """Return the language, always the same object, so that its tables are computed once."""
        return _language(self)


@cache
def _language(row: Row) -> Language:
    return Language(row.name, row.rule, row.examples, row.build().minimal(), row.sampling)


def _example(text: str, label: int) -> Example:
    return Example(tuple(int(symbol) for symbol in text), label)


def _arithmetic_example(text: str, label: int) -> Example:
    return Example(tuple("01234+-*".index(symbol) for symbol in text), label)


def build_parity() -> Automaton:
    """Return the automaton of the number of 1s mod 2."""
    return Automaton(np.array([[0, 1], [1, 0]]), 0, np.array([0, 1]))


def build_even_pairs() -> Automaton:
    """Return the automaton that compares the first symbol with the last."""
    return Automaton.explore(
        (-1, -1),
        lambda ends, symbol: (ends[0] if ends[0] >= 0 else symbol, symbol),
        lambda ends: int(ends[0] != ends[1]),
        2,
    )


def build_cycle_navigation() -> Automaton:
    """Return the automaton of a walk on a cycle of five places: back, stay, forward."""
    return Automaton.explore(
        0, lambda place, symbol: (place + symbol - 1) % MODULUS, lambda place: place, 3
    )


def build_tomita(number: int) -> Automaton:
    """Return the automaton of one of Tomita's seven languages (1 to 7)."""
    return _TOMITA_BUILDERS[number - 1]()


def _accepting(transitions: list[list[int]], accepting: set[int]) -> Automaton:
    return Automaton(
        np.array(transitions), 0, np.array([int(state in accepting) for state in range(len(transitions))])
    )


_TOMITA_BUILDERS: tuple[Callable[[], Automaton], ...] = (
    lambda: _accepting([[1, 0], [1, 1]], {0}),
    lambda: _accepting([[2, 1], [0, 2], [2, 2]], {0}),
    lambda: _accepting([[0, 1], [2, 0], [3, 4], [2, 1], [4, 4]], {0, 1, 3}),
    lambda: _accepting([[1, 0], [2, 0], [3, 0], [3, 3]], {0, 1, 2}),
    lambda: _accepting([[1, 2], [0, 3], [3, 0], [2, 1]], {0}),
    lambda: _accepting([[2, 1], [0, 2], [1, 0]], {0}),
    lambda: _accepting([[0, 1], [2, 1], [2, 3], [4, 3], [4, 4]], {0, 1, 2, 3}),
)


def build_dyck(depth: int) -> Automaton:
    """Return the automaton of the balanced, non-empty strings of 0 (open) and 1 (close) up to a depth."""
    dead, empty = -1, -2

    def step(state: int, symbol: int) -> int:
        if state == dead:
            return dead
        level = max(state, 0) + (1 if symbol == 0 else -1)
        return level if 0 <= level <= depth else dead

    return Automaton.explore(empty, step, lambda state: int(state == 0), 2)


def build_depths(largest: int) -> Automaton:
    """Return the automaton whose class of a balanced, non-empty string is its depth, up to a largest depth."""
    dead = (-1, 0)

    def step(state: tuple[int, int], symbol: int) -> tuple[int, int]:
        level, deepest = state
        if level < 0:
            return dead
        level += 1 if symbol == 0 else -1
        return (level, max(level, deepest)) if 0 <= level <= largest else dead

    return Automaton.explore(
        (0, 0), step, lambda state: state[1] if state[0] == 0 and state[1] else UNLABELLED, 2
    ).minimal()


def build_prefix(symbols: int, base: int) -> Automaton:
    """Return the automaton that reads the first symbols as a number, the most significant one first."""

    def step(read: tuple[int, int], symbol: int) -> tuple[int, int]:
        count, value = read
        return read if count == symbols else (count + 1, value * base + symbol)

    return Automaton.explore(
        (0, 0), step, lambda read: read[1] if read[0] == symbols else base**symbols, base
    )


def build_modular_arithmetic() -> Automaton:
    """Return the automaton of sums, differences and products taken strictly from left to right."""
    dead = (UNLABELLED, UNLABELLED)

    def step(state: tuple[int, int], symbol: int) -> tuple[int, int]:
        value, pending = state
        expects_digit = pending != UNLABELLED
        if state == dead or expects_digit != (symbol < MODULUS):
            return dead
        if not expects_digit:
            return (value, symbol)
        return (_apply(pending, value, symbol), UNLABELLED)

    return Automaton.explore(
        (0, PLUS), step, lambda state: state[0] if state[1] == UNLABELLED else UNLABELLED, MODULUS + 3
    )


def build_modular_arithmetic_precedence() -> Automaton:
    """Return the automaton of sums and differences of products: a sum so far, a last term, what is pending."""
    dead = (UNLABELLED, UNLABELLED, UNLABELLED)

    def step(state: tuple[int, int, int], symbol: int) -> tuple[int, int, int]:
        total, term, pending = state
        expects_digit = pending != UNLABELLED
        if state == dead or expects_digit != (symbol < MODULUS):
            return dead
        if not expects_digit:
            return (total, term, TIMES) if symbol == TIMES else ((total + term) % MODULUS, 0, symbol)
        return (total, _apply(pending, term, symbol), UNLABELLED)

    return Automaton.explore(
        (0, 0, PLUS),
        step,
        lambda state: UNLABELLED if state == dead or state[2] != UNLABELLED else sum(state[:2]) % MODULUS,
        MODULUS + 3,
    )


def _apply(operation: int, left: int, right: int) -> int:
    if operation == TIMES:
        return left * right % MODULUS
    return (left + right if operation == PLUS else left - right) % MODULUS


parity = Row(
    "parity",
    "the number of 1s mod 2",
    (_example("1011", 1), _example("0110", 0)),
    build_parity,
    Sampling.UNIFORM,
)
