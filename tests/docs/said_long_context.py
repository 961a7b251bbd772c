"""Tables and sentences of ``docs/long_context.md``, as the rows of ``results/states`` give them."""

from collections.abc import Iterator

import polars as pl
from measured import line, runs, table

STARTS = {
    "base": "as trained",
    "zero": "zero, the control",
    "random_noise": "random noise",
    "fitted_noise": "noise fitted once, to states after 16 T of filler",
    "state_passing": "states of other rows",
    "tbptt": "TBPTT over 4 to 64 T",
    "filler_passing": "states after filler",
}


def sentences() -> Iterator[str]:
    """Yield what the page says."""
    rows, found = whole(), runs("states")
    lengths = sorted(rows["length"].unique())
    (context,) = {run.head.training_length for run in found}
    assert context == 64
    multiples = ["T" if length == context else f"{length // context} T" for length in lengths]
    seeds, depths = rows["seed"].n_unique(), sorted(rows["depth"].unique())
    (strings,) = rows["samples"].unique()
    settings = {run.head.recipe.rpartition("-")[2]: run for run in found if run.head.seed == 0}
    base, after = settings["base"], settings["zero"]
    (digits,) = {run.settings["task"]["digits"] for run in found}
    yield f"A key of {('no', 'one', 'two', 'three', 'four', 'five')[digits]} digits stands somewhere in the prose"
    yield f"The model, a Mamba-2 of {base.settings['model']['layers']} layers, is trained at T = {context} words"
    yield f"and is measured to {multiples[-1]}"
    seconds = [run.seconds for run in found if run.head.recipe.endswith("-base")]
    yield f"in {min(seconds):.0f} to {max(seconds):.0f} core-seconds ({base.head.step} steps)"
    yield f"The other rows go on from there for {after.settings['training']['steps']:,} steps"
    yield f"{strings} strings a length, depth and seed, {seeds} seeds"
    yield f"depths {', '.join(f'{depth:g}' for depth in depths[:-1])} and {depths[-1]:g}"
    yield line("start", *multiples)
    for start, name in STARTS.items():
        yield line(name, *(_cell(rows.filter(start=start, length=length)) for length in lengths))
    best = rows.filter(start="filler_passing")
    for multiple in (64, 128):
        of = best.filter(length=multiple * context)
        low, high = _by_depth(of)
        seed = of.group_by("seed", "depth").agg(pl.col("value").mean())["value"].min()
        keys = f"at {multiple} T {low:.2f} to {high:.2f} of the keys by their depth"
        yield f"{keys}, and {seed:.2f} with the worst seed and depth"
    passed = settings["filler_passing"].settings["intervention"]
    older = 100 * (1 - passed["reset"]) ** 64
    yield f"{older:.0f} in a hundred states are older than 64 T (`reset: {passed['reset']:g}`)"
    yield f"a quarter of the rows (`zero_share: {passed['zero_share']:g}`)"
    mixer = base.settings["model"]["mixer"]
    yield f"over the {lengths[-1]:,} words that are measured"
    yield f"Fitted once to the states after filler it recalls {_mean(rows, 'fitted_noise', 1024)} at 16 T"
    yield f"at random {_mean(rows, 'random_noise', 1024)}, and the control {_mean(rows, 'zero', 1024)}"
    yield "perfect to 256 thousand tokens after fitted noise, and to 16 thousand without"
    yield "Mamba-2 of 780 million weights"
    yield f"`initial_rates: [{mixer['initial_rates'][0]:g}, {mixer['initial_rates'][1]:g}]`"


def whole() -> pl.DataFrame:
    """Return the share of keys of which every digit is right, with the start of each row's recipe."""
    rows = table("states").rows.filter(metric="sequence_accuracy")
    return rows.with_columns(start=pl.col("recipe").str.split("-").list.last())


def _mean(rows: pl.DataFrame, start: str, length: int) -> str:
    return f"{rows.filter(start=start, length=length)['value'].mean():.2f}"


def _cell(rows: pl.DataFrame) -> str:
    """Return the mean over depths and seeds, and the lowest and the highest depth where they differ."""
    mean, (low, high) = rows["value"].mean(), _by_depth(rows)
    return f"{mean:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{mean:.2f} ({low:.2f} to {high:.2f})"


def _by_depth(rows: pl.DataFrame) -> tuple[float, float]:
    means = rows.group_by("depth").agg(pl.col("value").mean())["value"]
    return float(means.min()), float(means.max())  # pyright: ignore[reportArgumentType]
