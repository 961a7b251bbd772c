"""``lengthwise export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lengthwise.cli.progress import say
from lengthwise.errors import InputError
from lengthwise.registry import nearest_name


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
    from lengthwise.experiments.verification import verify_certificate

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
