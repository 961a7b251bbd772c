"""Sentences and tables of ``docs/findings.md`` that hold numbers, as the rows give them."""

from collections.abc import Iterator
from statistics import fmean

from measured import NEAR, STANDARD, cells, errors, exact_mean, line, rows, runs, said, samples, table, upper_limit

from lengthwise.report.words import percent
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
    yield f"and an algebra of {elements} elements that is proved right, with three seeds"
    (steps,) = {run.settings["training"]["steps"] for run in _of("fast", "dyck_4")}
    yield f"D_4 needs {steps:,} steps"
    yield f"So does D_4, from {fmean(run.head.sequences for run in _of('fast', 'dyck_4')) / 1e6:.2f} million strings"
    few = _of("fast", "dyck_3")
    own = {run.settings["training"]["steps"] * run.settings["training"]["batch_size"] for run in few}
    assert all(_flawless("fast", task) for task in ("dyck_3", "tomita_3", "dyck_4"))
    yield f"of which {(fmean(run.head.sequences for run in few) - min(own)) / 1e6:.1f} million are candidates"
    yield from _curve()
    (steps,) = {run.settings["training"]["steps"] for run in _of("fast", "dyck_2")}
    assert _flawless("fast", "dyck_2")
    yield f"D_2 needed {steps:,} steps instead of 3,000"


def _deep() -> Iterator[str]:
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
    yield f"is of {long} strings each"
    yield f"at most {upper_limit(long):.2f} %"
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
