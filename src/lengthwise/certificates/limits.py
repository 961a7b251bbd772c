"""Limits of how far an extraction may grow."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

BudgetT = TypeVar("BudgetT", bound="DataclassInstance")


@dataclass(frozen=True)
class Limits:
    """What a user allows in place of a method's own limits.

    Args:
        states: the largest number of states of an automaton; the method's own by default.
        elements: the largest number of elements of an algebra, where the method extracts one; its own by default.
        arguments: the most arguments that are proved, where a task needs a bound; the task's own by default.
    """

    states: int | None = None
    elements: int | None = None
    arguments: int | None = None

    def within(self, budget: BudgetT) -> BudgetT:
        """Return a budget with what is given here in place of its own."""
        own = {field.name for field in fields(budget)}
        return replace(budget, **{name: limit for name, limit in asdict(self).items() if limit and name in own})
