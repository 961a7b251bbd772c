import errno
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from faults import NOTES, Places, install
from folders import write_run

from lengthwise.errors import InputError, RunError
from lengthwise.runs.attachments import ATTACHMENTS
from lengthwise.runs.kept import keep
from lengthwise.runs.table import read_table

PROGRAM = Path(__file__).with_name("faults.py")


@pytest.fixture(autouse=True)
def notes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ATTACHMENTS, "_builtin", NOTES)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Kept results of two runs, one with a note, and runs of which one takes a kept one's place and one is new."""
    kept = tmp_path / "kept"
    (write_run(tmp_path / "old", seed=0) / "note.txt").write_text("what stays")
    write_run(tmp_path / "old", seed=1)
    keep([tmp_path / "old"], kept)
    write_run(tmp_path / "new", seed=1, wrong=7)
    (write_run(tmp_path / "new", "fast/tomita_3") / "note.txt").write_text("what is new")
    return kept, tmp_path / "new"


def contents(folder: Path) -> list[Any]:
    table = read_table([folder])
    of_runs = [(run.head, run.settings, run.environment, run.attachments, run.seconds) for run in table.runs]
    return [of_runs, table.rows.rows(named=True), table.metrics.rows(named=True)]


def check(kept: Path, runs: Path, old: list[Any], new: list[Any]) -> bool:
    """Return whether a folder that was left anywhere holds the new set; it holds that or the old one, and goes on."""
    found = contents(kept)
    assert found in (old, new)
    keep([runs], kept, replace=True)
    assert contents(kept) == new
    assert len([path for path in kept.iterdir() if path.name != ".lock"]) == 4
    return found == new


def both_sets(kept: Path, runs: Path) -> tuple[list[Any], list[Any]]:
    whole = kept.with_name("whole")
    shutil.copytree(kept, whole)
    keep([runs], whole, replace=True)
    old, new = contents(kept), contents(whole)
    assert [run[3] for run in new[0]] == [{"note": "what stays"}, {}, {"note": "what is new"}]
    assert old != new
    return old, new


class Ended(BaseException):
    """The end of a process that still runs what it has to clean up."""


@pytest.mark.slow
def test_a_fault_anywhere_leaves_the_old_set_or_the_new_one(folders: tuple[Path, Path], tmp_path: Path) -> None:
    kept, runs = folders
    old, new = both_sets(kept, runs)
    for fault, expected in ((OSError(errno.ENOSPC, "No space left on device"), RunError), (Ended(), Ended)):

        def strike(fault: BaseException = fault) -> None:
            raise fault

        ends, at = [], 0
        while not ends or ends[-1] is not None:
            at += 1
            copy = shutil.copytree(kept, tmp_path / f"{expected.__name__}-{at}")
            with pytest.MonkeyPatch.context() as patch:
                places = Places(at, strike)
                install(patch.setattr, places)
                try:
                    keep([runs], copy, replace=True)
                    raised = False
                except expected:
                    raised = True
            ends.append(None if places.count < at else check(copy, runs, old, new))
            assert raised or ends[-1] in (None, True)
        assert len(ends) > 30
        assert {False, True} <= set(ends)
        if expected is Ended:
            # Once the new set is there, it stays.
            assert ends[:-1] == sorted(ends[:-1])


@pytest.mark.slow
def test_a_fault_in_an_empty_folder_leaves_nothing_or_all(folders: tuple[Path, Path], tmp_path: Path) -> None:
    runs = folders[1]
    keep([runs], tmp_path / "whole")
    new = contents(tmp_path / "whole")

    def strike() -> None:
        raise Ended

    for at in range(1, 30):
        out = tmp_path / f"out-{at}"
        with pytest.MonkeyPatch.context() as patch:
            install(patch.setattr, Places(at, strike))
            with pytest.raises(Ended):
                keep([runs], out)
        if not (out / "runs.json").exists():
            with pytest.raises(InputError, match="there is no run"):
                read_table([out])
            keep([runs], out)
        assert contents(out) == new


@pytest.mark.slow
def test_a_kill_anywhere_leaves_the_old_set_or_the_new_one(folders: tuple[Path, Path], tmp_path: Path) -> None:
    kept, runs = folders
    old, new = both_sets(kept, runs)

    def killed(at: int) -> tuple[subprocess.Popen[str], Path]:
        copy = shutil.copytree(kept, tmp_path / f"killed-{at}")
        command = [sys.executable, str(PROGRAM), str(runs), str(copy), str(at)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True), copy

    counting, _ = killed(0)
    places = int(counting.communicate()[0])
    assert places > 30
    ends = []
    for at in range(1, places + 1):
        process, copy = killed(at)
        process.communicate()
        assert process.returncode == -9
        ends.append(check(copy, runs, old, new))
    assert ends == sorted(ends)
    assert {False, True} == set(ends)
