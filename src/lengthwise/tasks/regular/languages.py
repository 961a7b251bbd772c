"""The regular languages that ship with the package, a row each.

The 21 tasks of "Length Generalization with Log-Depth Recurrent Units" (arXiv 2605.26035), of which four come
from Deletang et al., "Neural Networks and the Chomsky Hierarchy" (ICLR 2023), with Tomita's languages 1 and 2
and modular arithmetic with precedence beside them. Every row is an attribute of this module that makes its
`Language` when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from operator import add, mul, sub, xor
from typing import Any

import numpy as np

from lengthwise.tasks.base import IGNORE, Ints
from lengthwise.tasks.regular.automaton import Automaton
from lengthwise.tasks.regular.dyck import Dyck
from lengthwise.tasks.regular.language import Language, Sampling

MODULUS = 5
PLUS, MINUS, TIMES = 5, 6, 7
_OPERATIONS = {PLUS: add, MINUS: sub, TIMES: mul}
_ARITHMETIC = "01234+-*"

_TOMITA = (
    ("there is no 0", {"111": 1, "101": 0}, "10 11", "0"),
    ("the string is a repetition of 10", {"1010": 1, "101": 0}, "21 02 22", "0"),
    ("no odd run of 1s is followed at once by an odd run of 0s", {"1001101": 1, "1101000": 0}, "01 20 34 21 44", "013"),
    ("there are no three 0s in a row", {"00100": 1, "1000": 0}, "10 20 30 33", "012"),
    ("the number of 0s is even and so is that of 1s", {"0110": 1, "011": 0}, "12 03 30 21", "0"),
    ("the number of 1s less that of 0s is divisible by 3", {"1110": 0, "10111": 1}, "21 02 10", "0"),
    (
        "the string is of the form 0*1*0*1*: at most one place where a 0 follows a 1",
        {"01101": 1, "10100": 0},
        "01 21 23 43 44",
        "0123",
    ),
)
"""Tomita's languages: what is accepted, worked examples, the two next states of each state, the accepting states."""

Row = Callable[[], Language]
"""Builds a language when it is first asked for, and returns the same one, with its tables, ever after."""


def build_tomita(number: int) -> Automaton:
    """Return the automaton of one of Tomita's seven languages (1 to 7)."""
    _, _, followers, accepting = _TOMITA[number - 1]
    transitions = [[int(state) for state in pair] for pair in followers.split()]
    outputs = [int(str(state) in accepting) for state in range(len(transitions))]
    return Automaton(np.array(transitions), 0, np.array(outputs))


def build_prefix(symbols: int, base: int) -> Automaton:
    """Return the automaton that reads the first symbols as a number, the most significant one first."""
    return Automaton.explore(
        "",
        lambda read, symbol: f"{read}{symbol}"[:symbols],
        lambda read: int(read, base) if len(read) == symbols else base**symbols,
        base,
    )


def build_modular_arithmetic(*, precedence: bool = False) -> Automaton:
    """Return the automaton of sums, differences and products, worked strictly from left to right or products first."""
    dead = (IGNORE, IGNORE, IGNORE)

    def step(state: tuple[int, int, int], symbol: int) -> tuple[int, int, int]:
        total, term, pending = state
        expects_digit = pending != IGNORE
        if state == dead or expects_digit != (symbol < MODULUS):
            return dead
        if expects_digit:
            return (total, _OPERATIONS[pending](term, symbol) % MODULUS, IGNORE)
        return ((total + term) % MODULUS, 0, symbol) if precedence and symbol != TIMES else (total, term, symbol)

    return Automaton.explore(
        (0, 0, PLUS),
        step,
        lambda state: IGNORE if state == dead or state[2] != IGNORE else sum(state[:2]) % MODULUS,
        MODULUS + 3,
    )


def _draw_arithmetic(rng: np.random.Generator, batch_size: int, length: int) -> Ints:
    tokens = np.empty((batch_size, length), dtype=np.int64)
    tokens[:, ::2] = rng.integers(MODULUS, size=(batch_size, (length + 1) // 2))
    tokens[:, 1::2] = rng.integers(PLUS, TIMES + 1, size=(batch_size, length // 2))
    return tokens


def _row(name: str, build: Callable[[], Automaton], rule: str, examples: Mapping[str, int], **settings: Any) -> Row:
    settings = {"sampling": Sampling.UNIFORM, **settings}
    return cache(lambda: Language(name, rule, examples, build().minimal(), **settings))


def _tomita(number: int) -> Row:
    rule, examples, *_ = _TOMITA[number - 1]
    return _row(f"tomita_{number}", lambda: build_tomita(number), f"1 if {rule}", examples, sampling=Sampling.BALANCED)


def _dyck(depth: int) -> Row:
    name = f"dyck_{depth}"
    rule = f"1 if balanced (0 opens, 1 closes), not empty and nested at most {depth} deep, otherwise 0"
    examples = {"0" * depth + "1" * depth + "01": 1, "0" * (depth + 1) + "1" * (depth + 1): 0}
    return cache(lambda: Dyck(name, rule, examples, depth))


def _prefix(symbols: int, base: int) -> Row:
    number = f"the first {symbols} symbols as a number in base {base}, the most significant first"
    rule = f"{number if symbols > 1 else 'the first symbol'}; {base**symbols} if there are fewer symbols"
    digits = "".join(str((base - 1 - place) % base) for place in range(symbols))
    other = {"0" * (symbols - 1): base**symbols} if symbols > 1 else {"01": 0}
    examples = {f"{digits}01": int(digits, base), **other}
    return _row(f"prefix_{symbols}_{base}", lambda: build_prefix(symbols, base), rule, examples)


parity = _row("parity", lambda: Automaton.explore(0, xor, int, 2), "the number of 1s mod 2", {"1011": 1, "0110": 0})
even_pairs = _row(
    "even_pairs",
    lambda: Automaton.explore(
        "", lambda ends, symbol: f"{ends[:1]}{symbol}", lambda ends: int(ends[:1] != ends[-1:]), 2
    ),
    "the number of changes (01 or 10) mod 2: whether the first symbol differs from the last",
    {"0101": 1, "1001": 0},
)
cycle_navigation = _row(
    "cycle_navigation",
    lambda: Automaton.explore(0, lambda place, symbol: (place + symbol - 1) % MODULUS, int, 3),
    "the place on a cycle of 5 after a walk from place 0: symbol 0 goes back, 1 stays, 2 goes forward",
    {"2212": 3, "0": 4},
)
modular_arithmetic = _row(
    "modular_arithmetic",
    build_modular_arithmetic,
    "digits 0 to 4 joined by + (5), - (6) and * (7), worked strictly from left to right, mod 5",
    {"1+2*3": 4, "1-3": 3},
    draw=_draw_arithmetic,
    symbols=tuple(_ARITHMETIC),
)
modular_arithmetic_precedence = _row(
    "modular_arithmetic_precedence",
    lambda: build_modular_arithmetic(precedence=True),
    "digits 0 to 4 joined by + (5), - (6) and * (7), products first, mod 5",
    {"1+2*3": 2, "4-2*2-1": 4},
    draw=_draw_arithmetic,
    symbols=tuple(_ARITHMETIC),
)
tomita_1, tomita_2, tomita_3, tomita_4, tomita_5, tomita_6, tomita_7 = (_tomita(number) for number in range(1, 8))
dyck_2, dyck_3, dyck_4, dyck_6, dyck_8, dyck_12 = (_dyck(depth) for depth in (2, 3, 4, 6, 8, 12))
prefix_1_2, prefix_1_4 = _prefix(1, 2), _prefix(1, 4)
prefix_2_2, prefix_2_4 = _prefix(2, 2), _prefix(2, 4)
prefix_4_2, prefix_4_4 = _prefix(4, 2), _prefix(4, 4)
