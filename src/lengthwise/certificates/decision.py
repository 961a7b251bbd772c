"""Conclusions from what was found.

Checking a certificate draws the same conclusions again, so that nothing here needs torch.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from lengthwise.certificates.certificate import Finding, Verdict
from lengthwise.certificates.equivalence import Counterexample, compare
from lengthwise.certificates.table import MultiplicationTable
from lengthwise.certificates.trees import trees_are_right
from lengthwise.tasks.regular.automaton import Automaton

NETWORK = "the network answers"
"""Begins what is said of the answer to a counterexample."""


class Decision(NamedTuple):
    """What a multiplication table decides about the unit that computes exactly it."""

    verdict: Literal["every_length", "wrong"]
    statement: str
    """The verdict in words; without the string where trees are wrong."""
    trees: bool
    """Whether balanced trees are right."""


def decide(table: MultiplicationTable, task: Automaton) -> Decision:
    """Decide whether a unit that computes a table is right at every length."""
    size = f"{table.size} elements"
    if table.homomorphism(task) is not None:
        which = "associative" if table.violation() is None else "not associative"
        said = f"right at every length and in all brackets, each node snapped to one of {size}; the table is {which}"
        return Decision("every_length", said, True)
    if not trees_are_right(table, task):
        return Decision("wrong", f"snapped to one of {size}, wrong", False)
    if isinstance(compare(table.automaton(), task), Counterexample):
        return Decision("wrong", f"the automaton of its {size} is not the task's", True)
    return Decision("every_length", f"right at every length in balanced trees, snapped to one of {size}", True)


def describe_failure(decision: Decision, symbols: int, fails: bool, astray: int) -> str:
    """Return the statement about a table whose balanced trees are wrong."""
    what = "the network itself is wrong there" if fails else "the network itself was right on all that were tried"
    return (
        f"{decision.statement} on a string of {symbols} symbols; {what}; "
        f"{astray} products do not answer as their strings should"
    )


def describe_cells(count: int) -> str:
    """Return the statement about a network whose cells close."""
    return f"right at every length: {count} cells are mapped into one another"


def describe_answer(example: Counterexample) -> str:
    """Return what is said of a network that was run on a counterexample and is wrong."""
    length = len(example.symbols)
    return f"{NETWORK} {example.model_answer} on a string of {length:,} symbols, the task {example.truth}"


def conclude(finding: Finding, example: Counterexample | None) -> tuple[Verdict, str]:
    """Return verdict and statement once the network itself has been asked."""
    if example is None or finding.method in ("rounded", "snapped"):
        return finding.verdict, finding.statement
    if example.model_answer == example.truth:
        if finding.verdict != "wrong":
            return finding.verdict, finding.statement
        return "not_proved", f"not proved: {finding.statement}; the network itself answers {example.model_answer}"
    if finding.verdict == "wrong":
        return finding.verdict, finding.statement
    if finding.verdict == "not_proved":
        return "wrong", f"wrong: {describe_answer(example)} ({finding.statement})"
    return finding.verdict, f"{finding.statement}; {describe_answer(example)}"
