"""Certificates in a report: a row a run, and the automata that were proved."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from lengthwise.certificates.attachment import Certified, certificate_row
from lengthwise.certificates.automaton_drawing import WIDTH, AutomatonPanel, can_be_drawn
from lengthwise.certificates.certificate import Certificate
from lengthwise.certificates.verification import PROVED
from lengthwise.report.parts import REASONS, Cell, Drawn, Figure, Section, TableText
from lengthwise.report.results import Results, title
from lengthwise.report.words import NONE
from lengthwise.runs.table import Run
from lengthwise.tasks import LANGUAGES
from lengthwise.tasks.regular.writing import write_symbols

_COLUMNS = (
    *("recipe", "operator", "seed", "verdict", "training strings", "extracted states", "minimal states"),
    *("elements", "margin", "N", "counterexample", "certified in"),
)
_ABOUT = {
    "raw": "the network as it is",
    "rounded": "the network with rounded rows",
    "snapped": "the network with snapped nodes",
    "black_box": "its answers only, never a proof",
}
_NOTE = (
    "What was proved of each run, on all strings of the task. Below the verdict stands what it is about, below the "
    "training strings the length to which they went and the time they took. Black boxes are asked about strings, which "
    "can show that a model is wrong, but is never a proof."
)
_FOOTNOTE = (
    "Elements are those of the transition monoid or of the algebra; the margin is the least distance between the "
    "logit of the right class and the next; N is the length up to which a proof goes. The documentation of "
    "certificates derives them. States of a counterexample are those of the extracted automaton, the first before any "
    "symbol; x^n is x n times. Every row: "
)
_DRAWN = "Circles: states, with the class of strings that end there; dashed: none. Arrow from outside: start."
_MOST_SYMBOLS = 16


class Certificates(Section):
    """The table of certificates, and the automata of those that are proofs."""

    def applies(self, results: Results) -> bool:
        """Whether a run has a certificate."""
        return bool(_certified(results))

    def draw(self, results: Results) -> Drawn:
        """Return the table, and a figure where something was proved that can be drawn."""
        figure = automata_figure(results)
        return Drawn([certificate_rows(results), *([figure] if figure else [])])


def certificate_rows(results: Results) -> TableText:
    """Return the table of certificates.

    Args:
        results: runs of which one or more have a certificate.
    """
    found = _certified(results)
    named = {f"{run.head.recipe}, seed {run.head.seed}": one.certificate for run, one in found}
    examples = {name: certificate.counterexample for name, certificate in named.items()}
    return TableText(
        name=f"{results.prefix}certificates",
        heading="Certificates",
        note=_NOTE,
        columns=_COLUMNS,
        rows=[_row(run, one) for run, one in found],
        footnote=_FOOTNOTE,
        file=f"{results.prefix}certificates.csv",
        data=pl.DataFrame([certificate_row(one) for _, one in found], infer_schema_length=None),
        folds={
            REASONS: {name: [f"{certificate.statement}."] for name, certificate in named.items()},
            "Counterexamples": {name: example.in_words() for name, example in examples.items() if example},
        },
    )


def automata_figure(results: Results) -> Figure | None:
    """Return the minimal automaton of each task that a run was proved on; None where there is none to be drawn.

    Args:
        results: the runs.
    """
    proved: dict[str, list[Certificate]] = {}
    for run, one in _certified(results):
        if one.certificate.verdict in PROVED and one.certificate.minimal:
            proved.setdefault(run.head.trained_on, []).append(one.certificate)
    automata = {task: found[0].minimal.automaton() for task, found in proved.items() if found[0].minimal}
    drawn = {task: automaton for task, automaton in automata.items() if can_be_drawn(automaton)}
    if not drawn:
        return None
    classes = max(automaton.classes for automaton in drawn.values())
    large = [f"{title(task)} ({automata[task].states} states)" for task in automata if task not in drawn]
    return Figure(
        name=f"{results.prefix}automata",
        heading="Proved automata",
        note=_DRAWN,
        caption=_caption(proved) + (f" Too many states or arrows to be drawn: {', '.join(large)}." if large else ""),
        drawings=[AutomatonPanel(title(task), automaton, classes) for task, automaton in drawn.items()],
        width=WIDTH,
    )


def verdict_in_words(certificate: Certificate) -> str:
    """Return what a certificate claims."""
    if certificate.verdict == "up_to_length":
        return f"right up to length {certificate.length:,}"
    return {"every_length": "right at every length", "wrong": "wrong", "not_proved": "not proved"}[certificate.verdict]


def _certified(results: Results) -> list[tuple[Run, Certified]]:
    """Return the runs that have a certificate, by task, family and seed."""
    found = [(run, run.attachments["certificate"]) for run in results.runs if "certificate" in run.attachments]
    family: dict[str, str] = dict(results.called.select("digest", "family").iter_rows())
    order = [*LANGUAGES, *(run.head.trained_on for run, _ in found)]

    def place(pair: tuple[Run, Certified]) -> tuple[int, str, int]:
        head = pair[0].head
        return order.index(head.trained_on), family[head.digest], head.seed

    return sorted(found, key=place)


def _caption(proved: dict[str, list[Certificate]]) -> str:
    """Say what was proved of the runs whose automata are shown."""
    certificates = [certificate for found in proved.values() for certificate in found]
    endless = sum(certificate.verdict == "every_length" for certificate in certificates)
    runs, tasks = _count(len(certificates), "run"), _count(len(proved), "task")
    said = f"{runs} on {tasks} proved to be the minimal automaton of the task"
    if endless == len(certificates):
        return f"{said}, at every length."
    return f"{said}: {endless} at every length, {len(certificates) - endless} up to one."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _row(run: Run, one: Certified) -> Sequence[Cell]:
    certificate, training = one.certificate, one.certificate.training
    proved = certificate.verdict == "every_length"
    margin = certificate.margins.get("margin")
    return (
        Cell(run.head.recipe, title(run.head.trained_on)),
        Cell(certificate.operator),
        Cell(str(run.head.seed)),
        Cell(verdict_in_words(certificate), _ABOUT[certificate.method], "good" if proved else ""),
        Cell(f"{training.sequences:,}", f"to {training.longest:,}, {training.seconds:,.0f} s"),
        *(
            _number(count)
            for count in (one.states, certificate.minimal and len(certificate.minimal.outputs), certificate.monoid)
        ),
        Cell(NONE if margin is None else f"{margin:.3g}"),
        Cell("\N{INFINITY}" if proved else NONE if certificate.length is None else f"{certificate.length:,}"),
        _counterexample(certificate),
        Cell(f"{certificate.seconds:,.2f} s"),
    )


def _number(count: int | None) -> Cell:
    return Cell(NONE if count is None else f"{count:,}")


def _counterexample(certificate: Certificate) -> Cell:
    example = certificate.counterexample
    if example is None:
        return Cell(NONE)
    symbols = example.symbols
    written = write_symbols(symbols) if len(symbols) <= _MOST_SYMBOLS else f"{len(symbols):,} symbols"
    return Cell(written, f"answer {example.given}, truth {example.truth}")
