"""``lengthwise sweep``."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lengthwise.cli.arguments import RUNS, SET, SWEEP
from lengthwise.cli.interrupt import stop_on_signals
from lengthwise.cli.progress import say
from lengthwise.errors import InputError

if TYPE_CHECKING:
    from lengthwise.runs.engines.base import Engine
    from lengthwise.runs.sweep import Sweep, SweepRun
    from lengthwise.runs.sweep_plan import Status


def sweep(
    sweep: Annotated[str, SWEEP],
    runs: Annotated[Path, RUNS] = Path("runs"),
    engine: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="local: processes of this machine; ray: tasks on a Ray cluster that shares --runs; slurm: jobs of a "
            "Slurm cluster that does.",
        ),
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            help="Of the Ray cluster, auto for that of this machine, by default one is started; or a Slurm partition."
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Runs at a time; by default as many as the cores hold.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="LABEL", help="Only runs with this label, or AXIS=LABEL; may be given several times."),
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option(help="This seed instead of the sweep's; may be given several times.")
    ] = None,
    set_: Annotated[list[str] | None, SET] = None,
    retries: Annotated[int, typer.Option(min=0, help="How often a run that failed is tried again.")] = 1,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Measure a few steps of every model that is left, and stop there.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is done and what is left, and stop there.")] = (
        False
    ),
) -> None:
    """Train and evaluate every combination of models, tasks and seeds that a sweep names, as far as that is missing."""
    from lengthwise.runs.sweep import expand, load_sweep, select
    from lengthwise.runs.sweep_plan import Status, estimate_by_measuring, estimate_from_finished, read_status

    kind = _engine_kind(engine, address)
    grid, folder = load_sweep(sweep)
    if seed:
        grid = grid.model_copy(update={"seeds": tuple(dict.fromkeys(seed))})
    chosen = select(grid, expand(grid, folder, set_ or []), only or [])
    status = read_status(chosen, runs)
    left = [run for run in chosen if status[run.key] is not Status.DONE]
    _announce(grid, chosen, status, runs)
    if left:
        judged = estimate_by_measuring(left) if estimate else estimate_from_finished(grid, chosen, status, runs)
        unknown = "core-hours unknown until a run is finished; --estimate measures the first steps of every model"
        say(f"about {_hours(judged.hours)} left: {judged.basis}" if judged else unknown)
    if dry_run:
        for run in chosen:
            say(f"{run.title}: {status[run.key]}")
    if dry_run or estimate or not left:
        return
    with kind(workers, retries, address) as where:
        _work(grid, left, runs, where, retries)


def _engine_kind(name: str, address: str | None) -> type[Engine]:
    from lengthwise.runs.engines import ENGINES

    kind: type[Engine] = ENGINES.load(name)
    if address is not None and not kind.has_address:
        others = " or ".join(f"--engine {other}" for other, its in ENGINES.members() if its.has_address)
        raise InputError(f"--address is of a cluster; add {others}")
    return kind


def _announce(grid: Sweep, chosen: Sequence[SweepRun], status: Mapping[tuple[str, int], Status], runs: Path) -> None:
    """Say how many runs there are, and how many are done."""
    from lengthwise.runs.sweep_plan import Journal, Status

    counts = Counter(status.values())
    failed = Journal(runs, grid.name).failed()
    before = sum(run.key in failed and status[run.key] is not Status.DONE for run in chosen)
    again = f", of which {before} failed before" if before else ""
    recipes = len({run.recipe.name for run in chosen})
    say(f"sweep {grid.name}: {len(chosen)} runs of {recipes} recipes in {runs / grid.name}")
    left = counts[Status.BEGUN] + counts[Status.MISSING]
    say(f"{counts[Status.DONE]} done, {left} to do ({counts[Status.BEGUN]} begun){again}")


def _work(grid: Sweep, left: Sequence[SweepRun], runs: Path, engine: Engine, retries: int) -> None:
    from lengthwise.cli.sweep_view import sweep_view
    from lengthwise.runs.sweep_plan import Journal
    from lengthwise.runs.sweep_schedule import Schedule

    journal = Journal(runs, grid.name)
    with stop_on_signals() as stop, sweep_view(grid.name, len(left), runs) as view:
        schedule = Schedule(left, runs, engine, journal, sys.argv, retries, view)
        schedule.work(stop)
        if stop():
            engine.close()
    if stop():
        say(f"interrupted after {view.done} of {len(left)} runs; the same command goes on")
        raise typer.Exit(stop.exit_code)
    say(f"{view.done} runs trained and evaluated, {len(schedule.failures)} failed")
    for run, message in schedule.failures:
        say(f"failed: {run.title}: {message}")
    if schedule.failures:
        raise typer.Exit(1)


def _hours(hours: float) -> str:
    return f"{hours:,.1f} core-hours" if hours >= 1 else f"{hours * 60:,.1f} core-minutes"
