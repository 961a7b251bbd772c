"""The regular languages that ship with the package, a row each.

The 21 tasks of "Length Generalization with Log-Depth Recurrent Units" (arXiv 2605.26035), of which four come
from Deletang et al., "Neural Networks and the Chomsky Hierarchy" (ICLR 2023), with Tomita's languages 1 and 2
and modular arithmetic with precedence beside them. Every row is an attribute of this module that makes its
`Language` when it is called.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from lengthwise.tasks.base import IGNORE, Ints
from lengthwise.tasks.regular.automaton import Automaton
from lengthwise.tasks.regular.dyck import Dyck
from lengthwise.tasks.regular.language import Example, Language, Sampling

MODULUS = 5
PLUS, MINUS, TIMES = 5, 6, 7


Row = Callable[[], Language]
"""Builds a language when it is first asked for, and returns the same one, with its tables, ever after."""


def _example(text: str, label: int) -> Example:
    return Example(tuple(int(symbol) for symbol in text), label)


def _arithmetic_example(text: str, label: int) -> Example:
    return Example(tuple("01234+-*".index(symbol) for symbol in text), label)


def build_parity() -> Automaton:
    """Return the automaton of the number of 1s mod 2."""
    return Automaton(np.array([[0, 1], [1, 0]]), 0, np.array([0, 1]))


def build_even_pairs() -> Automaton:
    """Return the automaton that compares the first symbol with the last."""
    empty = -1

    def step(ends: tuple[int, int], symbol: int) -> tuple[int, int]:
        first, _ = ends
        return (symbol if first == empty else first, symbol)

    return Automaton.explore((empty, empty), step, lambda ends: int(ends[0] != ends[1]), 2)


def build_cycle_navigation() -> Automaton:
    """Return the automaton of a walk on a cycle of five places: back, stay, forward."""
    return Automaton.explore(0, lambda place, symbol: (place + symbol - 1) % MODULUS, lambda place: place, 3)


def build_tomita(number: int) -> Automaton:
    """Return the automaton of one of Tomita's seven languages (1 to 7)."""
    return _TOMITA_BUILDERS[number - 1]()


def _accepting(transitions: list[list[int]], accepting: set[int]) -> Automaton:
    return Automaton(np.array(transitions), 0, np.array([int(state in accepting) for state in range(len(transitions))]))


_TOMITA_BUILDERS: tuple[Callable[[], Automaton], ...] = (
    lambda: _accepting([[1, 0], [1, 1]], {0}),
    lambda: _accepting([[2, 1], [0, 2], [2, 2]], {0}),
    lambda: _accepting([[0, 1], [2, 0], [3, 4], [2, 1], [4, 4]], {0, 1, 3}),
    lambda: _accepting([[1, 0], [2, 0], [3, 0], [3, 3]], {0, 1, 2}),
    lambda: _accepting([[1, 2], [0, 3], [3, 0], [2, 1]], {0}),
    lambda: _accepting([[2, 1], [0, 2], [1, 0]], {0}),
    lambda: _accepting([[0, 1], [2, 1], [2, 3], [4, 3], [4, 4]], {0, 1, 2, 3}),
)


def build_prefix(symbols: int, base: int) -> Automaton:
    """Return the automaton that reads the first symbols as a number, the most significant one first."""

    def step(read: tuple[int, int], symbol: int) -> tuple[int, int]:
        count, value = read
        return read if count == symbols else (count + 1, value * base + symbol)

    return Automaton.explore((0, 0), step, lambda read: read[1] if read[0] == symbols else base**symbols, base)


def build_modular_arithmetic() -> Automaton:
    """Return the automaton of sums, differences and products taken strictly from left to right."""
    dead = (IGNORE, IGNORE)

    def step(state: tuple[int, int], symbol: int) -> tuple[int, int]:
        value, pending = state
        expects_digit = pending != IGNORE
        if state == dead or expects_digit != (symbol < MODULUS):
            return dead
        if not expects_digit:
            return (value, symbol)
        return (_apply(pending, value, symbol), IGNORE)

    return Automaton.explore((0, PLUS), step, lambda state: state[0] if state[1] == IGNORE else IGNORE, MODULUS + 3)


def build_modular_arithmetic_precedence() -> Automaton:
    """Return the automaton of sums and differences of products, the products worked first."""
    dead = (IGNORE, IGNORE, IGNORE)

    def step(state: tuple[int, int, int], symbol: int) -> tuple[int, int, int]:
        total, term, pending = state
        expects_digit = pending != IGNORE
        if state == dead or expects_digit != (symbol < MODULUS):
            return dead
        if not expects_digit:
            return (total, term, TIMES) if symbol == TIMES else ((total + term) % MODULUS, 0, symbol)
        return (total, _apply(pending, term, symbol), IGNORE)

    return Automaton.explore(
        (0, 0, PLUS),
        step,
        lambda state: IGNORE if state == dead or state[2] != IGNORE else sum(state[:2]) % MODULUS,
        MODULUS + 3,
    )


def _apply(operation: int, left: int, right: int) -> int:
    if operation == TIMES:
        return left * right % MODULUS
    return (left + right if operation == PLUS else left - right) % MODULUS


def _draw_arithmetic(rng: np.random.Generator, batch_size: int, length: int) -> Ints:
    tokens = np.empty((batch_size, length), dtype=np.int64)
    tokens[:, ::2] = rng.integers(MODULUS, size=(batch_size, (length + 1) // 2))
    tokens[:, 1::2] = rng.integers(PLUS, TIMES + 1, size=(batch_size, length // 2))
    return tokens


def _uniform(name: str, rule: str, examples: tuple[Example, Example], build: Callable[[], Automaton]) -> Row:
    return cache(lambda: Language(name, rule, examples, build().minimal(), Sampling.UNIFORM))


def _arithmetic(name: str, rule: str, examples: tuple[Example, Example], build: Callable[[], Automaton]) -> Row:
    return cache(lambda: Language(name, rule, examples, build().minimal(), Sampling.UNIFORM, _draw_arithmetic))


def _tomita(number: int, rule: str, examples: tuple[Example, Example]) -> Row:
    name = f"tomita_{number}"
    return cache(lambda: Language(name, rule, examples, build_tomita(number).minimal(), Sampling.BALANCED))


def _dyck(depth: int) -> Row:
    name = f"dyck_{depth}"
    rule = f"1 if balanced (0 opens, 1 closes), not empty and nested at most {depth} deep, otherwise 0"
    examples = (
        _example("0" * depth + "1" * depth + "01", 1),
        _example("0" * (depth + 1) + "1" * (depth + 1), 0),
    )
    return cache(lambda: Dyck(name, rule, examples, depth))


def _prefix(symbols: int, base: int) -> Row:
    name = f"prefix_{symbols}_{base}"
    number = f"the first {symbols} symbols as a number in base {base}, the most significant first"
    rule = f"{number if symbols > 1 else 'the first symbol'}; {base**symbols} if there are fewer symbols"
    digits = [(base - 1 - place) % base for place in range(symbols)]
    value = sum(digit * base ** (symbols - 1 - place) for place, digit in enumerate(digits))
    other = Example((0,) * (symbols - 1), base**symbols) if symbols > 1 else Example((0, 1), 0)
    examples = (Example((*digits, 0, 1), value), other)
    return _uniform(name, rule, examples, lambda: build_prefix(symbols, base))


parity = _uniform("parity", "the number of 1s mod 2", (_example("1011", 1), _example("0110", 0)), build_parity)
even_pairs = _uniform(
    "even_pairs",
    "the number of changes (01 or 10) mod 2: whether the first symbol differs from the last",
    (_example("0101", 1), _example("1001", 0)),
    build_even_pairs,
)
cycle_navigation = _uniform(
    "cycle_navigation",
    "the place on a cycle of 5 after a walk from place 0: symbol 0 goes back, 1 stays, 2 goes forward",
    (_example("2212", 3), _example("0", 4)),
    build_cycle_navigation,
)
modular_arithmetic = _arithmetic(
    "modular_arithmetic",
    "digits 0 to 4 joined by + (5), - (6) and * (7), worked strictly from left to right, mod 5",
    (_arithmetic_example("1+2*3", 4), _arithmetic_example("1-3", 3)),
    build_modular_arithmetic,
)
modular_arithmetic_precedence = _arithmetic(
    "modular_arithmetic_precedence",
    "digits 0 to 4 joined by + (5), - (6) and * (7), products first, mod 5",
    (_arithmetic_example("1+2*3", 2), _arithmetic_example("4-2*2-1", 4)),
    build_modular_arithmetic_precedence,
)
tomita_1 = _tomita(1, "1 if there is no 0", (_example("111", 1), _example("101", 0)))
tomita_2 = _tomita(2, "1 if the string is a repetition of 10", (_example("1010", 1), _example("101", 0)))
tomita_3 = _tomita(
    3,
    "1 if no odd run of 1s is followed at once by an odd run of 0s",
    (_example("1001101", 1), _example("1101000", 0)),
)
tomita_4 = _tomita(4, "1 if there are no three 0s in a row", (_example("00100", 1), _example("1000", 0)))
tomita_5 = _tomita(5, "1 if the number of 0s is even and so is that of 1s", (_example("0110", 1), _example("011", 0)))
tomita_6 = _tomita(
    6, "1 if the number of 1s less that of 0s is divisible by 3", (_example("1110", 0), _example("10111", 1))
)
tomita_7 = _tomita(
    7,
    "1 if the string is of the form 0*1*0*1*: at most one place where a 0 follows a 1",
    (_example("01101", 1), _example("10100", 0)),
)
dyck_2, dyck_3, dyck_4, dyck_6, dyck_8, dyck_12 = (_dyck(depth) for depth in (2, 3, 4, 6, 8, 12))
prefix_1_2, prefix_1_4 = _prefix(1, 2), _prefix(1, 4)
prefix_2_2, prefix_2_4 = _prefix(2, 2), _prefix(2, 4)
prefix_4_2, prefix_4_4 = _prefix(4, 2), _prefix(4, 4)
