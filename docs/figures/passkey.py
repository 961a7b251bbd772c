"""Draw the figure of docs/long_context.md of committed rows: keys recalled by depth and length after three starts.

python docs/figures/passkey.py docs/figures
"""

import sys
from pathlib import Path

import polars as pl

from lengthwise.report.panels import over_seeds
from lengthwise.report.parts import Figure
from lengthwise.report.sections.by_axis import HeatMap
from lengthwise.runs.shipped import find_results
from lengthwise.runs.table import read_table

STARTS = {
    "zero": "From zero states, the control",
    "tbptt": "TBPTT",
    "filler_passing": "From states after filler",
}
AXES = ("length", "depth")


def figure() -> Figure:
    """Return a map for each start."""
    rows = read_table([find_results("states")]).rows.filter(metric="sequence_accuracy")
    maps = [
        HeatMap(
            name,
            rows=over_seeds(
                rows.filter(pl.col("recipe").str.ends_with(f"-{start}")).with_columns(series="recipe", kind="recipe"),
                *AXES,
            ),
            axes=AXES,
            metric="sequence_accuracy",
        )
        for start, name in STARTS.items()
    ]
    heading = "Keys recalled by a Mamba-2 that was trained on 64 words"
    note = "In per cent, by the length of the text and the depth of the key; mean over three seeds."
    return Figure(name="passkey", heading=heading, note=note, caption=heading, drawings=list(maps), width=230)


if __name__ == "__main__":
    figure().write(Path(sys.argv[1]))
