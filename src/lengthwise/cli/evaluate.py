"""``lengthwise evaluate``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lengthwise.cli.arguments import RUN_FOLDERS
from lengthwise.cli.progress import evaluation_bar, say

if TYPE_CHECKING:
    from lengthwise.experiments.recipe import AnyRecipe
    from lengthwise.experiments.results import DiagnosisRow, EvaluationRow, RunFolder


def evaluate(
    run: Annotated[list[Path], RUN_FOLDERS],
    again: Annotated[
        bool, typer.Option("--again", help="Replace the rows of runs that were evaluated before.")
    ] = False,
) -> None:
    """Measure trained runs as their recipes say: accuracy by length, or perplexity by position and why."""
    from lengthwise.experiments.results import open_runs

    for folder in open_runs(run):
        say(f"{folder.path}: {measure(folder, again)}")


def measure(folder: RunFolder, again: bool = False, recipe: AnyRecipe | None = None) -> str:
    """Measure a trained run with a bar, unless that was done, and return what was found in words.

    Args:
        folder: the run.
        again: whether what was measured before is replaced.
        recipe: that which the run was just trained with; read from the folder by default.
    """
    from lengthwise.experiments.results import DiagnosisRow, EvaluationRow
    from lengthwise.experiments.run import evaluate_run

    with evaluation_bar(str(folder.path)) as bar:
        rows = evaluate_run(folder.path, bar.advance, again, recipe)
    accuracies = [row for row in rows if isinstance(row, EvaluationRow)]
    return summarise(accuracies) if accuracies else verdict_in_words([r for r in rows if isinstance(r, DiagnosisRow)])


def verdict_in_words(rows: Sequence[DiagnosisRow]) -> str:
    """Return the verdict on a language model, and why.

    Args:
        rows: all rows of one run.
    """
    from lengthwise.report.verdicts import verdict_of

    name, reason = verdict_of(rows)
    return f"{name}: {reason}"


def summarise(rows: Sequence[EvaluationRow]) -> str:
    """Return the accuracy beyond the training length in words.

    Args:
        rows: all rows of one run.
    """
    dense = [row for row in rows if row.distribution == "standard" and row.training_length < row.length <= 500]
    # As the published scores are: the first length beyond training is left out.
    later = [row for row in dense if row.length > row.training_length + 1]
    even = [row for row in later if row.length % 2 == 0]
    long = [row for row in rows if row.distribution == "standard" and row.length > 500]
    near = [row for row in rows if row.distribution == "near_miss"]
    parts: list[str] = []
    if dense:
        worst = min(dense, key=lambda row: row.value)
        parts.append(
            f"mean accuracy {_mean(dense):.4%} on lengths {dense[0].length} to {dense[-1].length}"
            f" (worst {worst.value:.2%} at {worst.length})"
        )
    if later:
        parts.append(f"{_mean(later):.4%} from {later[0].length} on")
    if even:
        parts.append(f"{_mean(even):.4%} on even lengths alone")
    if near:
        parts.append(f"near misses {_mean(near):.2%}")
    parts += [f"length {row.length:,} {row.value:.2%}" for row in long]
    return "; ".join(parts) or f"{len(rows)} lengths, none beyond the training length"


def _mean(rows: Sequence[EvaluationRow]) -> float:
    return sum(row.value for row in rows) / len(rows)
