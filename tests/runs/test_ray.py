"""One cluster for all tests, because it takes long to start: they take it apart, one after the other."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from sweeps_for_tests import write_sweep

from lengthwise.runs.engines.ray import RayEngine
from lengthwise.runs.folder import RunFolder
from lengthwise.runs.run import train_run
from lengthwise.runs.sweep import expand, load_sweep
from lengthwise.runs.sweep_plan import Journal, Status, read_status
from lengthwise.runs.sweep_schedule import Schedule, Watcher
from lengthwise.runs.table import read_table
from lengthwise.training.checkpoint import load_checkpoint

pytestmark = [
    # Ray leaves sockets and files to the end of the process, and speaks of its own future.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster of two nodes with a core each, of which nothing is left in the end."""
    # Workers are otherwise put behind everything else that the machine does.
    settings = {"RAY_worker_niceness": "0", "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    with pytest.MonkeyPatch.context() as environment:
        for name, value in settings.items():
            environment.setenv(name, value)
        yield from _cluster()


def _cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    before = set(psutil.Process().children(recursive=True))
    node = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        cluster.lost = cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
        yield cluster
    finally:
        ours = [process for process in psutil.Process().children(recursive=True) if process not in before]
        cluster.shutdown()
        for process in ours:
            # What serves a node outlives a head that is gone by minutes.
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.name().endswith("Agent"):
                    process.kill()
        _, alive = psutil.wait_procs(ours, timeout=30)
        for process in alive:
            process.kill()
    assert alive == []


class Axe(Watcher):
    """Kills a node as soon as both nodes work on a run that has a checkpoint."""

    def __init__(self, cluster: Any, folders: list[RunFolder]) -> None:
        self.cluster, self.folders = cluster, folders
        self.fell = False

    def tick(self) -> None:
        working = [run for run in self.folders if run.checkpoint.exists() and not run.finished.exists()]
        if len(working) == 2 and not self.fell:
            self.fell = True
            self.cluster.remove_node(self.cluster.lost, allow_graceful=False)


@pytest.mark.slow
def test_a_node_dies_and_every_run_ends_exactly_once(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lengthwise.runs.sweep_schedule.TICK", 0.05)
    sweep, folder = load_sweep(str(write_sweep(tmp_path, seeds=[0])))
    runs = expand(sweep, folder, ["training.steps=400", "training.log_every=1", "training.checkpoint_every=10"])
    root = tmp_path / "runs"
    folders = [RunFolder(run.folder(root)) for run in runs]
    axe = Axe(cluster, folders)
    with RayEngine(address=cluster.address) as engine:
        assert engine.cores == 2
        schedule = Schedule(runs, root, engine, Journal(root, "grid"), ["lengthwise", "sweep", "grid"], watcher=axe)
        schedule.work()

    assert axe.fell
    assert schedule.failures == []
    assert set(read_status(runs, root).values()) == {Status.DONE}
    assert Counter((row["recipe"], row["ending"]) for row in Journal(root, "grid").rows()) == {
        (run.recipe.name, "done"): 1 for run in runs
    }
    table = read_table([root]).rows
    assert table.height == 5 * len(runs)
    assert table.select("digest", "seed", "distribution", "length").is_unique().all()
    for run in folders:
        assert [row["step"] for row in run.metrics_rows()] == list(range(1, 401))
    environments = [json.loads(run.environment.read_text()) for run in folders]
    assert {environment["command"] for environment in environments} == {"lengthwise sweep grid"}
    (resumed,) = [run for run, environment in zip(runs, environments, strict=True) if "resumed" in environment]

    train_run(resumed.recipe, 0, tmp_path / "whole")
    ours = load_checkpoint(RunFolder(resumed.folder(root)).checkpoint)[0]
    whole = load_checkpoint(RunFolder(tmp_path / "whole").checkpoint)[0]
    assert all(torch.equal(ours[name], whole[name]) for name in whole)


@pytest.mark.slow
def test_the_head_dies_and_the_driver_ends_with_a_message(cluster: Any, tmp_path: Path) -> None:
    grid = write_sweep(tmp_path, seeds=[0], axes={"training.steps": [10**6]})
    command, address = [sys.executable, "-m", "lengthwise.cli.main"], cluster.address
    driver = subprocess.Popen(
        [*command, "sweep", str(grid), "--engine", "ray", "--address", address],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"COLUMNS": "200"},
    )
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.rglob("checkpoint.safetensors")) and time.monotonic() < deadline:
            assert driver.poll() is None, driver.communicate()[0]
            time.sleep(0.1)
        cluster.remove_node(cluster.head_node, allow_graceful=False)
        said, _ = driver.communicate(timeout=30)
    finally:
        driver.kill()
    assert driver.returncode == 1, said
    assert f"error: the head of the Ray cluster at {address} does not answer" in said
    assert "the same command goes on" in said
    assert "Traceback" not in said
