"""Which series of runs on text share a panel, and what each is called there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile

import polars as pl

from lengthwise.report.rows import Run, TextResults

_MOST_TOGETHER = 6
"""Series of one panel that can be told apart; more are parted by model, then by intervention."""


@dataclass(frozen=True)
class Member:
    """A series in a panel."""

    series: str
    model: str
    intervention: str
    """In words; with ``then`` before it where the run was post-trained from another."""
    intervention_name: str
    context: int
    text: str


@dataclass(frozen=True)
class Group:
    """The series of one panel; they share the text and the training context.

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

    @property
    def series(self) -> list[str]:
        """The names of the series."""
        return [member.series for member in self.members]


@dataclass(frozen=True)
class Layout:
    """The panels of every figure by position.

    Args:
        groups: one a panel.
        by_intervention: whether all series of a panel have the same intervention.
    """

    groups: Sequence[Group]
    by_intervention: bool

    @cached_property
    def names(self) -> dict[str, str]:
        """Series -> what it is called.

        That is its intervention, where it tells the series from all others of its panel; otherwise the recipe's name
        without the folders that all share, and without the intervention where the panel says it.
        """
        members = [member for group in self.groups for member in group.members]
        told_apart = all(len({m.intervention for m in group.members}) == len(group.members) for group in self.groups)
        if told_apart and len(members) > len(self.groups):
            return {member.series: member.intervention for member in members}
        names = short_names([member.series for member in members])
        if not self.by_intervention:
            return names
        return {m.series: names[m.series].removesuffix(f".{m.intervention_name}") for m in members}

    @property
    def kinds(self) -> list[str]:
        """The names, each once, in the order of the colours."""
        return list(dict.fromkeys(self.names.values()))


def arrange(results: TextResults) -> Layout:
    """Return the panels: one a text and context, parted further where one would hold too many series."""
    members = [_member(results, series) for series in results.series]
    keys = ["text", "context"]
    for key in ("model", "intervention"):
        groups = _parted(members, keys)
        crowded = max(len(group) for group in groups) > _MOST_TOGETHER
        if crowded and len(_parted(members, [*keys, key])) > len(groups):
            keys.append(key)
    groups = _parted(members, keys)
    many_texts = len({member.text for member in members}) > 1
    return Layout([Group(_title(group, keys, many_texts), group) for group in groups], "intervention" in keys)


def short_names(series: Sequence[str]) -> dict[str, str]:
    """Return series -> its name without the folders that all of them share."""
    folders = zip(*(name.split("/")[:-1] for name in series), strict=False)
    shared = len(list(takewhile(lambda level: len(set(level)) == 1, folders)))
    return {name: "/".join(name.split("/")[shared:]) for name in series}


def intervention_in_words(run: Run) -> str:
    """Return the intervention of a run on text; ``then`` says that it was post-trained from another run."""
    intervention = str(run.settings["intervention"]["name"]).replace("_", " ")
    return f"then {intervention}" if run.settings.get("start") else intervention


def _member(results: TextResults, series: str) -> Member:
    rows = results.diagnosis.filter(pl.col("series") == series)
    digest, text, model = (str(rows[name][0]) for name in ("digest", "text", "model"))
    run = next(run for run in results.runs if run.digest == digest)
    name = str(run.settings["intervention"]["name"])
    return Member(series, model, intervention_in_words(run), name, int(run.settings["training"]["context"]), text)


def _parted(members: Sequence[Member], keys: Sequence[str]) -> list[list[Member]]:
    groups: dict[tuple[object, ...], list[Member]] = {}
    for member in members:
        groups.setdefault(tuple(getattr(member, key) for key in keys), []).append(member)
    return list(groups.values())


def _title(members: Sequence[Member], keys: Sequence[str], many_texts: bool) -> str:
    models = {member.model for member in members}
    parts = [*(sorted(models) if len(models) == 1 else []), f"T = {members[0].context:,}"]
    parts += [members[0].intervention] if "intervention" in keys else []
    return ", ".join([*parts, *([members[0].text] if many_texts else [])])
