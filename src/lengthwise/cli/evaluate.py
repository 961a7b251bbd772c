"""``lengthwise evaluate``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lengthwise.cli.arguments import RUN_FOLDERS
from lengthwise.cli.progress import evaluation_bar, say

if TYPE_CHECKING:
    from lengthwise.experiments.results import EvaluationRow


def evaluate(
    run: Annotated[list[Path], RUN_FOLDERS],
    again: Annotated[
        bool, typer.Option("--again", help="Replace the rows of runs that were evaluated before.")
    ] = False,
) -> None:
    """Measure the accuracy of trained runs at the lengths of their recipes."""
    from lengthwise.experiments.results import open_runs
    from lengthwise.experiments.run import evaluate_run

    for folder in open_runs(run):
        with evaluation_bar(str(folder.path)) as bar:
            rows = evaluate_run(folder.path, bar.advance, again)
        say(f"{folder.path}: {summarise(rows)}")


def summarise(rows: Sequence[EvaluationRow]) -> str:
    """Return the accuracy beyond the training length in words.

    Args:
        rows: all rows of one run.
    """
    dense = [row for row in rows if row.distribution == "standard" and row.training_length < row.length <= 500]
    long = [row for row in rows if row.distribution == "standard" and row.length > 500]
    near = [row for row in rows if row.distribution == "near_miss"]
    parts: list[str] = []
    if dense:
        worst = min(dense, key=lambda row: row.value)
        parts.append(
            f"mean accuracy {_mean(dense):.4%} on lengths {dense[0].length} to {dense[-1].length}"
            f" (worst {worst.value:.2%} at {worst.length})"
        )
    if near:
        parts.append(f"near misses {_mean(near):.2%}")
    parts += [f"length {row.length:,} {row.value:.2%}" for row in long]
    return "; ".join(parts) or f"{len(rows)} lengths, none beyond the training length"


def _mean(rows: Sequence[EvaluationRow]) -> float:
    return sum(row.value for row in rows) / len(rows)
