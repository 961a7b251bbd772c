"""``lengthwise keep``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lengthwise.cli.arguments import RESULTS
from lengthwise.cli.progress import say
from lengthwise.errors import InputError


def keep(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the files go; what is kept there already stays.")],
    run: Annotated[list[Path] | None, RESULTS] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Let runs take the place of kept ones with the same name and seed.")
    ] = False,
    remove: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Take runs away instead: a run, a recipe, or a folder of recipes."),
    ] = None,
) -> None:
    """Keep the rows of evaluated runs, without checkpoints, in a few small files that 'lengthwise report' reads."""
    from lengthwise.runs import kept
    from lengthwise.runs.attachments import ATTACHMENTS

    if bool(run) == bool(remove):
        raise InputError("name runs to keep, or runs to take away with --remove")
    table = kept.remove(remove, out, tell=say) if remove else kept.keep(run or [], out, replace=replace, tell=say)
    counts = [(kind.file, sum(role in run.attachments for run in table.runs)) for role, kind in ATTACHMENTS.members()]
    attached = "".join(f", {count} {what}" for what, count in counts if count)
    say(f"{out}: {len(table.runs)} runs, {table.rows.height:,} evaluation rows{attached}")
