"""Measured numbers as the documentation says them: cells, counts and spans of the rows in ``results``."""

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import polars as pl

from lengthwise.evaluation.rows import Row
from lengthwise.report.diagnosed import Diagnosed
from lengthwise.report.words import percent
from lengthwise.runs.rows import RESERVED
from lengthwise.runs.table import Run, Table, read_table
from lengthwise.tasks import get_language

ROOT = Path(__file__).parents[2]
STANDARD = pl.col("distribution") == "standard"
NEAR = pl.col("distribution") == "near_miss"
TRAINED, PUBLISHED = 40, 500
"""The longest string of training, and the longest of the published tables."""
PROTOCOL = 1_001
"""The longest string on which all models of the table of baselines are measured."""


@cache
def table(*folders: str) -> Table:
    """Return what some folders below ``results`` keep."""
    return read_table([ROOT / "results" / folder for folder in folders])


@cache
def rows(*folders: str) -> pl.DataFrame:
    """Return the rows of accuracy of some folders, with `model` and `variant`: the parts of the recipe's name."""
    found = table(*folders).rows.filter(pl.col("metric") == "accuracy")
    name = pl.col("recipe").str.split("/").list.last()
    variant = pl.struct(name.alias("name"), "task").map_elements(_without_task, return_dtype=pl.String)
    return found.with_columns(variant=variant)


def runs(*folders: str) -> list[Run]:
    """Return the runs of some folders."""
    return table(*folders).runs


@cache
def diagnosed(folder: str) -> dict[str, list[Diagnosed]]:
    """Return the language models of a folder by the last part of their recipe's name, seeds in order."""
    found: dict[str, list[Diagnosed]] = {}
    kept = table(folder)
    axes = [name for name in kept.rows.columns if name not in RESERVED]
    for run in sorted(kept.runs, key=lambda run: run.head.seed):
        own = kept.rows.filter(digest=run.head.digest, seed=run.head.seed).to_dicts()
        measured = [
            Row(
                **{name: row[name] for name in Row.model_fields if name != "axes"},
                axes={axis: row[axis] for axis in axes if row[axis] is not None},
            )
            for row in own
        ]
        found.setdefault(run.head.recipe.rpartition("/")[2], []).append(Diagnosed(run.head, measured))
    return found


def record(name: str) -> Any:
    """Return what a benchmark wrote."""
    return json.loads((ROOT / "results" / "benchmarks" / f"{name}.json").read_text(encoding="utf-8"))


def lines_of(path: str) -> list[dict[str, Any]]:
    """Return the lines of a JSONL file below ``results``."""
    return [json.loads(text) for text in (ROOT / "results" / path).read_text(encoding="utf-8").splitlines()]


def in_program(path: str, pattern: str) -> tuple[str, ...]:
    """Return the groups of a pattern that a program has once."""
    (found,) = re.finditer(pattern, (ROOT / path).read_text(encoding="utf-8"))
    return found.groups()


@dataclass(frozen=True)
class Cell:
    """What one model reached on one task.

    Args:
        rows: of one recipe, all seeds.
        shared: whether the lengths to 500 are read off the prefixes of one set of strings.
    """

    rows: pl.DataFrame
    shared: bool

    @cached_property
    def beyond(self) -> pl.DataFrame:
        """The rows on standard strings from the first length beyond training to 500 symbols."""
        return self.rows.filter(STANDARD, pl.col("length").is_between(TRAINED + 1, PUBLISHED))

    @cached_property
    def near(self) -> pl.DataFrame:
        """The rows on near misses."""
        return self.rows.filter(NEAR)

    def far(self, first: int = PUBLISHED + 1, last: int = PROTOCOL) -> pl.DataFrame:
        """The rows on standard strings of some lengths beyond 500."""
        return self.rows.filter(STANDARD, pl.col("length").is_between(first, last))

    @cached_property
    def mean(self) -> float:
        """The mean over the lengths of `beyond` and over seeds."""
        return exact_mean(self.beyond)

    @cached_property
    def lowest(self) -> float:
        """The lowest of the means over 41 to 500, on near misses, and at each length from 501 to 1,001."""
        far = self.far()
        parts = [self.beyond, self.near, *(far.filter(length=length) for length in far["length"].unique())]
        return min(exact_mean(part) for part in parts if len(part))

    @cached_property
    def strings(self) -> int:
        """How many strings `lowest` is of, over all seeds; one whose prefixes are read counts once."""
        apart = samples(self.beyond) // (self.beyond["length"].n_unique() if self.shared else 1)
        return apart + samples(self.near) + samples(self.far())

    @cached_property
    def seeds(self) -> int:
        """How many runs."""
        return self.rows["seed"].n_unique()

    @cached_property
    def flawless(self) -> bool:
        """Whether no string of any kind to 1,001 symbols was misclassified, and all kinds were measured."""
        return self.lowest == 1 and bool(len(self.near)) and bool(len(self.far()))


def cells(*folders: str) -> dict[tuple[str, str], Cell]:
    """Return the cells of some folders by variant and task: of several recipes that with most seeds, or the newest."""
    newest = {run.head.digest: str(run.environment.get("started", "")) for run in runs(*folders)}
    pairs = {run.head.digest: run.settings["task"]["test"].get("pairs", False) for run in runs(*folders)}
    parts = rows(*folders).partition_by("variant", "task", "digest", as_dict=True)
    ordered = sorted(parts.items(), key=lambda item: (item[1]["seed"].n_unique(), newest[str(item[0][2])]))
    return {
        (str(variant), str(task)): Cell(part, get_language(str(task)).prefixes_are_fair and not pairs[str(digest)])
        for (variant, task, digest), part in ordered
    }


def exact_mean(part: pl.DataFrame) -> float:
    """Return the mean of some rows, which is 1 only where no sequence was wrong."""
    return 1.0 if (part["value"] == 1).all() else float(part["value"].mean())  # pyright: ignore[reportArgumentType]


def errors(part: pl.DataFrame) -> int:
    """Return how many sequences of some rows were wrong."""
    return round(float(((1 - part["value"]) * part["samples"]).sum()))


def samples(part: pl.DataFrame) -> int:
    """Return how many sequences some rows are of."""
    return int(part["samples"].sum())


def upper_limit(strings: int) -> float:
    """Return the share of errors in per cent, rounded up, that 95 % confidence leaves after strings without one."""
    return math.ceil(1e4 * (1 - 0.05 ** (1 / strings))) / 100


def said(value: float, digits: int = 1, bold: bool = True) -> str:
    """Return an accuracy in per cent, rounded down; without any error it is 100, in bold."""
    return ("**100**" if bold else "100") if value == 1 else percent(value, digits)


def short(count: int) -> str:
    """Return a count as a table has room for it."""
    return f"{count / 1000:.1f}k" if count < 10_000 else f"{count / 1000:.0f}k"


def listed(values: Iterable[object]) -> str:
    """Return some values with commas, and `and` before the last."""
    *first, last = map(str, values)
    return f"{', '.join(first)} and {last}" if first else last


def line(*cells: object) -> str:
    """Return one line of a Markdown table."""
    return f"| {' | '.join(map(str, cells))} |"


def _without_task(name: dict[str, str]) -> str:
    return name["name"].removesuffix(name["task"]).removesuffix("-") or "unit"
