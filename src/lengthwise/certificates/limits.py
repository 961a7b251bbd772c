"""Limits of how far a method of certification goes."""

from __future__ import annotations

from dataclasses import dataclass

ELEMENTS = 5_000
"""Of an algebra, at most, unless more are allowed."""


@dataclass(frozen=True)
class Limits:
    """How far an extraction may grow, and how much a model is asked.

    Args:
        states: the largest number of states of an automaton that is read off or learned; the method's own by default.
        elements: the largest number of elements of an algebra.
        arguments: the most arguments that are proved, where a task needs a bound; the task's own by default.
        products: so many products, at most, are read in all contexts. Where there are more, a product whose nearest
            element is the one that associativity asks for is taken for it.
        queries: the largest number of strings that a black box is asked about; what was asked once is not asked again.
        exhaustive: all strings of each length of which there are at most so many are among them.
        longest: the length of the longest random strings.
    """

    states: int | None = None
    elements: int = ELEMENTS
    arguments: int | None = None
    products: int = 10_000
    queries: int = 20_000
    exhaustive: int = 1_024
    longest: int = 200


USUAL = Limits()
"""The limits where nothing is said."""
