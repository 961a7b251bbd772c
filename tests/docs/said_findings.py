"""Sentences and tables of ``docs/findings.md`` that hold numbers, as the rows give them."""

import math
from collections.abc import Iterator
from statistics import fmean

from measured import (
    NEAR,
    STANDARD,
    cells,
    errors,
    exact_mean,
    line,
    listed,
    rows,
    runs,
    said,
    samples,
    table,
    upper_limit,
)

from lengthwise.report.words import percent
from lengthwise.runs.recipe import load_recipe
from lengthwise.runs.table import Run

VARIANTS = {
    "base": "the recipe as it is", "supervision-root": "`objective.node_weight: 0`, one label a string",
    "supervision-prefixes": "`objective.name: prefixes`", "brackets-balanced": "`objective.bracketing: balanced`",
    "brackets-shifted": "`objective.bracketing: shifted`", "no-noise": "`model.noise: 0`",
    "dropout-instead": "`model.dropout: 0.1` instead of noise", "adamw": "`training.optimiser.name: adamw`",
    "lengths-log-uniform": "`training.curriculum.name: log_uniform`",
    "associativity-penalty": "`objective.associativity.weight: 0.3` after 30 %",
    "without-run-strings": "`task.mixture` without `runs`",
}  # fmt: skip
PAPER = ("parity", "even_pairs", "cycle_navigation", "dyck_2", "dyck_3", *(f"tomita_{n}" for n in range(1, 8)),
         "modular_arithmetic", "dyck_4", "dyck_6", "dyck_8", "dyck_12")  # fmt: skip
DEEP = {"dyck_6": "D_6", "dyck_8": "D_8", "dyck_12": "D_12"}


def sentences() -> Iterator[str]:
    """Yield what the page says."""
    yield from _ablation("cycle_navigation", (40, 100, 500, 1000))
    yield from _ablation("tomita_3", (40, 100, 200, 500, 1000))
    yield from _associative()
    yield from _deep()
    yield from _limits()
    yield from _recipes()


def _ablation(task: str, lengths: tuple[int, ...]) -> Iterator[str]:
    yield line("variant", *(f"{length:,}" for length in lengths), "near misses", "seconds")
    found = rows("ablation").filter(task=task)
    seconds = {run.head.digest: run.seconds for run in runs("ablation")}
    for variant, name in VARIANTS.items():
        own = found.filter(variant=variant)
        if own.is_empty():
            continue
        at = [exact_mean(own.filter(STANDARD, length=length)) for length in lengths]
        numbers = [said(value, bold=False) for value in (*at, exact_mean(own.filter(NEAR)))]
        yield line(name, *numbers, f"{seconds[str(own['digest'][0])]:.0f}")


def _of(folder: str, task: str) -> list[Run]:
    return [run for run in runs(folder) if run.head.trained_on == task]


def _states(run: Run) -> int:
    """Return K of a row-stochastic unit, whose width is that of its matrices."""
    model = run.settings["model"]
    return math.isqrt(model["width"] // model["operator"].get("heads", 1))


def _flawless(folder: str, task: str) -> bool:
    """Return whether three seeds make no error from 41 to 500 symbols and at the long lengths."""
    cell = cells(folder)["unit", task]
    return cell.seeds == 3 and not errors(cell.beyond) and not errors(cell.far(last=100_001))


def _associative() -> Iterator[str]:
    plain = [
        run
        for run in runs("matrix")
        if run.settings["model"]["operator"]["name"] == "stochastic" and run.settings["objective"]["name"] == "tree"
    ]
    tasks = {run.head.trained_on for run in plain}
    assert len(tasks) == 16, "sixteen"
    assert all(_flawless("matrix", task) for task in (*tasks, "prefix_4_4", *DEEP))
    low, high = sorted({run.head.sequences for run in plain})
    yield (
        "sixteen languages of `results/matrix` need no more than that, three seeds each, without one error at any "
        f"length to 100,000, from {low:,} or {high:,} strings"
    )
    yield "no error to 100,000 symbols with any of three seeds, and each node snapped to its element, a proof"
    (deepest,) = {
        (run.settings["training"]["steps"], run.settings["objective"]["name"]) for run in _of("matrix", "dyck_12")
    }
    assert deepest[1] == "counterexamples"
    yield f"with half of each batch from counterexamples and {deepest[0]:,} steps"
    (steps,) = {run.settings["training"]["steps"] for run in _of("matrix", "dyck_8")}
    yield f"With them, {steps:,} steps, and Adam instead of AMSGrad"


def _curve() -> Iterator[str]:
    right = set[int]()
    for run in runs("ablation"):
        if run.head.recipe in {"ablation/cycle_navigation/base", "ablation/cycle_navigation/supervision-prefixes"}:
            metrics = table("ablation").metrics.filter(digest=run.head.digest, seed=run.head.seed)
            points = metrics.select("step", *(f"accuracy_{n}" for n in (40, 100, 200, 500))).drop_nulls()
            right.add(min(step for step, *values in points.iter_rows() if set(values) == {1}))
    (step,) = right
    yield f"for every prefix, the unit is right from 40 to 500 symbols after {step} steps"


def _recipes() -> Iterator[str]:
    assert len({run.head.seed for run in runs("ablation")}) == 1
    (strings,), (near,) = (set(rows("ablation").filter(of)["samples"]) for of in (STANDARD, NEAR))
    yield f"one seed each, {strings} strings a length and {near} near misses"
    assert exact_mean(rows("ablation").filter(variant="supervision-root", task="cycle_navigation")) < 0.25
    (steps,) = {run.head.step for run in runs("ablation") if run.head.trained_on == "cycle_navigation"}
    yield f"With one label a string {steps} steps teach nothing"
    (states,) = {_states(run) for run in _of("matrix", "dyck_12")}
    yield f"**One automaton** of {states} states"
    seen = {
        (recipe := load_recipe(f"paper/{task}")).training.steps * recipe.training.batch_size: task for task in PAPER
    }
    assert set(seen.values()) == {"dyck_12", "tomita_7"}
    few, many = sorted(seen)
    yield (
        f"The published training sees {few / 1e6:g} million strings on most languages and {many / 1e6:g} million on "
        "modular arithmetic, D_4, D_6, D_8 and D_12"
    )
    (products,) = {run.settings["objective"]["products"]["candidates"] for run in _of("fast", "modular_arithmetic")}
    yield f"{products} candidates a step, of which the harder half is learned"
    for task, steps in (("cycle_navigation", 300), ("tomita_3", 800)):
        (training,) = {
            (run.settings["training"]["steps"], run.settings["training"]["batch_size"])
            for run in runs("ablation")
            if run.head.trained_on == task
        }
        title = {"cycle_navigation": "Cycle navigation", "tomita_3": "Tomita 3"}[task]
        assert training[0] == steps
        yield f"## {title}, after {steps} steps of {training[1]} strings"
    modular = _of("fast", "modular_arithmetic")
    (steps,), (batch,) = ({run.settings["training"][name] for run in modular} for name in ("steps", "batch_size"))
    candidates = fmean(run.head.sequences for run in modular) - steps * batch
    minutes = [run.seconds / 60 for run in modular]
    (elements,) = {run.attachments["certificate"].monoid for run in modular}
    yield (
        f"{steps:,} steps, which is {steps * batch / 1e6:.1f} million strings and "
        f"{candidates / 1e6:.1f} million candidates in {min(minutes):.0f} to {max(minutes):.0f} minutes of one core"
    )
    assert _flawless("fast", "modular_arithmetic")
    cell = cells("fast")["unit", "modular_arithmetic"]
    far = [f"{length:,}" for length in sorted(set(cell.far(last=100_001)["length"]))]
    assert not errors(cell.near)
    last = cell.beyond["length"].max()
    yield f"No error at any length from 41 to {last}, on near misses, at {listed(far)}, and an algebra"
    yield f"of {elements} elements that is proved right, with three seeds"
    (steps,) = {run.settings["training"]["steps"] for run in _of("fast", "dyck_4")}
    yield f"D_4 needs {steps:,} steps"
    yield f"So does D_4, from {fmean(run.head.sequences for run in _of('fast', 'dyck_4')) / 1e6:.2f} million strings"
    few = _of("fast", "dyck_3")
    own = {run.settings["training"]["steps"] * run.settings["training"]["batch_size"] for run in few}
    assert all(_flawless("fast", task) for task in ("dyck_3", "tomita_3", "dyck_4"))
    everywhere = "at any length from 41 to 500, at 1,000, 10,000 and 100,000"
    yield f"D_3 and Tomita 3 make no error with any of three seeds: {everywhere};"
    yield f"of which {(fmean(run.head.sequences for run in few) - min(own)) / 1e6:.1f} million are candidates"
    yield from _curve()
    (steps,) = {run.settings["training"]["steps"] for run in _of("fast", "dyck_2")}
    assert _flawless("fast", "dyck_2")
    yield f"D_2 needed {steps:,} steps without products: right at every length to 500, and at 1,000, 10,000 and 100,000"


def _deep() -> Iterator[str]:
    (strings,) = {samples(cells("fast")["unit", task].beyond.filter(seed=0)) for task in DEEP}
    yield line(
        "language", "strings", "41 to 500, seeds 0, 1, 2", f"errors of {strings:,}", "near misses", "1,000", "10,000"
    )
    for task, name in DEEP.items():
        cell = cells("fast")["unit", task]
        seeds = sorted(cell.rows["seed"].unique())
        dense, near = ([part.filter(seed=seed) for seed in seeds] for part in (cell.beyond, cell.near))
        far = [[cell.far(length, length).filter(seed=seed) for seed in seeds] for length in (1_000, 10_000)]
        strings = fmean(run.head.sequences for run in runs("fast") if run.head.trained_on == task)
        yield line(
            name,
            f"{strings / 1e6:.1f} million",
            ", ".join(percent(exact_mean(part), 3) for part in dense),
            ", ".join(str(errors(part)) for part in dense),
            ", ".join(said(exact_mean(part), bold=False) for part in near),
            ", ".join(said(exact_mean(part), bold=False) for part in far[0]),
            ", ".join(said(exact_mean(part), 0, bold=False) for part in far[1]),
        )
    farthest = {
        name: [cells("fast")["unit", task].far(100_000, 100_000).filter(seed=seed) for seed in range(3)]
        for task, name in DEEP.items()
    }
    d_6, d_8, d_12 = (", ".join(percent(exact_mean(part), 0) for part in parts) for parts in farthest.values())
    yield f"At 100,000 symbols D_6 is {d_6} % right, D_8 {d_8} and D_12 {d_12}, where 50 is chance"


def _limits() -> Iterator[str]:
    fast = cells("fast")
    both = (fast["unit", "parity"], cells("matrix")["unit", "dyck_12"])
    (long,) = {samples(cell.far(length, length)) for length in (1_000, 10_000, 100_000) for cell in both}
    yield (
        f"at 1,000, 10,000 or 100,000 symbols is of {long} strings each, three seeds together, which leaves, with 95 % "
        f"confidence, at most {upper_limit(long):.2f} %"
    )
    near = [errors(fast["unit", "dyck_3"].near.filter(seed=seed)) for seed in range(3)]
    assert sorted(near)[:2] == [0, 0]
    yield f"on near misses D_3 makes one error in {samples(fast['unit', 'dyck_3'].near.filter(seed=0)):,} with one seed"
    near = [errors(fast["unit", "dyck_4"].near.filter(seed=seed)) for seed in range(3)]
    assert sorted(near)[:2] == [0, 0]
    yield f"it makes {max(near)} errors on near misses with one seed"
    others = [run for run in runs("fast") if run.head.trained_on not in {*DEEP, "modular_arithmetic"}]
    yield f"All {len(others)} runs of the seventeen languages"
    yield f"took {sum(run.seconds for run in others) / 60:.0f} minutes of one core"
    seen = [run.head.sequences for run in runs("fast") if run.head.trained_on == "dyck_3"]
    yield f"From {fmean(seen) / 1e6:.2f} million strings"
