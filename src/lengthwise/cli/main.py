"""The program ``lengthwise``."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lengthwise import __version__
from lengthwise.errors import LengthwiseError, RunError, StoppedError, shortage
from lengthwise.extras import missing_extra
from lengthwise.registry import BrokenPluginWarning, Registry, failed_plugin

COMMANDS: Registry = Registry(
    "command",
    {
        "train": "lengthwise.cli.train:train",
        "sweep": "lengthwise.cli.sweep:sweep",
        "evaluate": "lengthwise.cli.evaluate:evaluate",
        "certify": "lengthwise.certificates.commands:certify",
        "export": "lengthwise.certificates.commands:export",
        "diagnose": "lengthwise.cli.diagnose:diagnose",
        "compare-starts": "lengthwise.cli.compare_starts:compare_starts",
        "post-train": "lengthwise.cli.post_train:post_train",
        "generate": "lengthwise.cli.generate:generate",
        "results": "lengthwise.cli.results:results",
        "report": "lengthwise.cli.report:report",
        "keep": "lengthwise.cli.keep:keep",
        "list": "lengthwise.cli.listing:list_",
        "show": "lengthwise.cli.show:show",
        "check": "lengthwise.cli.check:check",
        "sample": "lengthwise.cli.sample:sample",
        "label": "lengthwise.cli.label:label",
    },
)


_WRONG_CALL: type[Exception] = typer.BadParameter.__bases__[0]
"""What Typer raises of a call that it cannot read, whether it brings a copy of click or takes the installed one."""


class Commands(TyperGroup):
    """The registered commands, imported when they are asked for; their errors are a line for people, no traceback."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands."""
        del ctx
        with _in_words():
            return [name for name, _ in COMMANDS.members(_command)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import a command; a name that is unknown is an `InputError`, and none while a shell completes a line."""
        if ctx and ctx.resilient_parsing and cmd_name not in COMMANDS:
            return None
        return COMMANDS.load(cmd_name, lambda function: _command(function, cmd_name))

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        with _in_words():
            result = super().invoke(ctx)
            # Here, and not at exit, where a full disk can no longer be told in a line.
            sys.stdout.flush()
        return result


def _command(function: Any, name: str = "") -> Any:
    """Return a function as Typer calls it."""
    single = typer.Typer(add_completion=False)
    single.command(name)(function)
    return typer.main.get_command(single)


@contextlib.contextmanager
def _in_words() -> Generator[None]:
    """Tell warnings of broken packages in a line, and an error too, and leave."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _tell_warning
            yield
    except LengthwiseError as error:
        sys.stderr.write(f"error: {error}\n")
        raise typer.Exit(error.exit_code) from error
    except (BrokenPipeError, typer.Exit, typer.Abort, _WRONG_CALL):
        # Whoever read the output wants no more of it, or all was told: those are no errors to tell.
        raise
    except OSError as error:
        # Writing tells no name; the commands say themselves which of their files they could not write.
        if error.filename is None:
            _drop_output()
        what = "write the output" if error.filename is None else f"use {error.filename}"
        sys.stderr.write(f"error: cannot {what}: {error.strerror or error}\n")
        raise typer.Exit(StoppedError.exit_code) from error
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and (missing := missing_extra(error, "this command")):
            sys.stderr.write(f"error: {missing}\n")
            raise typer.Exit(missing.exit_code) from error
        if not (said := failed_plugin(error) or shortage(error)):
            raise
        sys.stderr.write(f"error: {said}\n")
        raise typer.Exit(RunError.exit_code) from error


def _tell_warning(message: Warning | str, category: type[Warning], *where: Any) -> None:
    """Tell of a broken package in a line, and of all else as Python does."""
    if issubclass(category, BrokenPluginWarning):
        sys.stderr.write(f"warning: {message}\n")
    else:
        sys.stderr.write(warnings.formatwarning(message, category, *where[:2]))


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
    for name in ("stdout", "stderr"):
        # Whoever closed one wants to read nothing of it; what writes there need not know.
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))
        # A sign that a terminal or a pipe has no byte for is no reason to end.
        getattr(sys, name).reconfigure(errors="replace")
    app()


if __name__ == "__main__":
    main()
