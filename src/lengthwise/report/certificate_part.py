"""What a report says of certificates: a row a run, and the automata that were proved."""

from __future__ import annotations

from collections.abc import Sequence

from lengthwise.certificates.certificate import Certificate
from lengthwise.certificates.verification import PROVED
from lengthwise.report.automata import WIDTH, AutomatonPanel, can_be_drawn
from lengthwise.report.certified import Certified
from lengthwise.report.charts import task_title
from lengthwise.report.figures import Figure
from lengthwise.report.parts import REASONS, TableText
from lengthwise.report.rows import Results, Run
from lengthwise.report.tables import Cell
from lengthwise.tasks.writing import write_symbols

FILE = "certificates.csv"
_COLUMNS = (
    *("task", "operator", "seed", "verdict", "training strings", "extracted states", "minimal states"),
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
_NONE = "\N{EN DASH}"


def certificates_of(results: Results) -> list[tuple[Run, Certified]]:
    """Return the runs that have a certificate, by task, series and seed.

    Args:
        results: the runs.
    """
    found = [(run, run.certified) for run in results.runs if run.certified]
    order = results.tasks
    return sorted(found, key=lambda pair: (order.index(pair[0].task), pair[0].family, pair[0].seed))


def certificate_rows(results: Results) -> TableText | None:
    """Return the table of certificates; None where there is none.

    Args:
        results: the runs.
    """
    found = certificates_of(results)
    if not found:
        return None
    named = {f"{run.recipe}, seed {run.seed}": one.certificate for run, one in found}
    examples = {name: certificate.counterexample for name, certificate in named.items()}
    folds = {
        REASONS: {name: [f"{certificate.statement}."] for name, certificate in named.items()},
        "Counterexamples": {name: example.in_words() for name, example in examples.items() if example},
    }
    rows = [_row(run, one) for run, one in found]
    return TableText("Certificates", _NOTE, _FOOTNOTE, _COLUMNS, rows, FILE, folds)


def automata_figure(results: Results, prefix: str) -> Figure | None:
    """Return the minimal automaton of each task that a run was proved on; None where there is none to be drawn.

    Args:
        results: the runs.
        prefix: begins the name of the figure.
    """
    proved: dict[str, list[Certificate]] = {}
    for run, one in certificates_of(results):
        if one.certificate.verdict in PROVED and one.certificate.minimal:
            proved.setdefault(run.task, []).append(one.certificate)
    automata = {task: found[0].minimal.automaton() for task, found in proved.items() if found[0].minimal}
    drawn = {task: automaton for task, automaton in automata.items() if can_be_drawn(automaton)}
    if not drawn:
        return None
    classes = max(automaton.classes for automaton in drawn.values())
    large = [f"{task_title(task)} ({automata[task].states} states)" for task in automata if task not in drawn]
    return Figure(
        name=f"{prefix}automata",
        heading="Proved automata",
        note=_DRAWN,
        caption=_caption(proved) + (f" Too many states or arrows to be drawn: {', '.join(large)}." if large else ""),
        panels=[AutomatonPanel(task_title(task), automaton, classes) for task, automaton in drawn.items()],
        width=WIDTH,
    )


def verdict_in_words(certificate: Certificate) -> str:
    """Return what a certificate claims."""
    if certificate.verdict == "up_to_length":
        return f"right up to length {certificate.length:,}"
    return {"every_length": "right at every length", "wrong": "wrong", "not_proved": "not proved"}[certificate.verdict]


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
        Cell(run.task, run.recipe),
        Cell(certificate.operator),
        Cell(str(run.seed)),
        Cell(verdict_in_words(certificate), _ABOUT[certificate.method], proved),
        Cell(f"{training.sequences:,}", f"to {training.longest:,}, {training.seconds:,.0f} s"),
        *(_number(count) for count in (one.states, one.minimal_states, certificate.monoid)),
        Cell(_NONE if margin is None else f"{margin:.3g}"),
        Cell("\N{INFINITY}" if proved else _NONE if certificate.length is None else f"{certificate.length:,}"),
        _counterexample(certificate),
        Cell(f"{certificate.seconds:,.2f} s"),
    )


def _number(count: int | None) -> Cell:
    return Cell(_NONE if count is None else f"{count:,}")


def _counterexample(certificate: Certificate) -> Cell:
    example = certificate.counterexample
    if example is None:
        return Cell(_NONE)
    symbols = example.symbols
    written = write_symbols(symbols) if len(symbols) <= _MOST_SYMBOLS else f"{len(symbols):,} symbols"
    answer = example.answer if example.model_answer is None else example.model_answer
    return Cell(written, f"answer {answer}, truth {example.truth}")
