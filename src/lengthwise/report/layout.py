"""Layout: which series that are measured by position share a panel, and what each is called there.

T is the training context in symbols.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from typing import Any

import polars as pl

from lengthwise.report.axes import Axis
from lengthwise.report.panels import MOST_LABELS, Panel, curves
from lengthwise.report.results import BY_POSITION, Results, natural
from lengthwise.runs.table import Run

HEIGHT = 240
"""Of a panel, in pixels."""
NUMBER = ",.4~g"
"""How tooltips format what is measured by position."""


@dataclass(frozen=True)
class Layout:
    """The panels of every figure by position.

    Args:
        groups: one a panel; a row a series, which share the data and the training context.
        titles: what the series of each group have in common.
        names: series -> what it is called.
    """

    groups: Sequence[pl.DataFrame]
    titles: Sequence[str]
    names: dict[str, str]

    @property
    def kinds(self) -> list[str]:
        """The names, each once, in the order of the colours."""
        return list(dict.fromkeys(self.names.values()))

    @property
    def crowded(self) -> bool:
        """Whether a panel has more series than names can stand beside."""
        return max(map(len, self.groups)) > MOST_LABELS

    def panel(self, title: str, x: Axis, y: Axis, spread: pl.DataFrame, quantity: str, height: int = HEIGHT) -> Panel:
        """Return a panel with lines; see `curves`."""
        look = {"quantity": quantity, "number": NUMBER, "height": height}
        return curves(title, self.kinds, x, y, spread, self.crowded, **look)


def arranged(
    results: Results, rows: pl.DataFrame, draw: Callable[[Layout, str, int, pl.DataFrame], Panel | None]
) -> list[Panel]:
    """Return the panels of a figure, leaving out groups in which too little was measured for it.

    Args:
        results: the runs.
        rows: of series that are measured by position.
        draw: gives a panel from the layout, the title and T of a group, and its rows, which have the names of the
            series in `kind`.
    """
    if rows.is_empty():
        return []
    layout = arrange(results)
    named = rows.with_columns(kind=pl.col("series").replace(layout.names))
    drawn = [
        draw(layout, title, group["context"][0], own)
        for title, group in zip(layout.titles, layout.groups, strict=True)
        if not (own := named.filter(pl.col("series").is_in(group["series"].implode()))).is_empty()
    ]
    return [panel for panel in drawn if panel is not None]


@lru_cache(maxsize=4)
def arrange(results: Results) -> Layout:
    """Return the panels: one a text and context, parted further where one would hold too many series."""
    members = pl.DataFrame([_member(results.of(series)[0], series) for series in positional(results)])
    keys = ["data", "context"]
    for key in ("model", "intervention"):
        groups = members.partition_by(keys)
        if max(map(len, groups)) > MOST_LABELS and len(members.partition_by(*keys, key)) > len(groups):
            keys.append(key)
    groups = members.partition_by(keys)
    shown = ["intervention"] if "intervention" in keys else []
    shown += ["data"] if members["data"].n_unique() > 1 else []
    return Layout(groups, [_title(group, shown) for group in groups], _names(members, groups, "intervention" in keys))


def positional(results: Results) -> list[str]:
    """Return the series that are measured by position in alphabetical order, numbers in them by their size."""
    return sorted(results.rows.filter(BY_POSITION)["series"].unique().to_list(), key=natural)


def intervention_in_words(run: Run) -> str:
    """Return the intervention of a run; ``then`` says that it was post-trained from another run."""
    intervention = run.head.intervention.replace("_", " ")
    return f"then {intervention}" if run.settings.get("start") else intervention


def _member(run: Run, series: str) -> dict[str, Any]:
    head = run.head
    said = {"series": series, "model": head.model, "intervention": intervention_in_words(run)}
    return said | {"plain": head.intervention, "context": head.training_length or 0, "data": head.data}


def _title(group: pl.DataFrame, shown: Sequence[str]) -> str:
    model = [group["model"][0]] if group["model"].n_unique() == 1 else []
    return ", ".join([*model, f"T = {group['context'][0]:,}", *(group[name][0] for name in shown)])


def _names(members: pl.DataFrame, groups: Sequence[pl.DataFrame], by_intervention: bool) -> dict[str, str]:
    """Return what each series is called.

    That is its intervention, where it tells the series from all others of its panel; otherwise the recipe's name
    without the folders that all share, and without the intervention where the panel says it.
    """
    rows = [row for group in groups for row in group.iter_rows(named=True)]
    if len(members) > len(groups) and all(group["intervention"].is_unique().all() for group in groups):
        return {row["series"]: row["intervention"] for row in rows}
    folders = zip(*(row["series"].split("/")[:-1] for row in rows), strict=False)
    shared = len(list(takewhile(lambda level: len(set(level)) == 1, folders)))
    names = {row["series"]: "/".join(row["series"].split("/")[shared:]) for row in rows}
    return {row["series"]: names[row["series"]].removesuffix(f".{row['plain']}" * by_intervention) for row in rows}
