"""Capabilities: what some tasks can do beyond sampling, asked for by the parts that need it.

Shape letters: B rows, T positions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from lengthwise.errors import InputError
from lengthwise.tasks.base import Batch, Ints, Point, Task
from lengthwise.tasks.nesting import Nesting
from lengthwise.tasks.regular.automaton import Automaton
from lengthwise.tasks.regular.language import Language

Capability = TypeVar("Capability")


@runtime_checkable
class PrefixLabels(Protocol):
    """Knows the answer after every prefix, not only where a sample asks."""

    def label_prefixes(self, batch: Batch) -> Batch:
        """Return the same inputs with a target wherever there is one."""
        ...


@runtime_checkable
class FairPrefixes(Protocol):
    """Has points whose samples can be read off the prefixes of longer ones."""

    def shares_prefixes(self, point: Point) -> bool:
        """Return whether prefixes of a sample at a longer such point are samples at this one."""
        ...


@runtime_checkable
class HasAutomaton(Protocol):
    """Is decided by a finite automaton: its substrings have labels, and models of it can be proved right."""

    @property
    def definition(self) -> Language:
        """The regular language."""
        ...

    @property
    def automaton(self) -> Automaton:
        """What decides it."""
        ...


@runtime_checkable
class HasNesting(Protocol):
    """Is told by what a pair of brackets makes of its items: models of it can be proved right at every depth."""

    def nesting(self, arguments: int | None = None) -> Nesting:
        """Return what a pair makes of its items.

        Args:
            arguments: bounds the strings where all items of a pair have to be known; the task's own bound by default.
        """
        ...


@runtime_checkable
class OfBytes(Protocol):
    """Has symbols that stand for text."""

    @property
    def symbol_bytes(self) -> float:
        """The bytes of held-out text over its symbols."""
        ...


@runtime_checkable
class HeldOut(Protocol):
    """Has long sequences to be predicted element by element, the same ones every time."""

    def held_out(self, rows: int, length: int) -> NDArray[Any] | Batch:
        """Return sequences that were not trained on, of which each element is predicted from those before it.

        Args:
            rows: R.
            length: T, the elements that are predicted of each.

        Returns:
            [R, T + 1] symbols, or [R, T + 1, F] values. Where something else is asked than what comes next: a batch
            of R rows of T inputs, with a target after every one.

        Raises:
            InputError: there are not so many, or none so long.
        """
        ...


@runtime_checkable
class HasFiller(Protocol):
    """Has stretches without anything to be remembered, such as stand around what is asked later."""

    def draw_filler(self, rng: np.random.Generator, rows: int, length: int) -> NDArray[Any]:
        """Draw stretches of training.

        Args:
            rng: the only source of randomness.
            rows: B.
            length: T.

        Returns:
            [B, T] symbols, or [B, T, F] values.
        """
        ...


@runtime_checkable
class Shortcuts(Protocol):
    """Knows guesses that are often right without its being understood."""

    def shortcuts(self) -> Mapping[str, Callable[[Ints], Ints]]:
        """Return functions from tokens [B, T] to classes [B], by their names."""
        ...


def require(task: Task, capability: type[Capability], purpose: str) -> Capability:
    """Return a task as something that has a capability.

    Args:
        task: any task.
        capability: one of this module.
        purpose: what needs it, as the error message says it.

    Raises:
        InputError: the task does not have it; the message names both.
    """
    if not isinstance(task, capability):
        what = str(capability.__doc__).partition(":")[0].partition(",")[0].rstrip(".")
        needed = what[0].lower() + what[1:]
        raise InputError(f"{purpose} needs a task that {needed}; {task.label} does not")
    return task
