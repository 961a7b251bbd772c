"""The program ``lengthwise``."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lengthwise import __version__
from lengthwise.cli.certify import certify
from lengthwise.cli.check import check
from lengthwise.cli.diagnose import diagnose
from lengthwise.cli.evaluate import evaluate
from lengthwise.cli.export import export
from lengthwise.cli.keep import keep
from lengthwise.cli.label import label
from lengthwise.cli.listing import list_
from lengthwise.cli.post_train import post_train
from lengthwise.cli.report import report
from lengthwise.cli.results import results
from lengthwise.cli.sample import sample
from lengthwise.cli.show import show
from lengthwise.cli.sweep import sweep
from lengthwise.cli.train import train
from lengthwise.errors import LengthwiseError


class Commands(TyperGroup):
    """A group of commands whose errors are read by people: a line instead of a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except LengthwiseError as error:
            sys.stderr.write(f"error: {error}\n")
            raise typer.Exit(error.exit_code) from error


app = typer.Typer(
    cls=Commands,
    help="Train short, run long: length generalisation for sequence models.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
for name, command in {
    "train": train,
    "sweep": sweep,
    "evaluate": evaluate,
    "certify": certify,
    "export": export,
    "diagnose": diagnose,
    "post-train": post_train,
    "results": results,
    "report": report,
    "keep": keep,
    "list": list_,
    "show": show,
    "check": check,
    "sample": sample,
    "label": label,
}.items():
    app.command(name)(command)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"lengthwise {__version__}\n")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Train short, run long: length generalisation for sequence models."""
    del version


def main() -> None:
    """Run the program."""
    app()


if __name__ == "__main__":
    main()
