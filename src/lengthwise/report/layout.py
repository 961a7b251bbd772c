"""Layout: which series that are measured by position share a panel, and what each is called there.

T is the training context in symbols.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile

import polars as pl

from lengthwise.report.panels import MOST_LABELS, Panel
from lengthwise.report.results import BY_POSITION, Results, natural
from lengthwise.runs.table import Run


@dataclass(frozen=True)
class Member:
    """A series in a panel.

    Args:
        series: its name.
        model: the model, or its mixer.
        intervention: in words; with ``then`` before it where the run was post-trained from another.
        plain: the intervention as recipes name it.
        context: T.
        data: what it was trained on.
    """

    series: str
    model: str
    intervention: str
    plain: str
    context: int
    data: str


@dataclass(frozen=True)
class Group:
    """The series of one panel; they share the data and the training context.

    Args:
        title: what they have in common.
        members: one or more.
    """

    title: str
    members: Sequence[Member]

    @property
    def context(self) -> int:
        """The training context in symbols."""
        return self.members[0].context


@dataclass(frozen=True)
class Layout:
    """The panels of every figure by position.

    Args:
        groups: one a panel.
        names: series -> what it is called.
    """

    groups: Sequence[Group]
    names: dict[str, str]

    @property
    def kinds(self) -> list[str]:
        """The names, each once, in the order of the colours."""
        return list(dict.fromkeys(self.names.values()))

    @property
    def crowded(self) -> bool:
        """Whether a panel has more series than names can stand beside."""
        return max(len(group.members) for group in self.groups) > MOST_LABELS

    def panels(self, rows: pl.DataFrame, draw: Callable[[Group, pl.DataFrame], Panel | None]) -> list[Panel]:
        """Return the panels of a figure, leaving out groups in which too little was measured for it.

        Args:
            rows: of the series.
            draw: gives the panel of a group from its rows, which have the names of the series in `kind`.
        """
        named = rows.with_columns(kind=pl.col("series").replace(self.names))
        drawn = [
            draw(group, named.filter(pl.col("series").is_in([member.series for member in group.members])))
            for group in self.groups
        ]
        return [panel for panel in drawn if panel is not None]


@lru_cache(maxsize=4)
def arrange(results: Results) -> Layout:
    """Return the panels: one a text and context, parted further where one would hold too many series."""
    members = [_member(results.of(series)[0], series) for series in positional(results)]
    keys = ["data", "context"]
    for key in ("model", "intervention"):
        groups = _parted(members, keys)
        crowded = max(map(len, groups)) > MOST_LABELS
        if crowded and len(_parted(members, [*keys, key])) > len(groups):
            keys.append(key)
    groups = _parted(members, keys)
    many = len({member.data for member in members}) > 1
    return Layout([Group(_title(group, keys, many), group) for group in groups], _names(groups, keys))


def positional(results: Results) -> list[str]:
    """Return the series that are measured by position in alphabetical order, numbers in them by their size."""
    return sorted(results.rows.filter(BY_POSITION)["series"].unique().to_list(), key=natural)


def intervention_in_words(run: Run) -> str:
    """Return the intervention of a run; ``then`` says that it was post-trained from another run."""
    intervention = run.head.intervention.replace("_", " ")
    return f"then {intervention}" if run.settings.get("start") else intervention


def _member(run: Run, series: str) -> Member:
    head = run.head
    return Member(
        series, head.model, intervention_in_words(run), head.intervention, head.training_length or 0, head.data
    )


def _parted(members: Sequence[Member], keys: Sequence[str]) -> list[list[Member]]:
    groups: dict[tuple[object, ...], list[Member]] = {}
    for member in members:
        groups.setdefault(tuple(getattr(member, key) for key in keys), []).append(member)
    return list(groups.values())


def _title(members: Sequence[Member], keys: Sequence[str], many: bool) -> str:
    models = {member.model for member in members}
    parts = [*(sorted(models) if len(models) == 1 else []), f"T = {members[0].context:,}"]
    parts += [members[0].intervention] if "intervention" in keys else []
    return ", ".join([*parts, *([members[0].data] if many else [])])


def _names(groups: Sequence[Sequence[Member]], keys: Sequence[str]) -> dict[str, str]:
    """Return what each series is called.

    That is its intervention, where it tells the series from all others of its panel; otherwise the recipe's name
    without the folders that all share, and without the intervention where the panel says it.
    """
    members = [member for group in groups for member in group]
    told_apart = all(len({member.intervention for member in group}) == len(group) for group in groups)
    if told_apart and len(members) > len(groups):
        return {member.series: member.intervention for member in members}
    folders = zip(*(member.series.split("/")[:-1] for member in members), strict=False)
    shared = len(list(takewhile(lambda level: len(set(level)) == 1, folders)))
    names = {member.series: "/".join(member.series.split("/")[shared:]) for member in members}
    if "intervention" not in keys:
        return names
    return {member.series: names[member.series].removesuffix(f".{member.plain}") for member in members}
