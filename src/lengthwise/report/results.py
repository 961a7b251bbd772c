"""Results: the tidy table in the parts that a page compares, with what each run is called in them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl
from polars import selectors as cs

from lengthwise.errors import InputError
from lengthwise.runs.rows import RESERVED
from lengthwise.runs.table import Key, Run, Table
from lengthwise.tasks import LANGUAGES, get_language

if TYPE_CHECKING:
    from lengthwise.tasks.regular.language import Language

_KNOWN_AXES = {"length": pl.Int64, "distribution": pl.String, "start": pl.Int64, "end": pl.Int64, "part": pl.String}
"""Axes that sections name; tables without them have them empty."""
_NOT_AXES = RESERVED | {"series", "family", "kind"}

_OTHER_AXES = cs.exclude(*_NOT_AXES, "length", "distribution")
_ALONG_LENGTH = (pl.col("metric") == "accuracy", pl.col("length", "training_length").is_not_null())
BY_LENGTH = pl.all_horizontal(*_ALONG_LENGTH, _OTHER_AXES.is_null())
BY_POSITION = pl.col("end").is_not_null()
"""Rows of what was measured from one position of a sequence to another."""


@dataclass(frozen=True, eq=False)
class Results:
    """The runs that a part of a page compares.

    A *series* is what several seeds of one recipe share: a line of a figure, a row of a table. A *family* is what
    recipes of one model on different tasks share: a colour, a column.

    Args:
        runs: in the order of the part.
        rows: those of the table, with the columns `series` and `family`, and empty columns for axes that sections name.
        metrics: those of the table, with `series`, `family`, and `task` for what was trained on.
        called: the `digest`, `series`, `family` and `task` of each recipe.
        prefix: begins the names of files and elements; empty for most.
        heading: what is compared.
        variants: whether all are variants of one model.
    """

    runs: list[Run]
    rows: pl.DataFrame
    metrics: pl.DataFrame
    called: pl.DataFrame
    prefix: str = ""
    heading: str = ""
    variants: bool = False

    @cached_property
    def families(self) -> list[str]:
        """The families, in the order in which they first appear."""
        return self.called["family"].unique(maintain_order=True).to_list()

    @cached_property
    def accuracy(self) -> pl.DataFrame:
        """The rows of accuracy by length, with the number `correct`."""
        correct = (pl.col("value") * pl.col("samples")).round().cast(pl.Int64)
        distribution = pl.col("distribution").fill_null("standard")
        return self.rows.filter(BY_LENGTH).with_columns(distribution, correct=correct)

    def of(self, series: str) -> list[Run]:
        """Return the runs of a series."""
        digests = set(self.called.filter(series=series)["digest"])
        return [run for run in self.runs if run.head.digest in digests]

    def within(self, tasks: Iterable[str], longest: int) -> Results:
        """Return the runs with the rows on some tasks alone, on sequences of at most so many symbols."""
        kept = pl.col("task").is_in(list(tasks)) & (pl.col("length") <= longest)
        return replace(self, rows=self.rows.filter(kept))

    def curve(self, value: str, place: str) -> pl.DataFrame:
        """Return the points of learning curves, which are logged as ``<value>_<place>``."""
        keys = ["series", "family", "task", "seed", "sequences"]
        points = self.metrics.select(*keys, cs.starts_with(f"{value}_"))
        points = points.unpivot(index=keys, variable_name=place, value_name=value).drop_nulls()
        numbers = pl.col(place).str.strip_prefix(f"{value}_").cast(pl.Int64, strict=False)
        return points.with_columns(numbers, pl.col(value).cast(pl.Float64)).drop_nulls()


def ordered_tasks(rows: pl.DataFrame) -> list[str]:
    """Return the tasks of some rows: regular languages in the order of the paper's table, then others as they come."""
    found = rows["task"].unique(maintain_order=True).to_list()
    return [task for task in LANGUAGES if task in found] + [task for task in found if task not in LANGUAGES]


def axes_of(rows: pl.DataFrame) -> list[str]:
    """Return the axes along which some rows were measured."""
    return [name for name in rows.columns if name not in _NOT_AXES and rows[name].null_count() < rows.height]


def known_language(task: str) -> Language | None:
    """Return the regular language of a task; None where it is another, or one from a file that is gone."""
    try:
        return get_language(task)
    except InputError:
        return None


def title(name: str) -> str:
    """Return the name of a task or a metric for readers; a language that has no name stays as it is."""
    return name if ":" in name else name.replace("_", " ").capitalize()


def natural(name: str) -> list[tuple[int, str]]:
    """Return what to sort names by, so that numbers in them go by their size."""
    return [(int(piece), "") if piece.isdecimal() else (-1, piece) for piece in re.split(r"(\d+)", name) if piece]


def setting(settings: Any, path: str) -> Any:
    """Return what stands at a dotted path of a recipe; None where there is nothing."""
    for part in path.split("."):
        settings = settings.get(part) if isinstance(settings, Mapping) else None
    return settings


def comparable(table: Table, first: Collection[Key] = ()) -> list[Results]:
    """Return the parts of a page: models, each ablation, and runs that are measured by position.

    An ablation is a folder of recipes with two families or more, all of one model: its variants. All other families
    are models, the log-depth units first.

    Args:
        table: as `read_table` reads it.
        first: the runs that stand before all others, which are compared with them.
    """
    rows = pl.concat([table.rows, pl.DataFrame(schema=_KNOWN_AXES)], how="diagonal_relaxed")
    called = _called(table.runs)
    family: dict[str, str] = dict(called.select("digest", "family").iter_rows())
    positional = set(rows.filter(BY_POSITION)["digest"])

    def part(runs: list[Run], heading: str, prefix: str = "", variants: bool = False) -> Results:
        digests = pl.DataFrame({"digest": list(dict.fromkeys(run.head.digest for run in runs))})
        own = digests.join(called, on="digest", maintain_order="left")
        last = pl.col("family").str.split("/").list.last()
        alone = pl.col("family").n_unique().over(last) == 1
        own = own.with_columns(family=pl.when(alone).then(last).otherwise("family"))
        measured = rows.join(own.drop("task"), on="digest", maintain_order="left")
        logged = table.metrics.join(own, on="digest", maintain_order="left")
        return Results(runs, measured, logged, own, prefix, heading, variants)

    folders: dict[str, list[Run]] = {}
    for run in table.runs:
        of = family[run.head.digest]
        if run.head.digest not in positional:
            folders.setdefault(of.rpartition("/")[0] or of, []).append(run)
    variants = {
        folder: runs
        for folder, runs in folders.items()
        if len({family[run.head.digest] for run in runs}) > 1 and len({run.head.model for run in runs}) == 1
    }
    models = [run for folder, runs in folders.items() if folder not in variants for run in runs]
    models.sort(key=lambda run: (run.key not in first, run.head.model != "ldru"))
    texts = [run for run in table.runs if run.head.digest in positional]
    found = [part(models, "Models")] if models else []
    for folder, runs in variants.items():
        prefix = "" if len(variants) == 1 and not models else re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{folder}-")
        found.append(part(runs, f"Variants in {folder}", prefix, variants=True))
    return [*found, part(texts, "Language modelling")] if texts else found


def _called(runs: Sequence[Run]) -> pl.DataFrame:
    """Return `digest`, `series`, `family` and `task` of each recipe.

    A series is the recipe's name, told apart by the digest where recipes of one name differ; its family is the series
    itself where one task has several of a family.
    """
    heads = {run.head.digest: (run.head.digest, run.head.recipe, run.head.trained_on) for run in runs}
    called = pl.DataFrame(list(heads.values()), schema=["digest", "series", "task"], orient="row")
    apart = pl.when(pl.col("series").is_duplicated()).then(pl.lit(" ") + pl.col("digest").str.head(6))
    called = called.with_columns(pl.col("series") + apart.otherwise(pl.lit("")))
    families = [_family(series, task) for series, task in called.select("series", "task").iter_rows()]
    several = pl.struct("task", "family").is_duplicated()
    called = called.with_columns(family=pl.Series(families, dtype=pl.String))
    return called.with_columns(family=pl.when(several).then("series").otherwise("family"))


def _family(series: str, task: str) -> str:
    """Return a recipe's name without its task, or its folder where the task is no part of the name."""
    name, _, digest = series.partition(" ")
    without = re.sub(rf"(^|[/-]){re.escape(task)}(?=$|[/-])", "", name).strip("/-")
    family = name.rpartition("/")[0] if without == name else without
    return " ".join(part for part in (family or name, digest) if part)
