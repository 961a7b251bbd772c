"""The commands ``lengthwise certify`` and ``lengthwise export``."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lengthwise.cli.arguments import RUN_FOLDERS
from lengthwise.cli.progress import print_table, say
from lengthwise.errors import InputError

if TYPE_CHECKING:
    from lengthwise.certificates.certificate import Certificate

_FORMATS = {"N": ",", "margin": ".3g", "leak": ".1e", "seconds": ".2f"}
_COLUMNS = ("task", "seed", "operator", "verdict", "method", "N", "states", "monoid", "margin", "leak", "seconds")
_PARTS = 60
"""Of a counterexample, at most: symbols and counted repetitions."""


def certify(
    run: Annotated[list[Path] | None, RUN_FOLDERS] = None,
    method: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="raw, rounded, snapped, pushdown or black_box; what says most by default."),
    ] = None,
    states: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Largest number of states of an extracted automaton.")
    ] = None,
    elements: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Largest number of elements of an extracted algebra.")
    ] = None,
    arguments: Annotated[
        int | None,
        typer.Option(min=2, max=1000, metavar="N", help="Most arguments that are proved, where a task needs a bound."),
    ] = None,
    snapped_ok: Annotated[
        bool, typer.Option("--snapped-ok", help="Count units that were proved with their nodes snapped as proved.")
    ] = False,
    verify: Annotated[
        Path | None,
        typer.Option(
            "--verify", metavar="PATH", help="Check a certificate again instead, or all in a folder of runs or results."
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--run", metavar="RUN", help="The run that PATH is about; its own folder by default.")
    ] = None,
) -> None:
    """Prove what trained runs answer at every length, or find the shortest string on which they are wrong.

    Ends with 0 when every run was proved right, at every length or up to one, and with 1 otherwise: also where the
    proof is about a unit whose nodes are snapped, and not about the network itself, unless --snapped-ok is given.
    """
    if verify is not None:
        if run or method or states or elements or arguments or snapped_ok:
            raise InputError("--verify checks a file as it is: it takes neither runs nor --method, nor limits")
        _verify(verify, weights)
        return
    if not run or weights is not None:
        raise InputError("certify needs a run folder, or --verify PATH, which --run goes with")
    from lengthwise.certificates.limits import ELEMENTS, Limits
    from lengthwise.certificates.of_run import certify_run
    from lengthwise.runs.folder import open_runs

    certificates: list[Certificate] = []
    for folder in open_runs(run):
        certificates.append(certify_run(folder.path, method, Limits(states, elements or ELEMENTS, arguments)))
        say(f"{folder.path}: {certificates[-1].statement}")
        _say_counterexample(certificates[-1])
    print_table(_COLUMNS, [_row(certificate) for certificate in certificates])
    enough = {"every_length", "up_to_length", *(["every_length_snapped"] if snapped_ok else [])}
    if any(certificate.verdict not in enough for certificate in certificates):
        raise typer.Exit(1)


def _verify(path: Path, run: Path | None) -> None:
    """Check certificates again, and say of each whether it holds and what could not be checked."""
    from lengthwise.certificates.verification import verify_all

    found, unchecked = Counter[str](), Counter[str]()
    for name, one in verify_all(path, run, anew=True):
        if isinstance(one, InputError):
            found["refused"] += 1
            sys.stderr.write(f"{one}\n")
            continue
        how = "holds" if one.certificate.has_proof() else "kept without its proof"
        found[how] += 1
        say(f"{name}: {how}\n{one.certificate.task}: {one.certificate.verdict}, {one.certificate.statement}")
        _say_counterexample(one.certificate)
        unchecked.update(one.unchecked)
    for what, count in unchecked.items():
        say(f"not checked{f', of {count}' if found.total() > 1 else ''}: {what}")
    if found.total() > 1:
        say("; ".join(f"{how}: {count}" for how, count in found.items()))
    if found.total() != found["holds"]:
        raise typer.Exit(InputError.exit_code if found["refused"] else 1)


def export(
    run: Annotated[Path, typer.Argument(help="A certified run folder, or a certificate.", show_default=False)],
    format_: Annotated[Literal["regex", "dot", "json"], typer.Option("--format")] = "dot",
    label: Annotated[int, typer.Option("--class", min=0, help="The class whose strings regex and json describe.")] = 1,
) -> None:
    """Write the automaton of a certificate as a regular expression, for Graphviz, or for automata-lib.

    It is the minimal automaton that was proved right, or the one that was read off the model where none was. A
    certificate that does not hold, such as one of other weights than those beside it, is refused.
    """
    from lengthwise.certificates.certificate import FILE_NAME
    from lengthwise.certificates.export import to_dot, to_json, to_regex
    from lengthwise.certificates.finding import PROVED
    from lengthwise.certificates.verification import verify_certificate

    path = run / FILE_NAME if run.is_dir() else run
    if not path.exists():
        raise InputError(f"there is no certificate {path}; 'lengthwise certify {run}' makes one")
    certificate = verify_certificate(path).certificate
    proved = certificate.verdict in PROVED
    automaton = certificate.task_automaton if proved else certificate.finding().automaton
    if automaton is None:
        raise InputError(f"{path} holds no automaton: {certificate.statement}")
    if format_ == "dot":
        say(to_dot(automaton, certificate.task))
    else:
        say((to_regex if format_ == "regex" else to_json)(automaton, label))


def _say_counterexample(certificate: Certificate) -> None:
    example = certificate.counterexample
    for line in example.in_words(most=_PARTS) if example else ():
        say(f"  {line}")


def _row(certificate: Certificate) -> list[str]:
    from lengthwise.certificates.attachment import certificate_row

    row = certificate_row(certificate)
    own = {"N": row["length"], "states": row["minimal_states"] or row["states"], "monoid": row["elements"]}
    found = [(name, (row | own)[name]) for name in _COLUMNS]
    written = {name: "-" if value is None else format(value, _FORMATS.get(name, "")) for name, value in found}
    return [*(written | ({"N": "every"} if certificate.verdict.startswith("every_length") else {})).values()]
