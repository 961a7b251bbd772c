"""A run folder of somebody else may hold links, fifos and devices: they are neither followed nor waited for."""

import contextlib
import shutil
from functools import partial
from pathlib import Path

import pytest
from folders import write_run
from traps import Trap, device, fifo, link

from lengthwise.errors import InputError
from lengthwise.runs.kept import keep
from lengthwise.runs.lock import hold, is_held
from lengthwise.runs.recipe import Recipe
from lengthwise.runs.run import evaluate_run, load_run, train_run
from lengthwise.runs.table import read_table

TRAPS = pytest.mark.parametrize("trap", [link, fifo, device])


def trapped(path: Path, trap: Trap, victim: Path) -> None:
    victim.write_bytes(path.read_bytes() if path.exists() else b"precious")
    path.unlink(missing_ok=True)
    trap(path, victim)


@TRAPS
@pytest.mark.parametrize("name", ["recipe.yaml", "environment.json", "metrics.jsonl", "evaluation.jsonl"])
def test_what_is_read_for_tables_is_a_file(trap: Trap, name: str, tmp_path: Path) -> None:
    folder, victim = write_run(tmp_path / "runs"), tmp_path / "victim"
    trapped(folder / name, trap, victim)
    before = victim.read_bytes()
    with pytest.raises(InputError, match=f"{name} is a (link|fifo|device), and not a regular file"):
        read_table([folder]).refuse_waiting()
    assert victim.read_bytes() == before


@TRAPS
def test_kept_tables_are_files(trap: Trap, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    keep([write_run(tmp_path / "runs")], kept)
    for path in [*kept.glob("*.parquet"), kept / "runs.json"]:
        copy = tmp_path / f"copy of {path.stem}"
        shutil.copytree(kept, copy)
        trapped(copy / path.name, trap, tmp_path / "victim")
        with pytest.raises(InputError, match="not a regular file"):
            read_table([copy])


@TRAPS
def test_a_lock_is_not_followed(trap: Trap, tmp_path: Path) -> None:
    folder, victim = tmp_path / "run", tmp_path / "victim"
    folder.mkdir()
    trapped(folder / "lock", trap, victim)
    assert not is_held(folder)
    with pytest.raises(InputError, match=r"lock is a (link|fifo|device)"), hold(folder):
        pass
    assert victim.read_bytes() == b"precious"
    shutil.rmtree(folder)
    write_run(tmp_path / "runs")
    (tmp_path / "kept").mkdir()
    trapped(tmp_path / "kept" / "lock", trap, victim)
    with pytest.raises(InputError, match=r"lock is a (link|fifo|device)"):
        keep([tmp_path / "runs"], tmp_path / "kept")
    assert victim.read_bytes() == b"precious"


def test_a_lock_leaves_nothing_behind(tmp_path: Path) -> None:
    with hold(tmp_path / "run"):
        assert is_held(tmp_path / "run")
        assert "process" in (tmp_path / "run" / "lock").read_text()
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.slow
@TRAPS
def test_no_step_of_training_or_evaluation_writes_elsewhere(trap: Trap, tiny: Recipe, tmp_path: Path) -> None:
    whole, folder, victim = tmp_path / "whole", tmp_path / "copy", tmp_path / "victim"
    train_run(tiny, 0, whole)
    evaluate_run(whole)
    names = sorted(path.name for path in whole.iterdir())
    assert len(names) == 6
    for name in [*names, *(f".{name}.partial" for name in names)]:
        shutil.copytree(whole, folder)
        trapped(folder / name, trap, victim)
        if "metrics" in name:
            (folder / "finished").unlink()
        before = victim.read_bytes()
        for work in (partial(train_run, tiny, 0), partial(evaluate_run, again=True), load_run):
            with contextlib.suppress(InputError):
                work(folder)
        assert victim.read_bytes() == before, name
        shutil.rmtree(folder)
