"""Summaries of accuracy by length: means over the lengths beyond training, intervals, the worst length."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import polars as pl

from lengthwise.errors import InputError
from lengthwise.evaluation.intervals import wilson_interval
from lengthwise.report.results import Results, model_name, ordered_tasks, setting
from lengthwise.runs.summary import longest_in_a_row
from lengthwise.runs.table import Run
from lengthwise.tasks import get_task

_EXACT = 1.0
_REACH = 500
"""The longest length of the published tables."""


@dataclass(frozen=True)
class Score:
    """Accuracy over some strings, and its 95 % Wilson interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Summary:
    """One row of the table: a recipe over its seeds.

    Args:
        task: the task's name.
        series: the recipe's name.
        family: what it shares with the recipes of the same model on other tasks.
        runs: one a seed, in the order of seeds.
        sequences: training strings of one run.
        training_length: the longest string trained on.
        longest: the longest of the lengths that were evaluated without a gap, or on a grid.
        beyond: over all of these lengths from the one after the training length to the longest.
        beyond_next: the same without the first of them, as the published scores are.
        even: over the even lengths of `beyond_next`; None where the task has none.
        near_misses: on strings one or two edits from another class; None where the task has none.
        far: length -> score at the single lengths beyond.
        mean: over the lengths of `beyond`, or where there are none over those up to 500 that were evaluated one by one.
        by_seed: seed -> the same of each run.
        lengths: first, last and number of the lengths of `mean`; None where there are none.
        stopped: steps taken and steps planned, where training ended early.
        worst: the length at which the mean over seeds is lowest, and that mean; the shortest of several.
    """

    task: str
    series: str
    family: str
    runs: list[Run]
    sequences: int
    training_length: int
    longest: int
    beyond: Score | None
    beyond_next: Score | None
    even: Score | None
    near_misses: Score | None
    far: dict[int, Score]
    mean: Score | None
    by_seed: dict[int, float]
    lengths: tuple[int, int, int] | None
    stopped: tuple[int, int] | None
    worst: tuple[int, float]

    @property
    def seeds(self) -> list[int]:
        """One run each."""
        return [run.head.seed for run in self.runs]

    @property
    def seconds(self) -> float:
        """Mean training time of one run."""
        return sum(run.seconds for run in self.runs) / len(self.runs)

    @property
    def parameters(self) -> int | None:
        """Trained numbers; None where they are not known."""
        return self.runs[0].head.parameters

    @property
    def state_size(self) -> int | None:
        """Values that the model carries; None where it carries no state, or it is not known."""
        return self.runs[0].head.state_size

    @property
    def model(self) -> str:
        """The mixer, or the model and its operator."""
        settings = self.runs[0].settings
        operator = None if setting(settings, "model.mixer") else setting(settings, "model.operator.name")
        return " ".join(part for part in (model_name(self.runs[0]), operator) if part)

    @property
    def flawless(self) -> bool:
        """Whether no string of any length or kind was misclassified."""
        near = self.near_misses is None or self.near_misses.value == _EXACT
        return near and self.worst[1] == _EXACT


@lru_cache(maxsize=4)
def summarise(results: Results) -> list[Summary]:
    """Return a summary of each series, tasks and series in the order of the runs."""
    groups = results.accuracy.partition_by("task", "series", as_dict=True, maintain_order=True)
    runs: dict[str, list[Run]] = {}
    for run in results.runs:
        runs.setdefault(results.series[run.head.digest], []).append(run)
    tasks = ordered_tasks(results.accuracy)
    ordered = sorted(groups.items(), key=lambda item: tasks.index(item[0][0]))
    return [_summary(task, series, rows, runs[series]) for (task, series), rows in ordered]


def percent(value: float, digits: int = 2) -> str:
    """Return an accuracy in percent, rounded down, so that 100.0 means that there was no error at all.

    Args:
        value: a fraction.
        digits: digits after the point where it is not exactly 1.
    """
    if value >= _EXACT:
        return "100.0"
    # Fractions such as 0.57 are stored a little below themselves and must not lose a digit to that.
    scaled = math.floor(round(value * 100 * 10**digits, 6))
    most = 100 * 10**digits - 1
    return f"{min(scaled, most) / 10**digits:.{digits}f}"


def _summary(task: str, series: str, rows: pl.DataFrame, runs: list[Run]) -> Summary:
    head, settings = runs[0].head, runs[0].settings
    trained = int(rows["training_length"][0])
    standard = rows.filter(pl.col("distribution") == "standard")
    near = rows.filter(pl.col("distribution") == "near_miss")
    longest = longest_in_a_row(standard["length"], settings)
    dense = standard.filter(pl.col("length").is_between(trained + 1, longest))
    later = dense.filter(pl.col("length") > trained + 1)
    shared = _prefixes_are_fair(task)
    far = standard.filter(pl.col("length") > longest).partition_by("length", as_dict=True)
    shown = dense if len(dense) else standard.filter(pl.col("length").is_between(trained + 1, _REACH))
    lengths = shown["length"].unique().sort().to_list()
    by_length = standard.group_by("length").agg(pl.col("value").mean()).sort("value", "length")
    planned = setting(settings, "training.steps")
    return Summary(
        task=task,
        series=series,
        family=str(rows["family"][0]),
        runs=sorted(runs, key=lambda run: run.head.seed),
        sequences=head.sequences,
        training_length=trained,
        longest=longest,
        beyond=_score(dense, shared),
        beyond_next=_score(later, shared),
        even=_score(later.filter(pl.col("length") % 2 == 0), shared),
        near_misses=_score(near, shared=False),
        far={length: score for (length,), at in sorted(far.items()) if (score := _score(at, shared=False))},
        mean=_score(shown, shared),
        by_seed=_by_seed(shown),
        lengths=(lengths[0], lengths[-1], len(lengths)) if lengths else None,
        stopped=(head.step, planned) if planned and head.step < planned else None,
        worst=(int(by_length["length"][0]), float(by_length["value"][0])),
    )


def _score(rows: pl.DataFrame, shared: bool) -> Score | None:
    """Mean over lengths and seeds; with `shared`, only strings of different seeds count as independent."""
    if rows.is_empty():
        return None
    per_length = rows.group_by("length").agg(pl.col("correct").sum(), pl.col("samples").sum())
    right, of = per_length["correct"].to_numpy(), per_length["samples"].to_numpy()
    # From counts, so that a flawless series is exactly 1.
    value = _EXACT if (right == of).all() else float((right / of).mean())
    strings = rows.group_by("seed").agg(pl.col("samples").max() if shared else pl.col("samples").sum())
    return Score(value, *wilson_interval(value, int(strings["samples"].sum())))


def _by_seed(rows: pl.DataFrame) -> dict[int, float]:
    """Return the mean over lengths of each seed, exactly 1 where no string was misclassified."""
    means = (
        rows.sort("length")
        .group_by("seed")
        .agg(value=pl.when((pl.col("correct") == pl.col("samples")).all()).then(1.0).otherwise(pl.col("value").mean()))
    )
    return dict(sorted(means.select("seed", "value").iter_rows()))


def _prefixes_are_fair(task: str) -> bool:
    try:
        return bool(getattr(get_task(task), "prefixes_are_fair", True))
    except InputError:
        # A language from a file that is gone: the cautious reading.
        return True
