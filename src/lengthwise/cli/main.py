"""The program ``lengthwise``."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lengthwise import __version__
from lengthwise.certificates.commands import certify, export
from lengthwise.cli.check import check
from lengthwise.cli.diagnose import diagnose
from lengthwise.cli.evaluate import evaluate
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
from lengthwise.errors import LengthwiseError, RunError


class Commands(TyperGroup):
    """A group of commands whose errors are read by people: a line instead of a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            result = super().invoke(ctx)
            # Here, and not at exit, where a full disk can no longer be told in a line.
            sys.stdout.flush()
        except LengthwiseError as error:
            sys.stderr.write(f"error: {error}\n")
            raise typer.Exit(error.exit_code) from error
        except BrokenPipeError:
            # Whoever read the output wants no more of it; that is no error to tell.
            raise
        except OSError as error:
            # Writing tells no name; the commands say themselves which of their files they could not write.
            if error.filename is None:
                _drop_output()
            what = "write the output" if error.filename is None else f"use {error.filename}"
            sys.stderr.write(f"error: cannot {what}: {error.strerror or error}\n")
            raise typer.Exit(RunError.exit_code) from error
        return result


def _drop_output() -> None:
    """Send to nowhere what could not be written, so that the interpreter does not try again at exit."""
    with contextlib.suppress(OSError), Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


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
