"""The commands ``lengthwise certify`` and ``lengthwise export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lengthwise.cli.arguments import RUN_FOLDERS
from lengthwise.cli.progress import print_table, say
from lengthwise.errors import InputError
from lengthwise.registry import nearest_name

if TYPE_CHECKING:
    from lengthwise.certificates.certificate import Certificate

_COLUMNS = ("task", "seed", "operator", "verdict", "method", "N", "states", "monoid", "margin", "leak", "seconds")
_FORMATS = (
    *(("task", ""), ("seed", ""), ("operator", ""), ("verdict", ""), ("method", ""), ("length", ",")),
    *(("states", ""), ("elements", ""), ("margin", ".3g"), ("leak", ".1e"), ("seconds", ".2f")),
)
"""Columns of the table for readers, and how they are written here."""
_PARTS = 60
"""Of a counterexample, at most: symbols and counted repetitions."""


def certify(
    run: Annotated[list[Path] | None, RUN_FOLDERS] = None,
    method: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="raw, rounded, snapped or black_box; what says most by default."),
    ] = None,
    states: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Largest number of states of an extracted automaton.")
    ] = None,
    elements: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Largest number of elements of an extracted algebra.")
    ] = None,
    verify: Annotated[
        Path | None, typer.Option("--verify", metavar="FILE", help="Check a certificate again instead.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--run", metavar="RUN", help="The run that FILE is about; its own folder by default.")
    ] = None,
) -> None:
    """Prove what trained runs answer at every length, or find the shortest string on which they are wrong.

    Ends with 0 when every run was proved right, at every length or up to one, and with 1 otherwise.
    """
    if verify is not None:
        if run or method or states or elements:
            raise InputError("--verify checks a file as it is: it takes neither runs nor --method, nor limits")
        from lengthwise.certificates.verify_run import verify_certificate

        certificate, found = verify_certificate(verify, weights)
        of = "the weights are those it is about" if found else "there are no weights beside it to check"
        say(f"{verify}: holds; {of}\n{certificate.task}: {certificate.statement}")
        _say_counterexample(certificate)
        return
    if not run or weights is not None:
        raise InputError("certify needs a run folder, or --verify FILE, which --run goes with")
    from lengthwise.certificates.limits import Limits
    from lengthwise.certificates.of_run import certify_run
    from lengthwise.runs.folder import open_runs

    certificates: list[Certificate] = []
    for folder in open_runs(run):
        certificates.append(certify_run(folder.path, method, Limits(states, elements)))
        say(f"{folder.path}: {certificates[-1].statement}")
        _say_counterexample(certificates[-1])
    print_table(_COLUMNS, [_row(certificate) for certificate in certificates])
    if any(certificate.verdict in ("wrong", "not_proved") for certificate in certificates):
        raise typer.Exit(1)


def export(
    run: Annotated[Path, typer.Argument(help="A certified run folder, or a certificate.", show_default=False)],
    format_: Annotated[str, typer.Option("--format", metavar="NAME", help="regex, dot or json.")] = "dot",
    label: Annotated[int, typer.Option("--class", min=0, help="The class whose strings regex and json describe.")] = 1,
) -> None:
    """Write the automaton of a certificate as a regular expression, for Graphviz, or for automata-lib.

    It is the minimal automaton that was proved right, or the one that was read off the model where none was. A
    certificate that does not hold, such as one of other weights than those beside it, is refused.
    """
    from lengthwise.certificates.certificate import FILE_NAME
    from lengthwise.certificates.export import FORMATS, to_dot, to_json, to_regex
    from lengthwise.certificates.verify_run import verify_certificate

    if format_ not in FORMATS:
        raise InputError(f"unknown format {format_!r}; {nearest_name(format_, list(FORMATS))}")
    path = run / FILE_NAME if run.is_dir() else run
    if not path.exists():
        raise InputError(f"there is no certificate {path}; 'lengthwise certify {run}' makes one")
    certificate, _ = verify_certificate(path)
    table = certificate.minimal or certificate.extracted
    if table is None:
        raise InputError(f"{path} holds no automaton: {certificate.statement}")
    automaton = table.automaton()
    if format_ == "dot":
        say(to_dot(automaton, certificate.task))
    else:
        say((to_regex if format_ == "regex" else to_json)(automaton, label))


def _say_counterexample(certificate: Certificate) -> None:
    example = certificate.counterexample
    for line in example.in_words(most=_PARTS) if example else ():
        say(f"  {line}")


def _row(certificate: Certificate) -> list[str]:
    from lengthwise.certificates.attachment import Certified, certificate_row

    automaton = certificate.minimal or certificate.extracted
    row = certificate_row(Certified(certificate, automaton and len(automaton.outputs)))
    written = {name: "-" if row[name] is None else format(row[name], form) for name, form in _FORMATS}
    endless = {"length": "every"} if certificate.verdict == "every_length" else {}
    return [*(written | endless).values()]
