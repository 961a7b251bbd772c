"""``lengthwise diagnose``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lengthwise.cli.arguments import SET
from lengthwise.cli.evaluate import measure
from lengthwise.cli.pretrained import (
    CONTEXT,
    DATA,
    DEVICE,
    REACH,
    REMOTE_CODE,
    ROWS,
    before_recipe,
    diagnose_checkpoint,
    folder_of,
    refuse_options,
)
from lengthwise.cli.progress import say
from lengthwise.errors import InputError


def diagnose(
    run: Annotated[
        list[Path],
        typer.Argument(
            help="Run folders, folders that hold some, or hf:PATH for a checkpoint of transformers.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the page and its charts are written.")] = Path(
        "diagnosis"
    ),
    again: Annotated[bool, typer.Option("--again", help="Measure anew what was measured before.")] = False,
    data: Annotated[str | None, DATA] = None,
    context: Annotated[int | None, CONTEXT] = None,
    reach: Annotated[int | None, REACH] = None,
    rows: Annotated[int | None, ROWS] = None,
    device: Annotated[str | None, DEVICE] = None,
    set_: Annotated[list[str] | None, SET] = None,
    remote_code: Annotated[bool, REMOTE_CODE] = False,
) -> None:
    """Say whether language models hold beyond their training context, and draw why.

    A checkpoint is measured anew each time, once its state is seen to be carried rightly.
    """
    from lengthwise.runs.recipe import TextRecipe
    from lengthwise.runs.folder import open_runs
    from lengthwise.runs.run import read_run
    from lengthwise.report.page import write_report
    from lengthwise.runs.table import read_table

    checkpoints = [folder for target in run if (folder := folder_of(target)) is not None]
    if not checkpoints:
        options = {"--data": data, "--context": context, "--reach": reach, "--rows": rows, "--device": device}
        options |= {"--set": set_ or None, "--remote-code": remote_code}
        refuse_options(options, "a run says this in its recipe; these options go with hf:PATH")
    runs = [target for target in run if folder_of(target) is None]
    folders = open_runs(runs) if runs else []
    for folder in folders:
        if not isinstance(read_run(folder)[0], TextRecipe):
            raise InputError(f"run {folder.path} is not of a language model; 'lengthwise evaluate' measures it")
    for folder in folders:
        say(f"{folder.path}: {measure(folder, again)}")
    settings = {"training.context": context, "evaluation.reach": reach, "evaluation.rows": rows, "device": device}
    for checkpoint in checkpoints:
        recipe = before_recipe(checkpoint, data, remote_code, settings, set_ or [])
        recipe = recipe.model_copy(update={"name": f"{recipe.name}-{recipe.digest()[:8]}"})
        folders.append(diagnose_checkpoint(recipe, out / "runs", again=True))
    table = read_table([folder.path for folder in folders]).refuse_waiting()
    say(str(write_report(table, out)))
