"""Certificates in a report: a row a run, and the automata that were proved."""

from __future__ import annotations

from collections import Counter
from operator import itemgetter

import polars as pl

from lengthwise.certificates.attachment import certificate_row
from lengthwise.certificates.automaton_drawing import WIDTH, AutomatonPanel, can_be_drawn
from lengthwise.certificates.certificate import Certificate
from lengthwise.certificates.finding import PROVED
from lengthwise.report.parts import REASONS, Cell, Drawn, Figure, Section, TableText
from lengthwise.report.results import Results, title
from lengthwise.report.words import NONE
from lengthwise.runs.table import Run
from lengthwise.tasks import LANGUAGES

_COLUMNS = (
    *("recipe", "operator", "seed", "verdict", "training strings", "extracted states", "minimal states"),
    *("elements", "margin", "N", "counterexample", "certified in"),
)
_ABOUT = {
    "raw": "the network as it is",
    "rounded": "the network with rounded rows",
    "snapped": "the network with snapped nodes",
    "pushdown": "the network with snapped nodes, nested at any depth",
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
_FORMATS = {"states": ",", "minimal_states": ",", "elements": ",", "margin": ".3g", "length": ","}


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
    named = {f"{run.head.recipe}, seed {run.head.seed}": one for run, one in found}
    return TableText(
        name=f"{results.prefix}certificates",
        heading="Certificates",
        note=_NOTE,
        columns=_COLUMNS,
        rows=[_row(run, one) for run, one in found],
        finding=_finding([one for _, one in found]),
        footnote=_FOOTNOTE,
        file=f"{results.prefix}certificates.csv",
        data=pl.DataFrame([certificate_row(one) for _, one in found], infer_schema_length=None),
        folds={
            REASONS: {name: [f"{certificate.statement}."] for name, certificate in named.items()},
            "Counterexamples": {
                name: one.counterexample.in_words() for name, one in named.items() if one.counterexample
            },
        },
    )


def automata_figure(results: Results) -> Figure | None:
    """Return the minimal automaton of each task that a run was proved on; None where there is none to be drawn.

    Args:
        results: the runs.
    """
    proved = [(run.head.trained_on, one) for run, one in _certified(results) if one.verdict in PROVED]
    automata = {task: one.task_automaton for task, one in proved if one.task_automaton is not None}
    drawn = {task: automaton for task, automaton in automata.items() if can_be_drawn(automaton)}
    if not drawn:
        return None
    classes = max(automaton.classes for automaton in drawn.values())
    large = [f"{title(task)} ({automata[task].states} states)" for task in automata if task not in drawn]
    return Figure(
        name=f"{results.prefix}automata",
        heading="Proved automata",
        note=_DRAWN,
        caption=_caption([one.verdict for _, one in proved if one.task_automaton is not None], len(automata))
        + (f" Too many states or arrows to be drawn: {', '.join(large)}." if large else ""),
        drawings=[AutomatonPanel(title(task), automaton, classes) for task, automaton in drawn.items()],
        width=WIDTH,
    )


def _finding(found: list[Certificate]) -> str:
    said = Counter(verdict_in_words(one) for one in found)
    return f"Certificates of {_count(len(found), 'run')}: {', '.join(f'{n} {words}' for words, n in said.items())}."


def verdict_in_words(certificate: Certificate) -> str:
    """Return what a certificate claims."""
    if certificate.verdict == "up_to_length":
        return f"right up to length {certificate.length:,}"
    every = {"every_length": "right at every length", "every_length_snapped": "right at every length, snapped"}
    return every.get(certificate.verdict, certificate.verdict.replace("_", " "))


def _certified(results: Results) -> list[tuple[Run, Certificate]]:
    """Return the runs that have a certificate, by task, family and seed."""
    found = [(run, run.attachments["certificate"]) for run in results.runs if "certificate" in run.attachments]
    family: dict[str, str] = dict(results.called.select("digest", "family").iter_rows())
    order = [*LANGUAGES, *(run.head.trained_on for run, _ in found)]
    heads = [run.head for run, _ in found]
    places = [(order.index(head.trained_on), family[head.digest], head.seed) for head in heads]
    return [pair for _, pair in sorted(zip(places, found, strict=True), key=itemgetter(0))]


def _caption(verdicts: list[str], tasks: int) -> str:
    """Say what was proved of the runs whose automata are shown."""
    runs, endless = len(verdicts), len(verdicts) - verdicts.count("up_to_length")
    said = f"{_count(runs, 'run')} on {_count(tasks, 'task')} proved to be the minimal automaton of the task"
    if endless == runs:
        return f"{said}, at every length."
    return f"{said}: {endless} at every length, {runs - endless} up to one."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _row(run: Run, certificate: Certificate) -> list[Cell]:
    training, row = certificate.training, certificate_row(certificate)
    endless, example = certificate.verdict.startswith("every_length"), certificate.counterexample
    good, about = certificate.verdict == "every_length", _ABOUT[certificate.method]
    if not certificate.has_proof():
        good, about = False, f"{about}; a claim whose proof was not kept"
    shown = {name: NONE if row[name] is None else format(row[name], form) for name, form in _FORMATS.items()}
    wrong = Cell(NONE)
    if example is not None:
        length = len(example.symbols)
        written = str(row["counterexample"]) if length <= _MOST_SYMBOLS else f"{length:,} symbols"
        wrong = Cell(written, f"answer {example.given}, truth {example.truth}")
    return [
        Cell(run.head.recipe, title(run.head.trained_on)),
        Cell(certificate.operator),
        Cell(str(run.head.seed)),
        Cell(verdict_in_words(certificate), about, "good" if good else ""),
        Cell(f"{training.sequences:,}", f"to {training.longest:,}, {training.seconds:,.0f} s"),
        *(Cell(shown[name]) for name in ("states", "minimal_states", "elements", "margin")),
        Cell("\N{INFINITY}" if endless else shown["length"]),
        wrong,
        Cell(f"{certificate.seconds:,.2f} s"),
    ]
