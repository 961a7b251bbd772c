"""Draw the figure at the top of README from the committed rows: what falls beyond the training length, what does not.

python docs/figures/front.py docs/figures
"""

import sys
from pathlib import Path

import polars as pl

from lengthwise.report.axes import ACCURACIES, count_axis, position_axis, value_axis
from lengthwise.report.panels import Panel, over_seeds
from lengthwise.report.parts import Figure
from lengthwise.report.results import BY_POSITION, Results, comparable
from lengthwise.runs.shipped import find_results
from lengthwise.runs.table import read_table

TASK, TRAINED, FARTHEST = "cycle_navigation", 40, 100_000
MODELS = {"unit_associative": "log-depth unit", "lstm": "LSTM", "mamba2": "Mamba-2", "transformer": "Transformer"}
STARTS = {"text/mamba2/state_passing": "repaired in 500 steps", "text/mamba2/base": "as trained"}
CONTEXT = 64


def results(name: str) -> Results:
    """Return the rows of committed results."""
    (found,) = comparable(read_table([find_results(name)]))
    return found


def models() -> pl.DataFrame:
    """Return the accuracy of four models on one language, beyond the training length."""
    rows = results("baselines").accuracy.filter(
        pl.col("family").is_in([*MODELS]), pl.col("length") >= TRAINED, task=TASK, distribution="standard"
    )
    return over_seeds(rows.with_columns(kind=pl.col("family").replace(MODELS)), "length")


def starts() -> pl.DataFrame:
    """Return perplexity by position of a language model, as trained and after state passing."""
    losses = results("text/mamba2").rows.filter(BY_POSITION, pl.col("part").is_null(), metric="loss")
    rows = losses.filter(pl.col("series").is_in([*STARTS]), pl.col("end") >= 16).with_columns(
        pl.col("value", "low", "high").exp(), kind=pl.col("series").replace(STARTS)
    )
    return over_seeds(rows, "end", geometric=True)


def figure() -> Figure:
    """Return the two panels."""
    of_models, of_starts = models(), starts()
    left = Panel(
        "Cycle navigation: accuracy by length",
        [*MODELS.values()],
        key="length",
        x=count_axis("length in symbols, 40 in training", of_models["length"]),
        y=ACCURACIES,
        height=260,
    )
    left.add_rule("y", [0.2], "guessing", [1, 3], upper=True)
    left.add_series(of_models)
    left.add_labels(of_models)
    right = Panel(
        "Mamba-2 on text: perplexity by position",
        [*STARTS.values()],
        key="end",
        x=position_axis(CONTEXT, of_starts["end"]),
        y=value_axis([*of_starts["low"], *of_starts["high"]]),
        quantity="perplexity",
        number=".3f",
        height=260,
    )
    right.add_rule("x", [CONTEXT], "windows of {} in training", [4, 3], upper=True)
    right.add_series(of_starts)
    right.add_labels(of_starts)
    heading = "Trained on short inputs, run on long ones"
    note = "Lines: means over seeds; bands: lowest to highest seed. All data from the rows in results/."
    return Figure(name="front", heading=heading, note=note, caption=heading, drawings=[left, right], width=330)


if __name__ == "__main__":
    figure().write(Path(sys.argv[1]))
