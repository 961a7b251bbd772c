"""Proofs beyond regular languages: all strings of a bracketed task at once, at every depth and every length.

A nested unit whose values snap to a finite algebra is a visibly pushdown automaton. What it can meet in strings of any
depth are pairs of its value and the task's: of an item, of a pair that is still open, of the outermost items. Of these
there are finitely many, and each follows from others by one join, so that they are found like the consequences of a
grammar's rules, those with the shortest strings first (Knuth 1977). Nothing here needs torch.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Field, ValidationError

from lengthwise.certificates.finding import Claim, Claiming
from lengthwise.certificates.product import PAIRS, Counterexample
from lengthwise.certificates.table import FREE, MultiplicationTable
from lengthwise.errors import InputError
from lengthwise.settings import Recorded
from lengthwise.tasks import TASKS
from lengthwise.tasks.base import IGNORE, Task
from lengthwise.tasks.capabilities import HasNesting, require
from lengthwise.tasks.nesting import Nesting, Value
from lengthwise.tasks.regular.automaton import Word

Kind = Literal["item", "closing", "inside", "outside", "unclosed", "whole"]
"""What a piece of a string is: an item of a level, a closing symbol, an open pair so far, the outermost items so far,
a pair that is never closed with all that follows, or a whole string."""
JOINS = 40
"""Joins of an element, on average, that are looked at: elements that are of many of the task's values have more."""
Join = Callable[[Sequence[tuple[int, int]]], Sequence[int]]
"""The elements that pairs of elements are joined to."""

_JOINED: dict[tuple[Kind, Kind], Kind] = {
    ("inside", "item"): "inside",
    ("inside", "closing"): "item",
    ("outside", "item"): "outside",
}
_BEGINS: dict[Kind, Kind] = {"item": "outside", "outside": "whole"}
_JOINED_UNMATCHED: dict[tuple[Kind, Kind], Kind] = {
    ("outside", "closing"): "outside",
    ("inside", "unclosed"): "unclosed",
    ("outside", "unclosed"): "whole",
}
_BEGINS_UNMATCHED: dict[Kind, Kind] = {"closing": "outside", "inside": "unclosed", "unclosed": "whole"}


class NestedTask(Recorded):
    """A bracketed task as a certificate names it."""

    settings: dict[str, Any]
    """Of the task, its name among them."""
    arguments: Annotated[int, Field(ge=1, le=1000)] | None = None
    """What bounds its strings, where something has to; see `HasNesting`."""

    @cached_property
    def task(self) -> Task:
        """The task of these settings."""
        found = TASKS.load(str(self.settings.get("name")))
        try:
            return found.model_validate(self.settings)
        except ValidationError as error:
            raise InputError(f"it is about no task: {error.errors()[0]['msg']}") from error

    @cached_property
    def nesting(self) -> Nesting:
        """What it makes of the items of a pair."""
        return require(self.task, HasNesting, "a certificate of a nested unit").nesting(self.arguments)


class Piece(NamedTuple):
    """What some piece of a string comes to."""

    word: Word
    """The shortest, first in the order of the alphabet."""
    element: int
    """The unit's value."""
    value: Value
    """The task's."""


class _Waiting(NamedTuple):
    """A piece in the order of its string, which with its kind decides all else."""

    length: int
    word: Word
    kind: Kind
    piece: Piece


def whole_strings(nesting: Nesting, leaves: Sequence[int], join: Join) -> Iterator[Piece]:
    """Yield what whole strings come to, each pair of an element and a value once, in the order of their strings.

    Args:
        nesting: the task.
        leaves: the element of each symbol.
        join: the elements of joins; asked only about those of which the task has strings.

    Raises:
        InputError: there are more pairs than can be gone through, or a leaf or join is `FREE`.
    """
    rules, begins = dict(_JOINED), dict(_BEGINS)
    if not nesting.matched:
        rules, begins = rules | _JOINED_UNMATCHED, begins | _BEGINS_UNMATCHED
    waiting, known, met = list[_Waiting](), dict[Kind, list[Piece]](), set[tuple[Kind, int, Value]]()

    def meet(kind: Kind, piece: Piece) -> None:
        if piece.element == FREE:
            raise InputError(f"the string {[*piece.word]} has a piece of which there is no value")
        if (kind, piece.element, piece.value) not in met:
            heapq.heappush(waiting, _Waiting(len(piece.word), piece.word, kind, piece))

    for symbol, element in enumerate(leaves):
        if (value := nesting.leaf(symbol)) is not None:
            begun: Kind = "inside" if symbol in nesting.opening else "item"
            meet("closing" if symbol in nesting.closing else begun, Piece((symbol,), element, value))
    while waiting:
        _, _, kind, own = heapq.heappop(waiting)
        if (kind, own.element, own.value) in met:
            continue
        met.add((kind, own.element, own.value))
        if len(met) > PAIRS:
            raise InputError(f"more than {PAIRS:,} pairs of a value of the unit and one of the task")
        known.setdefault(kind, []).append(own)
        if kind == "whole":
            yield own
        if kind in begins:
            meet(begins[kind], own)
        meeting: list[tuple[Piece, Piece, Kind, Value]] = [
            (one, other, after, value)
            for (left, right), after in rules.items()
            if kind in (left, right)
            for one in ([own] if left == kind else known.get(left, []))
            for other in ([own] if right == kind else known.get(right, []))
            if (value := nesting.join(one.value, other.value)) is not None
        ]
        elements = join([(one.element, other.element) for one, other, *_ in meeting])
        for (one, other, after, value), element in zip(meeting, elements, strict=True):
            meet(after, Piece(one.word + other.word, element, value))


@dataclass(frozen=True, eq=False)
class NestedFinding(Claiming):
    """The evidence about a nested unit; with its provenance it becomes a `Certificate`.

    Args:
        nested: the task.
        table: how the elements of the unit's values are joined; None where there were too many.
        margins: the numbers beside it; the documentation defines each.
        counterexample: a string on which the unit is wrong when it is snapped.
    """

    nested: NestedTask
    table: MultiplicationTable | None
    margins: Mapping[str, float] = field(default_factory=dict[str, float])
    counterexample: Counterexample | None = None

    method: ClassVar[Literal["pushdown"]] = "pushdown"
    # What only findings about regular languages have.
    task: ClassVar[None] = None
    extracted: ClassVar[None] = None
    automaton: ClassVar[None] = None
    length: ClassVar[None] = None

    def elements(self) -> int | None:
        """Return how many elements the table has."""
        return self.table and self.table.size

    def join(self, pairs: Sequence[tuple[int, int]]) -> list[int]:
        """Return the elements that pairs of elements are joined to; `FREE` where the table does not say."""
        return [] if self.table is None else [int(self.table.products_EE[pair]) for pair in pairs]

    def answer_to(self, word: Sequence[int]) -> int:
        """Return the class that the snapped unit gives a string; `IGNORE` where the table does not say."""
        if (table := self.table) is None:
            return IGNORE

        def leaf(symbol: int) -> int | None:
            return _known(table.leaves_V[symbol])

        def join(left: int, right: int) -> int | None:
            return _known(table.products_EE[left, right])

        def answer(element: int) -> int:
            return int(table.classes_E[element])

        return replace(self.nested.nesting, leaf=leaf, join=join, answer=answer).label(word)

    @cached_property
    def errors(self) -> list[Counterexample]:
        """The shortest string of each kind of string on which the snapped unit is wrong, the shortest first.

        Raises:
            InputError: there is no table, it lacks what some string needs, or no string has a class.
        """
        table, nesting = self.table, self.nested.nesting
        if table is None or len(table.leaves_V) != nesting.symbols:
            raise InputError(f"a proof needs a multiplication table with {nesting.symbols} leaves, and there is none")
        wrong, counted = list[Counterexample](), 0
        for word, element, value in whole_strings(nesting, table.leaves_V.tolist(), self.join):
            truth, answer = nesting.answer(value), int(table.classes_E[element])
            counted += truth != IGNORE
            if truth not in (IGNORE, answer):
                wrong.append(Counterexample(symbols=list(word), answer=answer, truth=truth))
        if not counted:
            raise InputError("no string of the task has a class, so that nothing can be right or wrong")
        return wrong

    @cached_property
    def claim(self) -> Claim:
        """What follows from the evidence."""
        if self.table is None:
            most = int(self.margins.get("values", 0))
            return Claim(
                "not_proved", f"not proved: its values do not close within {most:,} values and {most * JOINS:,} joins"
            )
        told = "" if "radius" in self.margins else ", told apart by the task"
        snapped, within = f"snapped to one of {self.table.size} elements{told}", self.nested.nesting.within
        if not self.errors:
            said = f"right at every depth and every length{f', of {within}' if within else ''}"
            return Claim("every_length_snapped", f"{said}, each node {snapped}")
        example = self.counterexample or self.errors[0]
        own = f"the network itself is {'wrong' if example.fails else 'right'} there"
        return Claim("wrong", f"{snapped}, wrong on a string of {len(example.symbols)} symbols; {own}")

    def problems(self) -> Iterator[str]:
        """Check that the evidence fits together; yield what does not."""
        table, example, symbols = self.table, self.counterexample, self.nested.nesting.symbols
        if example is None:
            if table is not None and self.errors:
                yield f"its table is wrong on the string {self.errors[0].symbols}, and it shows no counterexample"
            return
        if table is None or not self.errors:
            yield "it shows a counterexample, and its table has none"
            return
        if wrong := [symbol for symbol in example.symbols if not 0 <= symbol < symbols]:
            yield f"its counterexample has the symbol {wrong[0]}, the task those from 0 to {symbols - 1}"
            return
        truth, answer = self.nested.nesting.label(example.symbols), self.answer_to(example.symbols)
        if truth != example.truth or truth == IGNORE:
            yield f"the task gives its counterexample the class {truth}, not {example.truth}"
        if answer != example.answer or answer == truth:
            yield f"its table gives its counterexample the class {answer}, not {example.answer}"
        if example.model_answer is None:
            yield "the network was not run on its counterexample"
        if example.states:
            yield "its counterexample has states of an automaton, and there is none"


def _known(element: int) -> int | None:
    return None if element == FREE else int(element)
