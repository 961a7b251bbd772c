"""Significance: whether the models of a page differ from its first one by more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import polars as pl

from lengthwise.report.parts import WORDS, Cell, Drawn, Section, TableText
from lengthwise.report.results import Results
from lengthwise.report.significance import LEVEL, flips_p, holm, strings_p
from lengthwise.report.words import NONE, number

_PLACE = ["task", "seed", "length", "distribution"]
"""What two models share where they can be compared."""


@dataclass(frozen=True)
class Compared:
    """One model beside the reference on one task, at the points beyond training that both answered.

    Args:
        family: the model.
        task: the task.
        by_seed: difference of the mean accuracies, a seed that both have each.
        better: whether the model is ahead at the point with the smallest p.
        p: of the strings, for these trained models; the smallest of all points, times their number.
    """

    family: str
    task: str
    by_seed: dict[int, float]
    better: bool
    p: float

    @property
    def difference(self) -> float:
        """The mean over seeds."""
        return fmean(self.by_seed.values())


class Significance(Section):
    """A table of the models that share tasks with the first, a row each."""

    def applies(self, results: Results) -> bool:
        """Whether there is more than one family whose accuracy was measured by length."""
        return results.accuracy["family"].n_unique() > 1

    def draw(self, results: Results) -> Drawn:
        """Return the table, where any model was measured where the reference was."""
        found = compare(results)
        return Drawn([significance_table(results, found)] if found else [])


def compare(results: Results) -> list[Compared]:
    """Return each model beside the reference, on each task that they share."""
    beyond = (pl.col("length") > pl.col("training_length")) | (pl.col("distribution") != "standard")
    rows = results.accuracy.filter(beyond)
    first = results.families[0]
    reference = rows.filter(family=first).select(*_PLACE, other="correct", other_samples="samples")
    pairs = rows.filter(pl.col("family") != first).join(reference, on=_PLACE)
    groups = pairs.partition_by("family", "task", as_dict=True, maintain_order=True)
    return [_compared(str(family), str(task), own) for (family, task), own in groups.items()]


def _compared(family: str, task: str, pairs: pl.DataFrame) -> Compared:
    # Strings of several seeds are different strings; those of several lengths may share prefixes, so each is a test.
    counts = ["correct", "samples", "other", "other_samples"]
    points = pairs.group_by("length", "distribution", maintain_order=True).agg(pl.col(counts).sum())
    tests = [(strings_p(*point), point[0] * point[3] > point[2] * point[1]) for point in points.select(counts).rows()]
    p, better = min(tests)
    gap = pl.col("correct") / pl.col("samples") - pl.col("other") / pl.col("other_samples")
    seeds = pairs.group_by("seed", maintain_order=True).agg(gap.mean().alias("gap")).select("seed", "gap")
    return Compared(family, task, dict(seeds.iter_rows()), better, min(1.0, p * len(tests)))


def significance_table(results: Results, found: Sequence[Compared]) -> TableText:
    """Return the table of what was compared."""
    corrected = holm([one.p for one in found])
    families = list(dict.fromkeys(one.family for one in found))
    of = {family: [one for one in found if one.family == family] for family in families}
    seeds = holm([flips_p([gap for one in of[family] for gap in one.by_seed.values()]) for family in families])
    tasks = holm([flips_p([one.difference for one in of[family]]) for family in families])
    rows: list[list[Cell]] = []
    for family, p_seeds, p_tasks in zip(families, seeds, tasks, strict=True):
        told = [one.better for one, p in zip(found, corrected, strict=True) if one.family == family and p < LEVEL]
        mean = 100 * fmean(one.difference for one in of[family])
        counts = (sum(told), len(told) - sum(told), len(of[family]) - len(told))
        pairs = sum(len(one.by_seed) for one in of[family])
        rows.append(
            [
                *(Cell(family), Cell(f"{mean:+.2f}".replace("-", "\N{MINUS SIGN}")), *(Cell(str(n)) for n in counts)),
                *(_p_cell(p_seeds, pairs), _p_cell(p_tasks, len(of[family]))),
            ]
        )
    names = ["model", "task", "seeds", "difference", "p_strings", "p_strings_holm"]
    data = [(one.family, one.task, len(one.by_seed), one.difference, one.p) for one in found]
    said, reference = dict(WORDS["significance"]), results.families[0]
    said |= {"note": said["note"].format(reference=reference), "printed": f"{said['printed']} {reference}"}
    return TableText(
        name=f"{results.prefix}significance",
        **said,
        rows=rows,
        file=f"{results.prefix}significance-by-task.csv",
        data=pl.DataFrame([(*line, p) for line, p in zip(data, corrected, strict=True)], schema=names, orient="row"),
    )


def _p_cell(p: float, pairs: int) -> Cell:
    if pairs < 2:
        return Cell(NONE, "one pair")
    return Cell(number(p), f"{pairs} pairs", "good" if p < LEVEL else "")
