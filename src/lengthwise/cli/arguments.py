"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Any

import typer

from lengthwise.cli.completion import complete_recipe, complete_run, complete_sweep, complete_task

RECIPE: Any = typer.Argument(
    help="A shipped recipe such as fast/parity, or a YAML file.", show_default=False, autocompletion=complete_recipe
)
SWEEP: Any = typer.Argument(help="A shipped sweep, or a YAML file.", show_default=False, autocompletion=complete_sweep)
RUN_FOLDERS: Any = typer.Argument(
    help="Run folders, or folders that hold some.", show_default=False, autocompletion=complete_run
)
RESULTS: Any = typer.Argument(
    help="Evaluated run folders, folders of kept results, or folders that hold some.",
    show_default=False,
    autocompletion=complete_run,
)
RUNS: Any = typer.Option("--runs", metavar="DIR", help="The folder of all runs.")
SET: Any = typer.Option(
    "--set", metavar="PATH=VALUE", help="Replace a setting, such as training.steps=100; may be given several times."
)
TASK: Any = typer.Argument(
    help="The name of a task, regex:PATTERN, group:NAME, dfa:PATH or dfa+sink:PATH.",
    show_default=False,
    autocompletion=complete_task,
)
