"""Table and sentences of ``docs/listops.md`` that hold numbers, as rows give them."""

from collections.abc import Iterator

import polars as pl
from measured import errors, line, rows, runs, samples, table

from lengthwise.report.words import percent

RECIPE = "listops/nested"
PUBLISHED = "listops/published"
SHAPES = ((5, 4), (10, 4), (15, 4), (5, 8), (5, 20))
"""The most arguments and levels: as in training, more arguments, and deeper."""


def sentences() -> Iterator[str]:
    """Yield what the page says."""
    found = [run for run in runs("listops") if run.head.recipe == RECIPE]
    (sequences,) = {run.head.sequences for run in found}
    yield f"{sequences:,} strings with one label each"
    (task,) = {(of["train"]["minimum"], of["train"]["maximum"], of["arguments"], of["depth"])
               for run in found for of in [run.settings["task"]]}  # fmt: skip
    yield f"of {task[0]} to {task[1]} tokens, with at most {task[2]} arguments and {task[3]} levels"
    (few, levels), (more, _), (most, _), (_, deep), (_, deepest) = SHAPES
    assert (few, levels) == task[2:]
    beyond = [f"{few + 1} to {more} arguments", f"{more + 1} to {most} arguments"]
    beyond += [f"{levels + 1} to {deep} levels", f"{deep + 1} to {deepest} levels"]
    yield line("tokens", "as in training", *beyond, "top digits")
    (proved,) = {run.attachments["certificate"].statement for run in found}
    yield f"for {proved.partition(', of ')[2].partition(' arguments')[0]} arguments of a median, each"
    accuracy = rows("listops").filter(recipe=RECIPE)
    floors = table("listops").rows.filter(recipe=RECIPE, metric="floor_top_digits")
    (strings,) = accuracy["samples"].unique()
    yield f"{strings:,} strings a cell and seed, seeds {found[0].head.seed} to {found[-1].head.seed}"
    for length in sorted(accuracy["length"].unique()):
        cells = [_of(accuracy, length, shape) for shape in SHAPES]
        yield f"| {length:,} | {' | '.join([*cells, _of(floors, length, SHAPES[0])])} |"
    yield f"up to {accuracy['length'].max() // task[1]} times as long and five times as deep"
    assert accuracy["depth"].max() == 5 * levels
    deep = accuracy.filter(arguments=5)
    yield from _published()
    yield f"{errors(deep)} errors in {samples(deep):,} strings with up to 5 arguments"


def _published() -> Iterator[str]:
    """Yield the lines of the published files."""
    found = rows("listops").filter(pl.col("recipe") == PUBLISHED, pl.col("file").is_not_null())
    seeds, (sequences,) = (
        found["seed"].n_unique(),
        {run.head.sequences for run in runs("listops") if run.head.recipe == PUBLISHED},
    )
    yield f"{sequences:,} strings of its own and {seeds} seeds"
    bounds = sorted(found["up to"].unique())
    yield line("file", *(f"{bound:,}" if place else "a digit" for place, bound in enumerate(bounds)), "all")
    for name in sorted(found["file"].unique()):
        own = found.filter(file=name)
        cells = [own.filter(pl.col("up to") == bound) for bound in bounds]
        yield line(f"`{name}`", *(f"{errors(one)} of {samples(one):,}" if len(one) else "-" for one in cells),
                   percent(1 - errors(own) / samples(own), 2))  # fmt: skip


def _of(found: pl.DataFrame, length: int, shape: tuple[int, int]) -> str:
    """Return the mean of a cell over the seeds, in per cent."""
    cell = found.filter(length=length, arguments=shape[0], depth=shape[1])
    return percent(cell["value"].mean(), 1) if len(cell) else "-"
