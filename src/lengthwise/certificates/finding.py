"""Findings: what a method found out about a model, and the one rule by which that becomes a verdict and its words.

Certifying and checking a certificate both draw their conclusions here, from the same evidence, and need no torch.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

from lengthwise.certificates.product import Counterexample, compare
from lengthwise.certificates.table import MultiplicationTable
from lengthwise.certificates.trees import trees_are_right
from lengthwise.errors import InputError
from lengthwise.tasks.regular.automaton import Automaton

Verdict = Literal["every_length", "every_length_snapped", "up_to_length", "wrong", "not_proved"]
"""``every_length``: right on all strings. ``every_length_snapped``: so is the unit whose nodes are replaced by the
vectors of their elements; the network itself may not be. ``up_to_length``: right on all strings of at most N symbols.
``wrong``: wrong on the counterexample. ``not_proved``: neither was shown."""

PROVED: tuple[Verdict, ...] = ("every_length", "every_length_snapped", "up_to_length")

Method = Literal["rounded", "snapped", "raw", "pushdown", "black_box"]
"""What the verdict is about. ``raw``: the network as it is. ``rounded``: the network with its row-stochastic leaves
rounded to one-hot rows. ``snapped``: the network with each node replaced by the vector of its element. ``pushdown``:
the same of a nested unit, on strings nested as deep as they come. ``black_box``: an automaton learned from queries;
never a proof for the network."""

LONGEST = 2**40
"""No bound is looked for beyond this length."""
LARGEST = sys.float_info.max
"""A margin where there is no other class."""


class Claim(NamedTuple):
    """What is said of a model."""

    verdict: Verdict
    statement: str
    """The verdict in words."""


class Claiming(ABC):
    """What ends in a claim."""

    @cached_property
    @abstractmethod
    def claim(self) -> Claim:
        """What follows from the evidence."""

    @property
    def verdict(self) -> Verdict:
        """The verdict of the claim."""
        return self.claim.verdict

    @property
    def statement(self) -> str:
        """The claim in words."""
        return self.claim.statement


@dataclass(frozen=True, eq=False)
class Finding(Claiming):
    """The evidence about a model; with its provenance it becomes a `Certificate`.

    Args:
        method: see `Method`.
        task: the minimal automaton of the task.
        extracted: the automaton as it was read off the model, where there is no table.
        table: the multiplication table of its elements, where one was read off.
        length: up to this length it was found right, where that is not every length.
        margins: the numbers that a verdict rests on; the documentation defines each.
        counterexample: a string on which the model, or what was read off it, is wrong.
    """

    method: Method
    task: Automaton
    extracted: Automaton | None = None
    table: MultiplicationTable | None = None
    length: int | None = None
    margins: Mapping[str, float] = field(default_factory=dict[str, float])
    counterexample: Counterexample | None = None

    @cached_property
    def automaton(self) -> Automaton | None:
        """The automaton that was read off the model, that of right multiplication where there is a table."""
        return self.extracted if self.table is None else self.table.automaton()

    @cached_property
    def difference(self) -> Counterexample | None:
        """The shortest string on which that automaton is not the task's; None where it is, or there is none."""
        return self.automaton and compare(self.automaton, self.task)

    def elements(self, limit: int = 100_000) -> int | None:
        """Return how many elements the table has, or the transition monoid of an automaton that is the task's.

        None where there is neither, or where there are more than the limit.
        """
        if self.table is not None:
            return self.table.size
        if self.extracted is None or self.method == "black_box" or self.difference is not None:
            return None
        try:
            return self.task.transition_monoid(limit).size
        except InputError:
            return None

    @cached_property
    def claim(self) -> Claim:
        """What follows from the evidence."""
        rule = {"black_box": _by_answers, "snapped": _snapped}.get(self.method, _by_bounds)
        return rule(self)

    def number(self, name: str) -> int:
        """Return a whole number among the margins; -1 where it is none."""
        number = self.margins.get(name, -1.0)
        return int(number) if number.is_integer() else -1


def _by_answers(found: Finding) -> Claim:
    asked = f"{found.number('asked'):,} strings asked"
    if found.counterexample is not None and found.counterexample.fails:
        return Claim("wrong", f"wrong on a string of {len(found.counterexample.symbols):,} symbols; {asked}")
    what = "the budget was spent before learning ended" if found.number("spent") else "none of them wrong"
    return Claim("not_proved", f"not proved: {asked}, {what}")


def _snapped(found: Finding) -> Claim:
    table, example = found.table, found.counterexample
    if table is None:
        length = len(example.symbols) if example else 0
        return Claim("wrong", f"the network itself is wrong on a string of {length} symbols; nothing was extracted")
    if table.homomorphism(found.task) is not None:
        which = "associative" if table.is_associative() else "not associative"
        said = f"right at every length and in all brackets, each node snapped to one of {table.size} elements"
        return Claim("every_length_snapped", f"{said}; the table is {which}")
    if trees_are_right(table, found.task):
        said = f"right at every length in balanced trees, snapped to one of {table.size} elements"
        return Claim("every_length_snapped", said)
    length, fails = (len(example.symbols), example.fails) if example else (0, False)
    own = f"the network itself is {'wrong' if fails else 'right'} there"
    said = f"snapped to one of {table.size} elements, wrong on a string of {length} symbols; {own}"
    return Claim("wrong", f"{said}; {found.number('astray')} products do not answer as their strings should")


def _by_bounds(found: Finding) -> Claim:
    """Conclude about a unit with rounded rows, or as it is."""
    example, margins, length, rounded = found.counterexample, found.margins, found.length, found.method == "rounded"
    described = "" if example is None else f"a string of {len(example.symbols):,} symbols: it answers"
    if example is not None and length is None:
        given = example.answer if rounded else example.given
        if given != example.truth and (rounded or example.fails):
            return Claim("wrong", f"wrong on {described} {given}, the task {example.truth}")
        if "leak" not in margins:
            said = f"not proved: rounded, the unit is wrong on {described} {example.answer}, the task {example.truth}"
            return Claim("not_proved", f"{said}; the network itself answers {example.given}")
    if found.table is not None:
        return _by_cells(found)
    margin, gap, leak = (margins.get(name, 0.0) for name in ("margin", "row_gap", "leak"))
    if margin <= margins.get("readout_error", 0.0):
        said = f"the logits of two classes lie within the error of float32 ({margin:.1e})"
        return Claim("not_proved", f"not proved: {said}")
    if "row_error" in margins:
        said = f"a visited row has two largest logits within the error of float32 ({gap:.1e})"
        return Claim("not_proved", f"not proved: {said}")
    if "exact_length" not in margins and margins.get("leak") == 0.0:
        what = "with its rows rounded the unit is" if rounded else "the unit is"
        said = f"{what} the minimal automaton of the task, {found.task.states} states"
        return Claim("every_length", f"right at every length: {said}")
    if length is None:
        return Claim("not_proved", "not proved: its rows leak too much; rounded, it is right at every length")
    more = "or more " if length >= LONGEST - 1 else ""
    said = f"right up to length {length:,} {more}as it is: a row leaks up to {leak:.1e}"
    return Claim("up_to_length", f"{said}; rounded, it is right at every length{_beyond(example)}")


def _by_cells(found: Finding) -> Claim:
    """Conclude about a network with another operator, whose bounds on cells of its values closed for no trained unit.

    Certificates of version 2 and before are of this kind; none is made any more.
    """
    levels = found.number("levels")
    said = f"the bound does not close: cells grow beyond where the answer is certain after {levels} levels"
    if not found.length:
        return Claim("not_proved", f"not proved: {said}")
    read = f"right on every string of at most {found.length} symbols, all of which were read"
    return Claim("up_to_length", f"{read}; {said}{_beyond(found.counterexample)}")


def _beyond(example: Counterexample | None) -> str:
    """Return what is said of a network that is right up to a length and wrong on a string that is longer."""
    if example is None or not example.fails:
        return ""
    length = len(example.symbols)
    return f"; the network answers {example.model_answer} on a string of {length:,} symbols, the task {example.truth}"
