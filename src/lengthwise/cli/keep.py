"""``lengthwise keep``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lengthwise.cli.arguments import RESULTS
from lengthwise.cli.progress import say


def keep(
    run: Annotated[list[Path], RESULTS],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the files go; those kept there before are replaced.")],
    renew: Annotated[
        bool, typer.Option("--renew", help="Let runs take the place of kept ones with the same name and seed.")
    ] = False,
) -> None:
    """Keep the rows of evaluated runs, without checkpoints, in a few small files that 'lengthwise report' reads."""
    from lengthwise.report.kept import keep as keep_runs

    records = keep_runs(run, out, renew=renew)
    certificates = sum(record.certified is not None for record in records)
    proofs = f", {certificates} certificates" if certificates else ""
    say(f"{out}: {len(records)} runs, {sum(record.rows.height for record in records):,} evaluation rows{proofs}")
