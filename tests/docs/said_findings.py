"""Sentences and tables of ``docs/findings.md`` that hold numbers, as the rows give them."""

from collections.abc import Iterator
from statistics import fmean

from measured import NEAR, STANDARD, cells, errors, exact_mean, line, rows, runs, said, samples, upper_limit

from lengthwise.report.words import percent

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
    yield from _deep()
    yield from _limits()


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
