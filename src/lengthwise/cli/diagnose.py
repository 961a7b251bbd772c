"""``lengthwise diagnose``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lengthwise.cli import pretrained as hf
from lengthwise.cli.arguments import SET
from lengthwise.cli.completion import complete_run
from lengthwise.cli.evaluate import measure
from lengthwise.cli.progress import say
from lengthwise.errors import InputError


def diagnose(
    run: Annotated[
        list[Path],
        typer.Argument(
            help="Run folders, folders that hold some, or paths of checkpoints (hf:PATH says that it is one).",
            show_default=False,
            autocompletion=complete_run,
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the page and its charts are written.")] = Path(
        "diagnosis"
    ),
    again: Annotated[bool, typer.Option("--again", help="Measure anew what was measured before.")] = False,
    data: Annotated[str | None, hf.DATA] = None,
    text_column: Annotated[Any, hf.TEXT_COLUMN] = None,
    context: Annotated[int | None, hf.CONTEXT] = None,
    reach: Annotated[int | None, hf.REACH] = None,
    rows: Annotated[int | None, hf.ROWS] = None,
    device: Annotated[str | None, hf.DEVICE] = None,
    set_: Annotated[list[str] | None, SET] = None,
    remote_code: Annotated[bool, hf.REMOTE_CODE] = False,
) -> None:
    """Say whether language models hold beyond their training context, and draw why.

    A checkpoint is measured anew each time, once its state is seen to be carried rightly. Whatever is found ends with
    exit code 0, also that a model is so near to guessing by frequency that there is nothing to judge.
    """
    options = hf.given_options(locals())
    from lengthwise.report.page import Report
    from lengthwise.runs.folder import open_runs
    from lengthwise.runs.pretrained import measured, overrides_of
    from lengthwise.runs.run import read_run
    from lengthwise.runs.table import read_table

    checkpoints = [folder for target in run if (folder := hf.folder_of(target)) is not None]
    if not checkpoints:
        hf.refuse_options(
            options, {"run", "out", "again"}, "a run says this in its recipe; these options go with hf:PATH"
        )
    runs = [target for target in run if hf.folder_of(target) is None]
    folders = open_runs(runs) if runs else []
    for folder in folders:
        if getattr(read_run(folder)[0].evaluation, "perplexity", None) is None:
            raise InputError(
                f"run {folder.path} is not of a language model, nor of another task that measures the loss by "
                "position; 'lengthwise evaluate' measures it"
            )
    for folder in folders:
        say(f"{folder.path}: {measure(folder, again)}")
    for path in checkpoints:
        checkpoint = hf.open_checkpoint(path, options)
        recipe = measured(checkpoint, options["data"], [*overrides_of(options), *(set_ or [])]).told_apart()
        folders.append(hf.diagnose_checkpoint(recipe, out / "runs", again=True))
    table = read_table([folder.path for folder in folders]).refuse_waiting()
    say(str(Report(table).write(out)))
