"""Summaries of accuracy by length: means over the lengths beyond training, intervals, the worst length."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from statistics import fmean

import polars as pl

from lengthwise.evaluation.intervals import wilson_interval
from lengthwise.report.comparison import REACH
from lengthwise.report.parts import Spread
from lengthwise.report.results import Results, known_language, ordered_tasks, setting
from lengthwise.runs.summary import beyond_training, mean_accuracy
from lengthwise.runs.table import Run

_EXACT = 1.0


class Summary:
    """What tables say of a recipe over its seeds.

    Args:
        rows: its accuracy by length.
        runs: one a seed.
    """

    def __init__(self, rows: pl.DataFrame, runs: Sequence[Run]) -> None:
        self.task, self.series, self.family = (str(rows[name][0]) for name in ("task", "series", "family"))
        self.runs = sorted(runs, key=lambda run: run.head.seed)
        head = self.head = self.runs[0].head
        trained = self.training_length = int(rows["training_length"][0])
        standard = rows.filter(pl.col("distribution") == "standard")
        self.longest, dense = beyond_training(standard, trained, self.runs[0].settings)
        """The longest of the lengths that were evaluated without a gap, or on a grid."""
        language = known_language(self.task)
        # Of another task, or a language from a file that is gone, the cautious reading.
        fair = language is None or language.prefixes_are_fair
        shared = fair and not setting(self.runs[0].settings, "task.test.pairs")
        later = dense.filter(pl.col("length") > trained + 1)
        self.beyond = _score(dense, shared)
        """Over all of these lengths beyond the training length."""
        self.beyond_next = _score(later, shared)
        """The same without the first of them, as the published scores are."""
        self.even = _score(later.filter(pl.col("length") % 2 == 0), shared)
        """Over the even lengths of those; None where the task has none."""
        self.near_misses = _score(rows.filter(pl.col("distribution") == "near_miss"), shared=False)
        """On strings one or two edits from another class; None where the task has none."""
        apart = standard.filter(pl.col("length") > self.longest).sort("length").partition_by("length", as_dict=True)
        self.far = {length: score for (length,), at in apart.items() if (score := _score(at, shared=False))}
        """Length -> score at the single lengths beyond."""
        shown = dense if len(dense) else standard.filter(pl.col("length").is_between(trained + 1, REACH))
        self.mean = _score(shown, shared)
        """Over the lengths of `beyond`, or where there are none over those up to 500 that were evaluated one by one."""
        self.lengths: list[int] = shown["length"].unique().sort().to_list()
        """Those of `mean`."""
        planned: int | None = setting(self.runs[0].settings, "training.steps")
        self.stopped = (head.step, planned) if planned and head.step < planned else None
        """Steps taken and steps planned, where training ended early."""
        means = standard.group_by("length").agg(pl.col("value").mean()).sort("value", "length")
        self.worst = int(means["length"][0]), float(means["value"][0])
        """The length at which the mean over seeds is lowest, and that mean; the shortest of several."""
        self.flawless = self.worst[1] == _EXACT and (self.near_misses is None or self.near_misses.value == _EXACT)
        """Whether no string of any length or kind was misclassified."""

    @property
    def seeds(self) -> list[int]:
        """One run each."""
        return [run.head.seed for run in self.runs]

    @property
    def seconds(self) -> float:
        """Mean training time of one run."""
        return fmean(run.seconds for run in self.runs)

    @property
    def model(self) -> str:
        """The mixer, or the model and its operator."""
        operator: str | None = setting(self.runs[0].settings, "model.operator.name")
        return " ".join(filter(None, (self.head.model, operator)))


@lru_cache(maxsize=4)
def summarise(results: Results) -> list[Summary]:
    """Return a summary of each series, tasks and series in the order of the runs."""
    groups = results.accuracy.partition_by("task", "series", as_dict=True, maintain_order=True)
    tasks = ordered_tasks(results.accuracy)
    ordered = sorted(groups.items(), key=lambda item: tasks.index(item[0][0]))
    return [Summary(rows, results.of(series)) for (_, series), rows in ordered]


def _score(rows: pl.DataFrame, shared: bool) -> Spread | None:
    """Mean over lengths and seeds; with `shared`, only strings of different seeds count as independent."""
    if rows.is_empty():
        return None
    strings = rows.group_by("seed").agg(pl.col("samples").max() if shared else pl.col("samples").sum())
    value, of = mean_accuracy(rows), int(strings["samples"].sum())
    by_seed = {seed: mean_accuracy(own) for (seed,), own in sorted(rows.partition_by("seed", as_dict=True).items())}
    return Spread(value, *wilson_interval(value, of), of, by_seed)
