"""Tables of ``docs/classification.md``, as rows give them."""

from collections.abc import Iterator

import polars as pl
from measured import line, table

from lengthwise.report.words import percent

FLOORS = {"majority": "floor_majority", "TF-IDF": "floor_tf_idf", "four shares of matches": "floor_overlap"}


def sentences() -> Iterator[str]:
    """Yield the lines of the table, a recipe each: the mean, the seeds, the guesses, and pairs beside one of them."""
    found = table("classification").rows.filter(pl.col("split") == "test")
    yield line("recipe", "accuracy", "seeds", *FLOORS, "above the guess beside it", "texts")
    for (recipe,), part in sorted(found.partition_by("recipe", as_dict=True).items()):
        accuracy = part.filter(pl.col("metric") == "accuracy").sort("seed")
        compared = part.filter(pl.col("metric").str.starts_with("above_"))
        guesses = [_mean(part, metric) for metric in FLOORS.values()]
        seeds = ", ".join(percent(value, 1) for value in accuracy["value"])
        numbers = [[100 * row[name] for name in ("value", "low", "high")] for row in compared.sort("seed").to_dicts()]
        above = ", ".join(f"{mean:+.1f} ({low:+.1f} to {high:+.1f})" for mean, low, high in numbers)
        yield line(f"`{recipe}`", _mean(part, "accuracy"), seeds, *guesses, above, f"{accuracy['samples'].max():,}")


def _mean(part: pl.DataFrame, metric: str) -> str:
    """Return the mean over seeds, in per cent."""
    values = part.filter(pl.col("metric") == metric)["value"]
    return percent(float(values.mean()), 1) if len(values) else "-"  # pyright: ignore[reportArgumentType]
