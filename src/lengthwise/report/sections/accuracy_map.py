"""Maps of accuracy: tasks downwards, spans of length from left to right, a panel a model."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from itertools import count

import altair as alt
import polars as pl

from lengthwise.report.panels import Drawing
from lengthwise.report.results import Results, ordered_tasks, title
from lengthwise.report.sections.grid import STEPS
from lengthwise.report.words import percent

_CELL = 15
"""Height of a row, in pixels."""
_TRAINED, _NEAR = "train", "near"
_NEIGHBOUR = 1.01
"""So that 1,001 belongs to 1,000: a length and its neighbour are read for the sake of tasks with one parity."""


@dataclass
class AccuracyMap(Drawing):
    """The accuracy of one model on every task and in every span of lengths.

    Args:
        rows: with `task`, `span`, `lengths` in words, `mean`, `text` and the `step` of the colour.
        spans: from left to right.
        tasks: downwards.
    """

    _: KW_ONLY
    rows: pl.DataFrame
    spans: list[str]
    tasks: list[str]

    def __post_init__(self) -> None:
        self.height = _CELL * len(self.tasks)
        self._base = self.chart(self.rows.to_dicts())

    def described(self) -> str:
        """Say what is drawn along what."""
        return f"{self.title}: accuracy in percent by task and length"

    def layers(self) -> list[alt.Chart]:
        """Return the cells and their numbers."""
        head = alt.Axis(title=None, orient="top", labelAngle=0, labelFontSize=10, labelOverlap=False, grid=False)
        side = alt.Axis(title=None, grid=False, ticks=False)
        # Every map has the rows of all, so that one can be laid beside another.
        across = alt.X("span:O", scale=alt.Scale(domain=self.spans), axis=head)
        down = alt.Y("task:O", scale=alt.Scale(domain=self.tasks), axis=side)
        base = self._base.encode(x=across, y=down)
        steps = list(range(len(STEPS) + 1))
        grounds, inks = (alt.Scale(domain=steps, range=colours) for colours in ("ordinal", "heatmap"))
        told = {"task": "task", "lengths": "lengths", "said": "accuracy"}
        cells = base.mark_rect().encode(
            color=alt.Color("step:O", scale=grounds, legend=None),
            tooltip=[alt.Tooltip(f"{name}:N", title=said) for name, said in told.items()],
        )
        text = base.mark_text(fontSize=9, aria=False)
        return [cells, text.encode(text=alt.Text("text:N"), fill=alt.Fill("step:O", scale=inks, legend=None))]


def accuracy_maps(results: Results) -> list[AccuracyMap]:
    """Return a map a model."""
    rows = _spans(results)
    near = rows["span"] == _NEAR
    ends = rows.filter(~near).group_by("span").agg(pl.col("until").max()).sort("until")["span"].to_list()
    spans = [*ends, *([_NEAR] if near.any() else [])]
    tasks = [title(task) for task in ordered_tasks(results.accuracy)]
    own = rows.partition_by("family", as_dict=True)
    return [
        AccuracyMap(family, rows=own[family,], spans=spans, tasks=tasks)
        for family in results.families
        if (family,) in own
    ]


def _spans(results: Results) -> pl.DataFrame:
    """Return the accuracy of each model, task and span of lengths: the lower of those over even and over odd lengths.

    A language may accept nothing at odd lengths, where saying no is right; the mean over both would hide a fall.
    """
    rows, near = results.accuracy, pl.col("distribution") == "near_miss"
    known = rows.select("length", "training_length").unique()
    ends = {pair: _end(*pair) for pair in known.rows()}
    placed = known.with_columns(until=pl.Series([ends[pair] for pair in known.rows()], dtype=pl.Int64))
    inside = pl.col("length") <= pl.col("training_length")
    spans = pl.when(near).then(pl.lit(_NEAR)).when(inside).then(pl.lit(_TRAINED)).otherwise(_short("until"))
    # Near misses are of one span, whatever their lengths.
    until = pl.when(near).then(0).otherwise("until")
    measured = rows.join(placed, on=["length", "training_length"]).with_columns(span=spans, until=until)
    parity = measured.group_by("family", "task", "span", "until", pl.col("length") % 2, maintain_order=True).agg(
        mean=pl.col("correct").sum() / pl.col("samples").sum(),
        first=pl.col("length").min().alias("first"),
        last=pl.col("length").max().alias("last"),
    )
    found = parity.group_by("family", "task", "span", maintain_order=True).agg(
        pl.col("until", "last").max(), pl.col("mean", "first").min()
    )
    return found.with_columns(
        pl.Series("task", map(title, found["task"])),
        pl.Series("text", [percent(mean, 0).removesuffix(".0") for mean in found["mean"]]),
        pl.Series("said", [f"{percent(mean)} %" for mean in found["mean"]]),
        pl.Series(
            "lengths", [f"{a:,} to {b:,}" if a < b else f"{a:,}" for a, b in found.select("first", "last").rows()]
        ),
        step=pl.sum_horizontal([(pl.col("mean") >= step).cast(pl.Int64) for step in STEPS]),
    ).drop("first", "last")


def _end(length: int, trained: int) -> int:
    """Return where the span of a length ends: that of training, then at 1, 2 and 5 times powers of ten."""
    ends = (factor * 10**power for power in count() for factor in (1, 2, 5))
    return 0 if length <= trained else next(end for end in ends if end > trained and length <= _NEIGHBOUR * end)


def _short(column: str) -> pl.Expr:
    thousands = pl.format("{}k", pl.col(column) // 1000)
    return pl.when(pl.col(column) >= 1000).then(thousands).otherwise(pl.col(column).cast(pl.String))
