"""Sentences of ``docs/forecast.md`` that hold numbers, as the rows give them."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from statistics import fmean
from typing import NamedTuple

import polars as pl
from measured import STANDARD, line, rows, table

from lengthwise.evaluation.forecast import FAILING, FARTHEST, HOLDING, READ, STEEP, expected

OCTAVES = (2, 4, 8, 16, 32, 64)
NEVER = 128
"""Stands for a run that did not fail to 64 T."""
BANDS = ((-math.inf, 1.0), (1.0, HOLDING), (HOLDING, STEEP), (STEEP, 1.05), (1.05, FAILING), (FAILING, math.inf))


class Read(NamedTuple):
    """What is known of a run at four contexts, and what became of it."""

    family: str
    failed: int
    """The multiple of T at which the octave ends in which it failed first."""
    ratio: float
    low: float
    high: float
    growth: float
    """Logarithm of the standard deviation of the state at 4 T over that at T, of the part where it is largest."""
    moved: float
    """How far the mean of the state moved meanwhile, in standard deviations, of the part where it is largest."""
    remembrance: float
    """Of dropping the first T of 4 T symbols; NaN where it was not measured."""


def sentences() -> Iterator[str]:
    """Yield what the page says."""
    found = all_runs()
    yield f"Reading {FARTHEST} training contexts takes {FARTHEST // READ} times as long as reading {READ}."
    yield f"wherever it reads less than {FARTHEST} T"
    place = f"positions {READ // 2} T to {READ} T"
    yield f"The *ratio at {READ} T* is the perplexity at {place} divided by that of the same symbols"
    yield (
        f"Up to a ratio of {HOLDING:g} no failure is expected to {FARTHEST} T; above it, one at about "
        f"{expected(HOLDING + 1e-6).multiple} T; above {STEEP:g}, at about {expected(STEEP + 1e-6).multiple} T."
    )
    yield f"Where {HOLDING:g} lies within the interval of the ratio"
    yield f"what can be read at {READ} T with how soon a run fails"
    yield line(f"read at {READ} T", "runs", "correlation")
    sizes = [run.head.parameters or 0 for run in table("text").runs]
    contexts = [run.head.training_length or 0 for run in table("text").runs]
    largest = f"weights, other texts, and contexts above {max(contexts)}"
    yield f"Not known: larger models than these of {min(sizes):,} to {max(sizes):,} {largest}"
    failing = [one for one in found if one.failed < NEVER]
    families = len({one.family for one in found})
    yield f"{len(found)} runs of {families} families, {len(failing)} of which rise above {FAILING:g} times by 64 T"
    yield line(f"ratio at {READ} T", "runs", *(f"{one} T" for one in OCTAVES), "not to 64 T")
    for low, high in BANDS:
        counts = Counter(one.failed for one in found if low < one.ratio <= high)
        words = f"above {low:g}" if high == math.inf else f"to {high:g}" if low < 0 else f"{low:g} to {high:g}"
        yield line(words, counts.total(), *(counts[one] or "" for one in (*OCTAVES, NEVER)))
    failed = [-math.log2(one.failed) for one in found]
    yield line("ratio at 4 T", len(found), f"{rank(found, failed, 'ratio'):.2f}")
    known = [one for one in found if not math.isnan(one.remembrance)]
    remembrance = rank(known, [-math.log2(one.failed) for one in known], "remembrance")
    yield line("effective remembrance of the first T of 4 T", len(known), f"{remembrance:.2f}")
    yield line("growth of the state's deviation from T to 4 T", len(found), f"{rank(found, failed, 'growth'):.2f}")
    yield line("movement of the state's mean from T to 4 T", len(found), f"{rank(found, failed, 'moved'):.2f}")
    decided = [one for one in found if not one.low <= HOLDING < one.high]
    yield f"is said of {len(decided)} runs and left open of {len(found) - len(decided)}"
    yield _hits(decided, {one: expected(one.ratio).multiple or NEVER for one in decided})
    yield _hits(decided, left_out(decided))
    yield _languages()


def all_runs() -> list[Read]:
    """Return all runs of ``results/text`` that were followed to 64 T."""
    return [_read(run) for run in table("text").rows.partition_by("digest", "seed")]


def _read(run: pl.DataFrame) -> Read:
    context = int(run["training_length"][0])
    ratios = run.filter(metric="ratio").sort("end")
    ends = [end // context for end in ratios["end"].to_list()]
    values = dict(zip(ends, ratios["value"], strict=True))
    at = ends.index(READ)
    parts = run.filter(pl.col("part").is_not_null())
    growth, moved = list[float](), list[float]()
    for part in parts.partition_by("part"):
        first, last = ({name: _nearest(part, name, end) for name in ("std", "mean")} for end in (context, 4 * context))
        growth.append(math.log(last["std"] / first["std"]))
        moved.append(abs(last["mean"] - first["mean"]) / first["std"])
    dropped = run.filter(pl.col("start") >= context, metric="remembrance").sort("start")
    return Read(
        run["model"][0],
        next((end for end in ends if values[end] > FAILING), NEVER),
        *(ratios[name][at] for name in ("value", "low", "high")),
        max(growth),
        max(moved),
        dropped["value"][0] if len(dropped) else math.nan,
    )


def _nearest(part: pl.DataFrame, name: str, end: int) -> float:
    """Return a statistic of the state at the measured position nearest to one."""
    measured = part.filter(metric=f"state_{name}")
    return float(measured.sort((pl.col("end") - end).abs(), maintain_order=True)["value"][0])


def rank(found: Sequence[Read], failed: Sequence[float], read: str) -> float:
    """Return Spearman's rank correlation of what was read with how soon a run failed."""
    both = pl.DataFrame({"read": [getattr(one, read) for one in found], "failed": failed})
    return float(both.select(pl.corr("read", "failed", method="spearman")).item())


def left_out(found: Sequence[Read]) -> Mapping[Read, int]:
    """Return forecasts of each family by the thresholds that are best for all others."""
    said = dict[Read, int]()
    steps = [1 + step / 1000 for step in range(51)]
    for family in {one.family for one in found}:
        others = [one for one in found if one.family != family]
        _, holding, steep = min(
            (sum(_apart(one, _multiple(one, *both)) for one in others), *both)
            for both in product(steps, steps)
            if both[0] <= both[1]
        )
        said |= {one: _multiple(one, holding, steep) for one in found if one.family == family}
    return said


def _multiple(one: Read, holding: float, steep: float) -> int:
    return expected(one.ratio, holding, steep).multiple or NEVER


def _apart(one: Read, said: int) -> float:
    """Return how many octaves a forecast is off."""
    return abs(math.log2(said / max(one.failed, READ)))


def _hits(found: Sequence[Read], said: Mapping[Read, int]) -> str:
    right = sum((said[one] < NEVER) == (one.failed < NEVER) for one in found)
    both = [one for one in found if said[one] < NEVER and one.failed < NEVER]
    exact = sum(_apart(one, said[one]) == 0 for one in both)
    near = sum(_apart(one, said[one]) <= 1 for one in both)
    octaves = f"{exact} in that octave and {near} within one"
    return f"right for {right} of {len(found)}; of {len(both)} that fail as said, {octaves}"


def _languages() -> str:
    """Return what the error near four training lengths says of a model of a language."""
    measured = rows("baselines").filter(STANDARD, pl.col("length") <= 1_000, training_length=40)
    errors, failed = list[float](), list[float]()
    for run in measured.partition_by("digest", "seed"):
        beyond = run.filter(pl.col("length") > 40).sort("length")
        near = beyond.filter(pl.col("length").is_between(81, 160))["value"].to_list()
        longer = [length for length, value in beyond.select("length", "value").iter_rows() if value < 0.9]
        if near and (not longer or longer[0] > 160):
            errors.append(1 - fmean(near))
            failed.append(-float(longer[0] if longer else 10**6))
    both = pl.DataFrame({"read": errors, "failed": failed})
    found = float(both.select(pl.corr("read", "failed", method="spearman")).item())
    late = sum(one > -(10**6) for one in failed)
    clean = [length for error, length in zip(errors, failed, strict=True) if error == 0]
    lost = sum(length > -(10**6) for length in clean)
    return (
        f"Of {len(errors)} runs that are right on nine strings in ten to 160 symbols, {late} fall below that later; "
        f"the rank correlation is {found:.2f}, and of {len(clean)} without any error from 81 to 160, {lost} fall all "
        f"the same (`results/baselines`, to {measured['length'].max():,} symbols)"
    )
