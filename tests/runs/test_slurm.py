"""A sweep on a Slurm cluster of one node, which is skipped where none can be started."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm_cluster import CannotStartError, slurm_cluster
from sweeps_for_tests import write_sweep

from lengthwise.errors import RunError
from lengthwise.runs.engines.slurm import JOBS, SlurmEngine
from lengthwise.runs.sweep import expand, load_sweep
from lengthwise.runs.sweep_plan import Status, read_status
from lengthwise.runs.sweep_work import Ending, Work

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    pytest.importorskip("submitit", reason="submitit is not installed (extra slurm)")
    try:
        with slurm_cluster() as config, pytest.MonkeyPatch.context() as environment:
            environment.setenv("SLURM_CONF", str(config))
            yield
    except CannotStartError as error:
        pytest.skip(f"no Slurm: {error}")


def test_a_sweep_is_done_by_jobs_once(cluster: None, tmp_path: Path) -> None:
    grid = write_sweep(tmp_path, seeds=[0], axes={"task": ["parity", "even_pairs"]})
    command = [sys.executable, "-m", "lengthwise", "sweep", str(grid), "--engine", "slurm", "--runs", "runs"]
    first, again = (
        subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False) for _ in range(2)
    )
    assert first.returncode == 0, first.stdout + first.stderr
    assert "2 runs trained and evaluated, 0 failed" in first.stdout
    assert "2 done, 0 to do" in again.stdout
    sweep, folder = load_sweep(str(grid))
    chosen = expand(sweep, folder)
    assert set(read_status(chosen, tmp_path / "runs").values()) == {Status.DONE}
    assert len(list((tmp_path / "runs" / JOBS).glob("*/*_result.pkl"))) == 2


def test_a_job_that_is_cancelled_is_noticed(cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lengthwise.runs.engines.slurm._ASK_EVERY", 0.1)
    monkeypatch.setattr("lengthwise.runs.engines.slurm._LATE", 0.5)
    sweep, folder = load_sweep(str(write_sweep(tmp_path, seeds=[0])))
    run = expand(sweep, folder, ["training.steps=100000"])[0]
    work = Work(run.recipe.settings(), 0, tmp_path / "runs", ("lengthwise", "sweep"))
    with SlurmEngine() as engine:
        assert engine.cores == 2
        engine.submit(work)
        (job,) = engine._jobs
        subprocess.run(["scancel", "--signal=KILL", "--full", job.job_id], check=True)
        subprocess.run(["scancel", job.job_id], check=True)
        ended: list[tuple[Work, object]] = []
        while not ended:
            ended = list(engine.wait(1.0))
        assert engine.running == []
    ((which, result),) = ended
    assert which is work
    assert getattr(result, "ending", None) is Ending.KILLED


def test_a_machine_without_slurm_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit", reason="submitit is not installed (extra slurm)")
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(RunError, match="no Slurm here"):
        SlurmEngine()
