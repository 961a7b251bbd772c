"""Sentences and tables of ``docs/baselines.md`` that hold numbers, as the rows give them."""

import math
from collections.abc import Iterator
from functools import cache
from statistics import median

import polars as pl
from measured import (
    PROTOCOL,
    PUBLISHED,
    STANDARD,
    TRAINED,
    Cell,
    cells,
    errors,
    exact_mean,
    line,
    listed,
    rows,
    runs,
    said,
    short,
    table,
    upper_limit,
)

from lengthwise.report.sections.published import read_sources
from lengthwise.report.words import percent
from lengthwise.runs.recipe import load_recipe

SEEDS = 3
PAPER = {"sum": "LDRU, sum", "linear": "LDRU, linear operator", "gated_sum": "LDRU, gated sum",
         "grc": "LDRU, GRC operator", "mlp": "LDRU, MLP operator"}  # fmt: skip
BEYOND = 5
"""Points from a published number at which ours stands out."""

TASKS = {
    "parity": "parity", "even_pairs": "even pairs", "cycle_navigation": "cycle navigation",
    "modular_arithmetic": "modular arithmetic", **{f"tomita_{n}": f"Tomita {n}" for n in range(3, 8)},
    **{f"dyck_{n}": f"D_{n}" for n in (2, 3, 4, 6, 8, 12)},
    **{f"prefix_{p}_{q}": f"P({p},{q})" for p, q in ((1, 2), (1, 4), (2, 2), (2, 4), (4, 2), (4, 4))},
}  # fmt: skip
MODELS = {
    "unit_associative": "unit, associative", "unit_mlp": "unit, MLP", "rnn": "RNN tanh", "rnn_relu": "RNN ReLU",
    "gru": "GRU", "lstm": "LSTM", "slstm": "sLSTM", "regular_gpt": "RegularGPT", "transformer": "Transformer",
    "transformer_randomised": "Transformer, randomised", "sd_ssm": "SD-SSM", "s5": "S5", "mamba2": "Mamba-2",
    "mlstm": "mLSTM", "deltanet": "DeltaNet", "deltanet_negative": "DeltaNet [-1, 1]",
}  # fmt: skip
RATES = {
    "rnn": "RNN, tanh", "rnn_relu": "RNN, ReLU", "gru": "GRU", "lstm": "LSTM", "slstm": "sLSTM", "mlstm": "mLSTM",
    "transformer": "Transformer, pre-norm, no positions", "regular_gpt": "RegularGPT", "s5": "S5", "sd_ssm": "SD-SSM",
    "mamba2": "Mamba-2", "deltanet": "DeltaNet, eigenvalues in [0, 1]",
    "deltanet_negative": "DeltaNet, eigenvalues in [-1, 1]",
}  # fmt: skip


@cache
def grid() -> dict[tuple[str, str], Cell]:
    """Return the cells of the table; a unit that the sweep has not measured comes from its own recipes."""
    found = dict(cells("baselines"))
    for unit, folder in (("unit_associative", "matrix"), ("unit_mlp", "fast")):
        for (_, task), own in cells(folder).items():
            found[unit, task] = max(found.get((unit, task), own), own, key=lambda cell: cell.seeds)
    return found


def flawless(model: str) -> int:
    """Return on how many tasks a model makes no error."""
    return sum(grid()[model, task].flawless for task in TASKS)


def sentences() -> Iterator[str]:
    """Yield what the page says."""
    yield from _recipes()
    yield from _headers()
    yield from _training()
    yield from _rates()
    yield from _protocol()
    yield from _table()
    yield from _reading()
    yield from _published()
    yield from _ablations()


def _recipes() -> Iterator[str]:
    recipes = {name: load_recipe(f"baselines/{name}") for name in RATES} | {
        "transformer_randomised": load_recipe("baselines/transformer_randomised")
    }
    settings = {name: recipe.settings() for name, recipe in recipes.items()}
    (batch,), (width,) = ({recipe.training.batch_size for recipe in recipes.values()},
                          {own["model"]["width"] for own in settings.values()})  # fmt: skip
    steps = {name: recipe.training.steps for name, recipe in recipes.items()}
    linear = [steps[name] for name in ("s5", "sd_ssm", "mamba2", "mlstm", "deltanet")]
    yield f"batches of {batch}, width {width}"
    yield (
        f"{steps['rnn']:,} for an RNN, {min(linear):,} to {max(linear):,} for a linear recurrence, "
        f"{steps['transformer_randomised']} for a Transformer with randomised positions"
    )
    stop = settings["lstm"]["training"]["stop"]
    assert all(own["training"]["stop"] == stop for own in settings.values())
    yield f"once its loss has stayed below {stop['loss_below']} for {stop['steps']} steps"
    yield f"strings of at most {settings['lstm']['task']['train']['maximum']} symbols"
    for name in ("rnn", "rnn_relu"):
        (cycle,) = {(run.settings["training"]["steps"], run.settings["training"]["optimiser"]["learning_rate"],
                     run.settings["objective"]["name"]) for run in runs("baselines")
                    if run.head.recipe == f"baselines/{name}-cycle_navigation"}  # fmt: skip
    assert cycle[2] == "asked"
    yield f"for {cycle[0]:,} steps at a rate of {cycle[1]}"
    (deltanet,) = {
        (run.head.sequences, run.head.step)
        for run in runs("baselines")
        if run.head.recipe
        in {"baselines/deltanet_negative-modular_arithmetic", "baselines/deltanet-modular_arithmetic"}
    }
    (early,) = {run.head.step for run in runs("baselines") if run.head.recipe == "baselines/deltanet_negative-parity"}
    assert deltanet[1] > early
    yield f"**DeltaNet** sees {deltanet[0]:,} strings here"
    yield f"Parity it fits after {early} steps"
    of = [(run.head.trained_on == "modular_arithmetic", run.head.step, run.settings["training"]["batch_size"])
          for run in runs("operators")]  # fmt: skip
    (most, last), (few, _) = {at[1:] for at in of if at[0]}.pop(), {at[1:] for at in of if not at[0]}.pop()
    assert len(set(of)) == 2
    yield f"{few} steps of {last} strings, {most:,} for modular arithmetic"
    (own,) = {
        run.settings["model"]["width"] for run in runs("operators") if run.head.recipe.split("/")[-1][:3] == "mlp"
    }
    yield f"ablation at width {own}"
    (few, last), *more = {(run.head.step, run.settings["training"]["batch_size"]) for run in runs("brackets")}
    assert not more
    yield f"MLP operator, {few} steps of {last} strings, seed 0"
    (strings,) = {run.head.sequences for run in runs("training_lengths")}
    yield f"up to four lengths on {strings:,} strings each"
    assert {run.head.seed for run in runs("operators", "brackets", "training_lengths")} == {0}
    yield "`results/operators`, seed 0"
    yield "`results/training_lengths`, seed 0"
    (steps,) = {run.head.step for run in runs("fast") if run.head.trained_on == "modular_arithmetic"}
    assert grid()["unit_mlp", "modular_arithmetic"].flawless
    yield f"with {steps:,} steps, and products of elements to learn from, the MLP operator makes no error either"


def _headers() -> Iterator[str]:
    """Yield the words of tables, and how lengths are named; `Cell` has the same ends."""
    beyond = f"{TRAINED + 1} to {PUBLISHED}"
    yield f"over lengths {beyond}, on near misses, and at each length from {PUBLISHED + 1} to {PROTOCOL:,}"
    yield "**100** is no error on any string of any kind"
    yield f"no near misses or no lengths beyond {PUBLISHED}"
    yield f"{beyond} for the first, {TRAINED + 1} to 256 for the second"
    yield f"from {beyond} symbols"
    yield line("lone node", "brackets", beyond, "at 1,000", "at 10,000", "near misses")
    yield line("language", "read at", *sorted({run.head.recipe.split("/")[-1].split("-")[0]
                                               for run in runs("training_lengths")}, key=int))  # fmt: skip
    yield "accuracy to 40, cycle navigation and D_4"
    gap = f"{BEYOND:g} points"
    yield f"marks every gap of more than {gap}"
    yield f"How other models do on the {len(TASKS)} languages"


def _training() -> Iterator[str]:
    baselines = [run for run in runs("baselines") if not run.head.recipe.startswith("baselines/unit")]
    seconds = [run.seconds for run in baselines]
    long = [run for run in baselines if run.seconds > 30]
    gpt = sum("regular_gpt" in run.head.recipe for run in long)
    yield (
        f"half of the {len(seconds)} runs took less than {math.ceil(median(seconds))} seconds of one core, "
        f"{len(long)} more than half a minute ({gpt} of them RegularGPT), the longest {math.ceil(max(seconds))}"
    )


def _rates() -> Iterator[str]:
    found = rows("baseline_rates").filter(pl.col("length") <= 40, pl.col("distribution") == "standard")
    found = found.with_columns(pl.col("variant").str.split("-"))
    found = found.with_columns(model=pl.col("variant").list.get(0), rate=pl.col("variant").list.get(1))
    yield f"mean accuracy on lengths {listed(sorted(found['length'].unique()))} over cycle navigation and D_4"
    for model, name in RATES.items():
        own = found.filter(model=model)
        rates = own["rate"].unique().sort().to_list()
        at = {
            (rate, task): exact_mean(own.filter(rate=rate, task=task))
            for rate in rates
            for task in own["task"].unique()
        }
        chosen = f"{_rate(model):g}"
        best = max(rates, key=lambda rate: (sum(at[rate, task] for task in own["task"].unique()), rate))
        assert best == chosen, f"{model} has the rate {chosen}, and {best} is better to 40 symbols"
        both = " and ".join(said(at[chosen, task], bold=False) for task in ("cycle_navigation", "dyck_4"))
        yield f"| {name} | {', '.join(rates)} | {chosen} | {both}"


def _rate(model: str) -> float:
    """Return the learning rate of a model's runs but those of cycle navigation, where two models have another."""
    of_model = [run for run in runs("baselines") if run.head.recipe.startswith(f"baselines/{model}-")]
    others = [run for run in of_model if run.head.trained_on != "cycle_navigation"]
    (rate,) = {run.settings["training"]["optimiser"]["learning_rate"] for run in others}
    return rate


def _protocol() -> Iterator[str]:
    def limit(task: str, of: str, first: int = 41, last: int = 1_001) -> str:
        measured = load_recipe("baselines/lstm", [f"task.language={task}"]).task.points("test")
        own = [point for point in measured if point.axes["distribution"] == of and first <= (point.length or 0) <= last]
        return f"{upper_limit(SEEDS * sum(point.samples for point in own)):.2f}"

    every, units = load_recipe("baselines/lstm").settings()["task"]["test"], _of_units()
    assert {key: value for key, value in units.items() if not key.startswith("long_")} == {
        key: value for key, value in every.items() if not key.startswith("long_")
    }
    dense = [f"{n} and {n + 1}" for n in range(1, PUBLISHED, every["every"])]
    yield line("standard", f"{', '.join(dense[:3])}, ..., {dense[-1]}", every["samples"])
    near = _pairs(every["near_misses"])
    yield line("near misses", f"{', '.join(near[:3])}, ..., {near[-1]}", every["samples"])
    yield line("standard", ", ".join(_pairs(every["long_lengths"])), every["long_samples"])
    far = _pairs([n for n in units["long_lengths"] if n not in every["long_lengths"]])
    yield line("standard, the units alone", ", ".join(far), units["long_samples"])
    own = cells("baselines")["lstm", "dyck_4"]
    if not any(run.settings["task"]["test"].get("pairs") for run in runs("baselines") if "lstm" in run.head.recipe):
        lengths, near = sorted(own.beyond["length"].unique()), sorted(own.near["length"].unique())
        assert (own.seeds, len(lengths)) == (3, 20), "twenty"
        (far,), (strings,) = set(own.far()["length"]), set(own.rows["samples"])
        yield (
            f"lengths from {lengths[0]} to {lengths[-1]}, near misses at {listed(near)}, and length {far:,}, "
            f"{strings} strings a length"
        )
    unit = cells("fast")["unit", "dyck_4"]
    assert set(range(TRAINED + 1, PUBLISHED + 1)) == set(unit.beyond["length"])
    (strings,) = set(unit.beyond["samples"])
    yield f"which are read at every length to {PUBLISHED}, {strings} strings each"
    yield (
        "Without an error on the strings of three seeds a model errs, with 95 % confidence, on at most "
        f"{limit('parity', 'standard', last=500)} % of standard strings to 500 symbols, "
        f"{limit('parity', 'near_miss')} % of near misses ({limit('dyck_4', 'near_miss')} % of those of D_n), and "
        f"{limit('parity', 'standard', first=501)} % of strings of 1,000 and 1,001 symbols"
    )


def _of_units() -> dict[str, object]:
    """Return what the sweep says of how the units are measured."""
    of = {run.head.recipe: run.settings["task"]["test"] for run in runs("baselines") if "unit" in run.head.recipe}
    return of["baselines/unit_associative-parity"]


def _pairs(lengths: list[int]) -> list[str]:
    return [f"{one:,} and {other:,}" for one, other in zip(lengths[::2], lengths[1::2], strict=True)]


def _table() -> Iterator[str]:
    yield line("", *MODELS.values())
    for task, name in TASKS.items():
        yield line(name, *(_cell(grid()[model, task]) for model in MODELS))
    yield line("no error", *map(flawless, MODELS))


def _cell(cell: Cell) -> str:
    # Without an error as far as it was measured, which is not everywhere.
    value = "100†" if cell.lowest == 1 and not cell.flawless else said(cell.lowest)
    return f"{value} <sub>{cell.seeds} · {short(cell.strings)}</sub>"


def _reading() -> Iterator[str]:
    found = grid()
    three = [model for model in MODELS if all(found[model, task].seeds == 3 for task in TASKS)]
    ranked = sorted((model for model in three if not model.startswith("unit")), key=lambda model: -flawless(model))
    units = [flawless(unit) for unit in ("unit_associative", "unit_mlp")]
    others = listed(f"{MODELS[model]} on {flawless(model)}" for model in ranked)
    yield f"the associative one makes no error on {units[0]} tasks of 21, the MLP one on {units[1]}"
    yield f"of the baselines with three seeds {others}"
    plain = [cell for (model, _), cell in found.items() if not model.startswith("unit") and cell.mean == 1]
    near, far = (sum(errors(part(cell)) > 0 for cell in plain) for part in (lambda cell: cell.near, Cell.far))
    yield f"Of {len(plain)} cells of baselines without an error from 41 to 500 symbols, {near} err on near misses"
    yield f"and {far} at 1,000"
    dyck = [found["transformer", task] for task in TASKS if task.startswith("dyck")]
    near_misses = [exact_mean(cell.near) for cell in dyck]
    yield f"right on {percent(min(cell.mean for cell in dyck), 1)} % or more of the standard strings of every D_n"
    yield f"on {percent(min(near_misses), 0)} to {percent(max(near_misses), 0)} % of the near misses"
    parity, modular = (_mean("transformer", task) for task in ("parity", "modular_arithmetic"))
    yield f"parity {parity} %, modular arithmetic {modular} %"
    yield f"with eigenvalues in [-1, 1] leaves chance there ({_mean('deltanet_negative', 'parity')} %)"
    yield f"and on Tomita 5 ({_mean('deltanet_negative', 'tomita_5')} %)"
    yield f"RegularGPT, a tree as well, comes near ({_mean('regular_gpt', 'cycle_navigation')} %, mean of three seeds)"
    yield f"one RNN of three ({percent(max(_by_seed('rnn', 'cycle_navigation')), 0)} %)"
    yield f"and loses the cycle beyond ({_mean('sd_ssm', 'cycle_navigation')} %)"
    rates = rows("baseline_rates").filter(pl.col("length") <= TRAINED, STANDARD)
    fits = {
        model: rates.filter(pl.col("variant") == f"{model}-{_rate(model):g}") for model in ("sd_ssm", "transformer")
    }
    assert exact_mean(fits["sd_ssm"]) == 1
    assert exact_mean(fits["transformer"].filter(task="cycle_navigation")) < 0.9
    yield "- **SD-SSM fits the cycle and D_4 to 40 without an error**"
    assert min(grid()["deltanet_negative", task].mean for task in ("parity", "tomita_5")) > 0.9
    assert max(grid()[model, "parity"].mean for model in ("deltanet", "mamba2", "s5", "mlstm")) < 0.6
    yield "; with [0, 1] it stays at it, as do Mamba-2, S5 and mLSTM"
    large = [grid()[model, task] for model in ("deltanet", "deltanet_negative") for task in TASKS if "prefix" in task]
    assert all(cell.mean == 1 for cell in large)
    assert sum(errors(cell.far()) > 0 for cell in large) in range(1, len(large))
    yield "The DeltaNets make no error on any P(p,q) from 41 to 500 symbols; some at 1,000"
    sizes = {model: _parameters(model) for model in ("rnn", "transformer", "fast", "matrix")}
    yield f"{sizes['rnn']} in the RNN"
    yield f"{sizes['transformer']} in the Transformers"
    yield f"{sizes['fast']} with the MLP operator"
    yield f"{sizes['matrix']} with the associative one"


def _mean(model: str, task: str) -> str:
    return percent(grid()[model, task].mean, 0)


def _by_seed(model: str, task: str, longest: int = 500) -> list[float]:
    own = grid()[model, task].beyond.filter(pl.col("length") <= longest)
    return [exact_mean(part) for part in own.partition_by("seed")]


def _parameters(model: str) -> str:
    folder, start = (model, model) if model in {"fast", "matrix"} else ("baselines", f"baselines/{model}")
    found = [run.head.parameters or 0 for run in runs(folder) if run.head.recipe.startswith(start)]
    if model == "rnn":
        found = [run.head.parameters or 0 for run in runs("baselines") if run.head.recipe.startswith("baselines/rnn-")]
    low, high = min(found), max(found)
    digits = -2 if low < 1000 else -3
    return f"{round(low, digits):,} to {round(high, -3):,}"


def _published() -> Iterator[str]:
    deletang, grazzi = read_sources()[1:]
    yield f"{deletang.citation.partition(',')[0]}: RNN, LSTM, Transformer, best of ten seeds"
    yield f"{grazzi.citation.partition(',')[0]}: DeltaNet [-1, 1], sLSTM, mLSTM, Transformer, scaled from guessing to 1"
    models = {"RNN": "rnn", "LSTM": "lstm", "Transformer": "transformer"}
    for task in ("parity", "even_pairs", "modular_arithmetic", "cycle_navigation"):
        theirs = deletang.values[task]
        ours = [max(_by_seed(model, task)) for model in models.values()]
        gaps = [abs(100 * own - theirs[name]) for own, name in zip(ours, models, strict=True)]
        numbers = ", ".join(_bold(said(own, bold=False), gap > BEYOND) for own, gap in zip(ours, gaps, strict=True))
        published = ", ".join("100" if theirs[name] == 100 else f"{theirs[name]:.1f}" for name in models)
        yield f"| {published} | {numbers} |"
    models = {"DeltaNet [-1, 1]": "deltanet_negative", "sLSTM": "slstm", "mLSTM": "mlstm", "Transformer": "transformer"}
    for task, chance in (("parity", 0.5), ("modular_arithmetic", 0.2)):
        theirs = grazzi.values[task]
        ours = [(max(_by_seed(model, task, 256)) - chance) / (1 - chance) for model in models.values()]
        gaps = [abs(own - theirs[name]) for own, name in zip(ours, models, strict=True)]
        numbers = ", ".join(_bold(f"{own:.3f}", gap > BEYOND / 100) for own, gap in zip(ours, gaps, strict=True))
        yield f"| {', '.join(f'{theirs[name]:.3f}' for name in models)} | {numbers} |"
    yield f"{said(max(_by_seed('rnn', 'cycle_navigation')))} % with its best seed"
    yield f"{percent(grid()['rnn', 'cycle_navigation'].mean, 1)} % in the mean of three"


def _bold(text: str, stands_out: bool) -> str:
    return f"**{text}**" if stands_out else text


def _ablations() -> Iterator[str]:
    found, paper = cells("operators"), read_sources()[0].values["modular_arithmetic"]
    names = {"sum": "sum", "linear": "linear", "gated_sum": "gated sum", "grc": "GRC", "mlp": "MLP"}
    names |= {"matrix": "product of matrices, then a norm", "stochastic": "product of row-stochastic matrices"}
    for operator, name in names.items():
        at = (found[operator, task].mean for task in ("parity", "even_pairs", "cycle_navigation", "modular_arithmetic"))
        theirs = paper.get(PAPER.get(operator, ""))
        yield line(name, *map(said, at), f"{theirs:g}" if theirs else "").replace("|  |", "| |")
    far = [exact_mean(found[operator, "cycle_navigation"].far(10_000, 10_000)) for operator in ("matrix", "stochastic")]
    assert far[0] < 0.25
    assert far[1] == 1
    yield "at 10,000 symbols it is at chance on cycle navigation"
    readings = {"carry": "carried up", "zero": "paired with zero", "pad": "strings padded to a power of two"}
    brackets = cells("brackets")
    for odd, name in readings.items():
        for of in ("balanced", "shifted"):
            cell = brackets[f"{odd}-{of}", "tomita_3"]
            parts = (cell.beyond, cell.far(1000, 1000), cell.far(10_000, 10_000), cell.near)
            yield line(name, of, *(said(exact_mean(part)) for part in parts))
    others = [cell for (_, task), cell in brackets.items() if task != "tomita_3"]
    assert len(others) == 18
    assert not any(errors(cell.rows.filter(pl.col("length") > 40)) for cell in others), "groups do care"
    first, last = list[int](), dict[str, float]()
    for run in runs("brackets"):
        losses = table("brackets").metrics.filter(digest=run.head.digest).drop_nulls("loss").sort("step")
        last[run.head.recipe.rpartition("/")[2]] = losses["loss"][-1]
        if run.head.trained_on != "tomita_3":
            first.append(losses.filter(pl.col("loss") < 0.05)["step"][0])
    yield (
        "all six variants are without an error up to 10,000 symbols, and their loss is first below 0.05 "
        f"after {min(first)} to {max(first)} steps"
    )
    yield f"its loss is still {last['zero-balanced-tomita_3']:.2f} at the end"
    lengths = cells("training_lengths")
    for task in ("dyck_4", "dyck_6", "dyck_8", "dyck_12"):
        own = [lengths[longest, task] for longest in ("40", "60", "100", "150")]
        name = TASKS[task]
        yield line(name, "151 to 500", *(said(exact_mean(cell.far(151, 500))) for cell in own))
        yield line(name, "1,000", *(said(exact_mean(cell.far(1000, 1000))) for cell in own))
        yield line(name, "near misses", *(said(exact_mean(cell.near)) for cell in own))
