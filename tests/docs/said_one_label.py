"""Table and sentences of ``docs/one_label.md`` that hold numbers, as rows and certificates give them."""

from collections.abc import Iterator

import polars as pl
from measured import NEAR, STANDARD, errors, line, rows, runs, samples, upper_limit

from lengthwise.report.results import title

FOLDER = "one_label"
FAR = 10_000
"""From this length on strings are long."""


def sentences() -> Iterator[str]:
    """Yield what the page says."""
    found = runs(FOLDER)
    yield line("language", "strings", "trained to", "beyond training", "near misses", "10,000 to 100,001", "proved")
    flawless, proofs = set[str](), 0
    for task in dict.fromkeys(run.settings["task"]["language"] for run in found):
        own = [run for run in found if run.settings["task"]["language"] == task]
        seeds = len(own)
        (trained,) = {run.settings["task"]["train"]["maximum"] for run in own}
        (strings,) = {run.head.sequences for run in own}
        of = rows(FOLDER).filter(pl.col("task") == task)
        beyond = of.filter(STANDARD, pl.col("length").is_between(trained + 1, FAR - 1, closed="left"))
        parts = [beyond, of.filter(NEAR), of.filter(STANDARD, pl.col("length") >= FAR - 1)]
        proved = sum(run.attachments["certificate"].verdict == "every_length" for run in own)
        proofs += proved
        if not any(errors(part) for part in parts):
            flawless.add(task)
        cells = [f"{errors(part):,} of {samples(part):,}" for part in parts]
        yield line(title(task), f"{strings:,}", trained, *cells, f"{proved} of {seeds}")
    yield f"**{len(flawless)} of {len({run.settings['task']['language'] for run in found})} languages kept"
    yield f"{proofs} of {len(found)} units are proved"
    most = max(run.head.sequences for run in found if run.settings["task"]["language"] in flawless)
    yield f"from at most {most:,} strings"
    yield f"leaves at most {upper_limit(6144):.2f} %, with 95 % confidence"
