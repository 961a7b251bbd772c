import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import forkserver
from pathlib import Path

import pytest
import torch
from sweeps_for_tests import expanded, write_sweep
from typer.testing import CliRunner, Result

from lengthwise.cli.main import app
from lengthwise.cli.sweep_view import last_metrics
from lengthwise.errors import InputError
from lengthwise.runs import sweep_work
from lengthwise.runs.engines.base import Engine
from lengthwise.runs.engines.local import LocalEngine
from lengthwise.runs.folder import RunFolder, find_runs
from lengthwise.runs.lock import hold, is_held
from lengthwise.runs.rows import read_evaluation
from lengthwise.runs.run import train_run
from lengthwise.runs.sweep import SweepRun, expand, load_sweep
from lengthwise.runs.sweep_plan import (
    Journal,
    Status,
    estimate_by_measuring,
    estimate_from_finished,
    read_status,
)
from lengthwise.runs.sweep_schedule import Schedule, Watcher
from lengthwise.runs.sweep_work import Ending, Work
from lengthwise.training.checkpoint import load_checkpoint

LONG = ("training.steps=300", "training.log_every=5", "training.checkpoint_every=10")
"""Long enough to be killed on the way."""


def cli(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["sweep", *map(str, arguments)])


def files(root: Path) -> dict[Path, tuple[int, bytes]]:
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in root.rglob("*") if path.is_file()}


def wait_until(true: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    until = time.monotonic() + 120
    while not true():
        threading.Event().wait(0.1)
        assert time.monotonic() < until
        assert process is None or process.poll() is None, process.communicate()


def parameters(run: RunFolder) -> dict[str, torch.Tensor]:
    return load_checkpoint(run.checkpoint)[0]


@pytest.mark.slow
def test_a_sweep_is_done_once(tmp_path: Path) -> None:
    grid, runs = write_sweep(tmp_path, seeds=[0]), tmp_path / "runs"
    first = cli(grid, "--runs", runs)
    assert first.exit_code == 0, first.output
    lines = first.stdout.splitlines()
    assert lines[:2] == [f"sweep grid: 4 runs of 4 recipes in {runs}/grid", "0 done, 4 to do (0 begun)"]
    assert sum(": done, " in line for line in lines) == 4
    assert lines[-1] == "4 runs trained and evaluated, 0 failed"
    assert {run.status for run in find_runs(runs)} == {"evaluated"}
    assert [len(read_evaluation(run.evaluation)[1]) for run in find_runs(runs)] == [5] * 4

    before = files(runs)
    again = cli(grid, "--runs", runs)
    assert again.stdout.splitlines()[1:] == ["4 done, 0 to do (0 begun)"]
    assert files(runs) == before

    more = cli(grid, "--runs", runs, "--seed", 0, "--seed", 1, "--only", "sum", "--dry-run")
    assert "2 done, 2 to do (0 begun)" in more.stdout
    assert "judged by 2 finished runs" in more.stdout
    assert "grid/sum-parity seed 1: missing" in more.stdout
    other = cli(grid, "--runs", runs, "--set", "training.steps=3")
    assert other.exit_code == 2
    assert "training.steps: 2, now 3\nand 3 more" in other.stderr


@pytest.mark.slow
def test_what_fails_is_tried_again_and_listed_and_the_others_go_on(tmp_path: Path) -> None:
    wild = {"training.optimiser.learning_rate": 1e38, "training.optimiser.warm_up": 0, "training.steps": 9}
    grid = write_sweep(tmp_path, axes={"rate": {"wild": wild, "tame": {}}}, seeds=[0])
    ended = cli(grid, "--runs", tmp_path / "runs", "--retries", 2)
    assert ended.exit_code == 1
    assert ended.stdout.splitlines()[-1].startswith("failed: grid/wild seed 0: ")
    assert "the last good checkpoint" in ended.stdout.splitlines()[-1]
    endings = Counter((row["recipe"], row["ending"]) for row in Journal(tmp_path / "runs", "grid").rows())
    assert endings == {("grid/wild", "failed"): 3, ("grid/tame", "done"): 1}
    assert "1 to do (1 begun), of which 1 failed before" in cli(grid, "--runs", tmp_path / "runs", "--dry-run").stdout


class Killer(Watcher):
    """Kills the first worker that has written metrics."""

    def __init__(self, engine: LocalEngine, root: Path) -> None:
        self.engine, self.root = engine, root
        self.killed: list[tuple[str, int]] = []
        self.endings: list[Ending] = []

    def tick(self) -> None:
        for work, process in [(worker.work, worker.process.pid) for worker in self.engine._workers]:
            started = (self.root / work.key[0] / f"seed-{work.seed}" / "metrics.jsonl").exists()
            if started and not self.killed:
                self.killed.append(work.key)
                os.kill(process, signal.SIGKILL)

    def ended(self, run: SweepRun, result: sweep_work.Result, again: bool) -> None:
        self.endings.append(result.ending)


@pytest.mark.slow
def test_a_killed_worker_is_noticed_and_its_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lengthwise.runs.sweep_schedule.TICK", 0.05)
    runs = expanded(tmp_path, *LONG, seeds=[0])[:2]
    root = tmp_path / "runs"
    with LocalEngine(2) as engine:
        killer = Killer(engine, root)
        schedule = Schedule(runs, root, engine, Journal(root, "grid"), ["lengthwise", "sweep"], watcher=killer)
        schedule.work()
    assert schedule.failures == []
    assert Counter(killer.endings) == {Ending.KILLED: 1, Ending.DONE: 2}
    (killed,) = killer.killed
    run = next(run for run in runs if run.key == killed)
    train_run(run.recipe, run.seed, run.folder(tmp_path / "whole"))
    ours, whole = (parameters(RunFolder(run.folder(place))) for place in (root, tmp_path / "whole"))
    assert all(torch.equal(ours[name], whole[name]) for name in whole)
    environment = json.loads(RunFolder(run.folder(root)).environment.read_text())
    assert environment["command"].endswith(" sweep")
    assert len(environment["resumed"]) == 1


class ServerKiller(Watcher):
    """Ends the server that forks workers, once a run was started by it."""

    def __init__(self) -> None:
        self.killed: list[int] = []

    def started(self, run: SweepRun) -> None:
        if not self.killed:
            self.killed.append(forkserver._forkserver._forkserver_pid)
            os.kill(self.killed[0], signal.SIGKILL)


@pytest.mark.slow
def test_a_server_of_workers_that_is_killed_is_started_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lengthwise.runs.sweep_schedule.TICK", 0.05)
    runs, root, killer = expanded(tmp_path, seeds=[0])[:2], tmp_path / "runs", ServerKiller()
    with LocalEngine(1) as engine:
        schedule = Schedule(runs, root, engine, Journal(root, "grid"), ["lengthwise", "sweep"], watcher=killer)
        schedule.work()
    assert killer.killed
    assert schedule.failures == []
    assert set(read_status(runs, root).values()) == {Status.DONE}


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 2), (signal.SIGKILL, -9)])
def test_a_driver_that_ends_takes_its_workers_along_and_the_next_goes_on(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    grid, runs = write_sweep(tmp_path, seeds=[0]), tmp_path / "runs"
    overrides = [part for setting in (*LONG[1:], "training.steps=100000") for part in ("--set", setting)]
    command = [sys.executable, "-m", "lengthwise.cli.main", "sweep", str(grid), "--runs", str(runs)]
    command += ["--only", "parity", "--workers", "2", *overrides]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as driver:
        wait_until(lambda: sum(bool(run.metrics_rows()) for run in find_runs(runs)) == 2, driver)
        driver.send_signal(number)
        output, errors = driver.communicate(timeout=60)
    assert driver.returncode == code, errors
    wait_until(lambda: not any(is_held(run.path) for run in find_runs(runs)))
    begun = {run.path: load_checkpoint(run.checkpoint)[1]["step"] for run in find_runs(runs)}
    assert len(begun) == 2
    if number is signal.SIGINT:
        assert "interrupted after 0 of 2 runs; the same command goes on" in output
        assert all(run.metrics_rows()[-1]["step"] <= begun[run.path] for run in find_runs(runs))
    (run,) = [
        run for run in expanded(tmp_path, *LONG[1:], "training.steps=100000") if run.key == ("grid/sum-parity", 0)
    ]
    assert read_status([run], runs) == {run.key: Status.BEGUN}
    calls: Iterator[bool] = iter([False, True])
    work = Work(run.recipe.settings(), 0, runs, tuple(sys.argv))
    assert sweep_work.do(work, lambda: next(calls)).ending is Ending.INTERRUPTED
    assert load_checkpoint(RunFolder(run.folder(runs)).checkpoint)[1]["step"] == begun[run.folder(runs)] + 2


def test_a_folder_in_which_no_training_began_is_no_obstacle(tmp_path: Path) -> None:
    (run, other, *_) = expanded(tmp_path)
    folder = RunFolder(run.folder(tmp_path))
    folder.path.mkdir(parents=True)
    folder.recipe.write_text(other.recipe.to_yaml())
    assert read_status([run], tmp_path) == {run.key: Status.MISSING}


def test_a_folder_in_use_is_waited_for_and_then_left(tmp_path: Path) -> None:
    (run, *_) = expanded(tmp_path)
    work = Work(run.recipe.settings(), run.seed, tmp_path, tuple(sys.argv))
    with hold(run.folder(tmp_path)):
        assert sweep_work.do(work, patience=0).ending is Ending.BUSY
    assert sweep_work.do(work).ending is Ending.DONE


def test_unforeseen_errors_keep_their_trace(tmp_path: Path) -> None:
    (run, *_) = expanded(tmp_path)
    work = Work(run.recipe.settings() | {"seeds": object()}, run.seed, tmp_path / "a", tuple(sys.argv))
    assert sweep_work.do(work).ending is Ending.REFUSED
    (tmp_path / "file").touch()
    broken = Work(run.recipe.settings(), -1, tmp_path, tuple(sys.argv))
    result = sweep_work.do(broken)
    assert result.ending in {Ending.FAILED, Ending.REFUSED}
    assert result.message


class Script(Engine):
    """Ends the work on a run as it was told, in the order in which runs were given to it."""

    def __init__(self, endings: dict[str, Sequence[Ending]], workers: int | None = None, cores: int = 2) -> None:
        self._cores, self._running = cores, list[Work]()
        self.endings = {name: list(each) for name, each in endings.items()}
        self.order: list[str] = []
        self.most = 0
        super().__init__(workers)

    def __post_init__(self) -> None:
        pass

    @property
    def cores(self) -> int:
        return self._cores

    @property
    def running(self) -> list[Work]:
        return list(self._running)

    def submit(self, work: Work) -> None:
        self._running.append(work)
        self.most = max(self.most, sum(one.threads for one in self._running))
        self.order.append(work.key[0].partition("/")[2])

    def wait(self, timeout: float) -> Iterator[tuple[Work, sweep_work.Result]]:
        if self._running:
            work = self._running.pop(0)
            planned = self.endings.get(work.key[0].partition("/")[2])
            yield work, sweep_work.Result(planned.pop(0) if planned else Ending.DONE, 1.0, "why")

    def close(self) -> None:
        self._running = []


def scheduled(runs: list[SweepRun], engine: Script, root: Path, retries: int = 1) -> Schedule:
    schedule = Schedule(runs, root, engine, Journal(root, "grid"), ["lengthwise"], retries)
    schedule.work()
    return schedule


def test_failed_runs_come_last_and_busy_ones_are_no_failures(tmp_path: Path) -> None:
    runs = expanded(tmp_path, seeds=[0])
    engine = Script({"sum-parity": [Ending.KILLED], "sum-even_pairs": [Ending.BUSY] * 3}, workers=1)
    assert scheduled(runs, engine, tmp_path).failures == []
    assert engine.order[:4] == ["sum-parity", "sum-even_pairs", "grc-parity", "grc-even_pairs"]
    assert Counter(engine.order[4:]) == {"sum-parity": 1, "sum-even_pairs": 3}
    assert len(Journal(tmp_path, "grid").rows()) == 5


def test_what_is_refused_is_not_tried_again(tmp_path: Path) -> None:
    runs = expanded(tmp_path, seeds=[0])
    engine = Script({"sum-parity": [Ending.REFUSED], "grc-parity": [Ending.FAILED] * 5})
    failures = scheduled(runs, engine, tmp_path, retries=3).failures
    assert [(run.recipe.name, message) for run, message in failures] == [
        ("grid/sum-parity", "why"),
        ("grid/grc-parity", "why"),
    ]
    assert Counter(engine.order) == {"sum-parity": 1, "sum-even_pairs": 1, "grc-parity": 4, "grc-even_pairs": 1}


CHAIN = {
    "base": "text/gru/base",
    "axes": {"step": {"three": {"start": {"step": "two"}}, "two": {"start": {"step": "one"}}, "one": {}}},
    "seeds": [0],
}


def test_a_run_waits_for_the_one_that_it_goes_on_from(tmp_path: Path) -> None:
    engine = Script({"one": [Ending.FAILED]})
    assert scheduled(expanded(tmp_path, **CHAIN), engine, tmp_path).failures == []
    assert engine.order == ["one", "one", "two", "three"]


def test_runs_that_go_on_from_a_failed_one_are_given_up(tmp_path: Path) -> None:
    engine = Script({"one": [Ending.FAILED] * 2})
    failures = scheduled(expanded(tmp_path, **CHAIN), engine, tmp_path).failures
    assert {run.recipe.name: message for run, message in failures} == {
        "grid/one": "why",
        "grid/two": "it starts from grid/one, which failed",
        "grid/three": "it starts from grid/two, which failed",
    }


@pytest.mark.parametrize(("cores", "most"), [(1, 2), (4, 4), (6, 6)])
def test_threads_share_the_cores(tmp_path: Path, cores: int, most: int) -> None:
    axes = {"a": {"small": {}, "big": {"threads": 2}}, "training.steps": [1, 2, 3]}
    engine = Script({}, cores=cores)
    scheduled(expanded(tmp_path, axes=axes, seeds=[0]), engine, tmp_path)
    assert engine.most == most


def test_costs_are_judged_by_the_nearest_finished_runs(tmp_path: Path) -> None:
    sweep, base = load_sweep(str(write_sweep(tmp_path)))
    runs = expand(sweep, base)
    status = {run.key: Status.MISSING for run in runs}
    assert estimate_from_finished(sweep, runs, status, tmp_path) is None
    journal = Journal(tmp_path, "grid")
    for run, seconds in zip(runs[:2], (100.0, 300.0), strict=True):
        journal.add(run, sweep_work.Result(Ending.FAILED, 50.0))
        journal.add(run, sweep_work.Result(Ending.DONE, seconds - 50.0))
        status[run.key] = Status.DONE
    with journal.path.open("a") as file:
        file.write('{"recipe": "torn')
    estimate = estimate_from_finished(sweep, runs, status, tmp_path)
    # Both models have tasks that cost 100 and 300 seconds: three cells of each are left.
    assert estimate is not None
    assert estimate.hours == pytest.approx(3 * 400 / 3600)
    assert "2 finished runs, which differ from some of the rest in 1 of 2 labels" in estimate.basis


def test_costs_are_measured_on_every_model(tmp_path: Path) -> None:
    estimate = estimate_by_measuring(expanded(tmp_path), seconds=0.0)
    assert 0 < estimate.hours < 1
    assert "first steps of 2 models; evaluation comes on top" in estimate.basis


def test_the_last_whole_row_of_metrics(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert last_metrics(path) == {}
    path.write_text('{"step": 1}\n{"step": 2}\n{"st')
    assert last_metrics(path) == {"step": 2}


def test_a_line_of_the_journal_that_a_kill_tore_swallows_no_other(tmp_path: Path) -> None:
    journal, run = Journal(tmp_path, "grid"), expanded(tmp_path)[0]
    journal.add(run, sweep_work.Result(Ending.KILLED))
    journal.path.write_bytes(journal.path.read_bytes()[:-30])
    journal.add(run, sweep_work.Result(Ending.DONE))
    assert [row["ending"] for row in journal.rows()] == ["done"]


def test_an_address_is_of_ray(tmp_path: Path) -> None:
    ended = cli(write_sweep(tmp_path), "--address", "auto")
    assert ended.exit_code == 2
    assert "--engine ray" in ended.stderr


def test_a_wrong_label_is_an_input_error(tmp_path: Path) -> None:
    ended = cli(write_sweep(tmp_path), "--only", "sun")
    assert (ended.exit_code, InputError.exit_code) == (2, 2)
    assert "did you mean 'sum'" in ended.stderr
