"""A disk that fills up at any write of any command: exit code 2 and the path, no file that is empty or in part."""

import errno
import io
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from calls_for_tests import call, ok

from lengthwise.training.checkpoint import load_checkpoint


class Disk:
    """Room for so many writes below a folder."""

    def __init__(self, folder: Path, room: int, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.left = str(folder), room
        self._open, self._made, self._write = io.open, os.open, os.write
        self._own: set[int] = set()
        patch.setattr(io, "open", self.open)
        patch.setattr(os, "open", self.made)
        patch.setattr(os, "write", self.write)

    def made(self, path: Any, flags: int, *args: Any, **settings: Any) -> int:
        descriptor = self._made(path, flags, *args, **settings)
        written = flags & (os.O_WRONLY | os.O_RDWR) and str(path).startswith(self.folder)
        (self._own.add if written else self._own.discard)(descriptor)
        return descriptor

    def open(self, file: Any, mode: str = "r", *args: Any, **settings: Any) -> Any:
        opened = self._open(file, mode, *args, **settings)
        ours = file in self._own if isinstance(file, int) else str(file).startswith(self.folder)
        return _Written(opened, self) if ours and set(mode) & set("wax+") else opened

    def write(self, descriptor: int, data: bytes) -> int:
        if descriptor in self._own:
            self.take()
        return self._write(descriptor, data)

    def take(self) -> None:
        if not self.left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.left -= 1


class _Written:
    def __init__(self, file: Any, disk: Disk) -> None:
        self.file, self.disk = file, disk

    def __enter__(self) -> "_Written":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def write(self, data: bytes) -> None:
        try:
            self.disk.take()
        except OSError:
            self.file.write(data[: len(data) // 2])
            self.file.flush()
            raise
        self.file.write(data)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def strike(
    folder: Path, command: Callable[[], Any], again: Callable[[], None], rooms: Any = None
) -> list[dict[str, bytes]]:
    """Run a command with ever more room, and return what each that failed left."""
    left: list[dict[str, bytes]] = []
    for room in rooms or itertools.count():
        with pytest.MonkeyPatch.context() as patch:
            Disk(folder, room, patch)
            result = command()
        if result.exit_code == 0:
            assert room
            break
        assert result.exit_code == 2, result.output
        assert "Traceback" not in result.output
        assert str(folder) in result.stderr
        assert "No space left on device" in result.stderr
        found = files(folder)
        assert not [name for name, data in found.items() if not data or name.endswith(".partial")], found
        left.append(found)
        again()
    return left


@pytest.mark.slow
def test_training_and_evaluation_go_on_once_there_is_room(tiny_file: Path, tmp_path: Path) -> None:
    few = ("--set", "training.steps=3", "--set", "evaluation.curve_every=0")
    runs, count = tmp_path / "runs", itertools.count()
    ok("train", tiny_file, "--runs", tmp_path / "whole", *few)
    ok("evaluate", tmp_path / "whole")
    whole = tmp_path / "whole" / "tiny" / "seed-0"

    def fresh() -> None:
        if (runs / "tiny").exists():
            ok("train", tiny_file, "--runs", runs, *few)
            run = runs / "tiny" / "seed-0"
            parameters = [load_checkpoint(folder / "checkpoint.safetensors")[0] for folder in (run, whole)]
            assert all(parameters[0][name].equal(value) for name, value in parameters[1].items())
            runs.rename(tmp_path / f"runs-{next(count)}")

    assert len(strike(runs, lambda: call("train", tiny_file, "--runs", runs, *few), fresh)) >= 6
    evaluated = whole.joinpath("evaluation.jsonl").read_bytes()
    whole.joinpath("evaluation.jsonl").unlink()
    left = strike(whole, lambda: call("evaluate", whole), lambda: None, (0, 1, 2, 5))
    assert len(left) == 4
    ok("evaluate", whole)
    assert whole.joinpath("evaluation.jsonl").read_bytes() == evaluated


def table(run: Path, out: Path) -> list[dict[str, bytes]]:
    return strike(out.parent, lambda: call("results", run, "--out", out), lambda: None)


@pytest.mark.slow
def test_tables_reports_and_kept_results_are_whole_or_not_there(tiny_file: Path, tmp_path: Path) -> None:
    ok("train", tiny_file, "--runs", tmp_path / "runs", "--set", "training.steps=2")
    ok("evaluate", tmp_path / "runs")
    run, out = tmp_path / "runs", tmp_path / "out"
    out.mkdir()
    for name in ("a.csv", "a.parquet"):
        assert table(run, out / name) == [{}]
        (out / name).write_bytes(b"old")
        assert table(run, out / name) == [{name: b"old"}]
        (out / name).unlink()
    kept = strike(out, lambda: call("keep", run, "--out", out), lambda: None)
    assert kept
    assert not any("runs.json" in names for names in kept)
    page = tmp_path / "page"
    ok("report", run, "--out", page)
    whole = files(page)
    (left,) = strike(page, lambda: call("report", run, "--out", page), lambda: None, (2,))
    assert left.keys() == whole.keys()
