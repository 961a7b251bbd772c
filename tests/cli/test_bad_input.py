"""What cannot be used, written or found is told in one message, without a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from calls_for_tests import call, ok, refused

from lengthwise.runs.folder import RunFolder


def trained(tiny_file: Path, folder: Path) -> Path:
    ok("train", tiny_file, "--runs", folder, "--set", "training.steps=2")
    ok("evaluate", folder)
    return folder / "tiny" / "seed-0"


def told(*arguments: object) -> str:
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.stderr


def test_a_report_that_cannot_be_written_is_told(tiny_file: Path, tmp_path: Path) -> None:
    run = trained(tiny_file, tmp_path / "runs")
    (tmp_path / "afile").write_text("mine")
    message = told("report", run, "--out", tmp_path / "afile")
    assert message == f"error: cannot write the report in {tmp_path / 'afile'}: File exists\n"
    assert (tmp_path / "afile").read_text() == "mine"


@pytest.mark.slow
def test_a_disk_that_fills_up_under_a_report_is_told(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(tiny_file, tmp_path / "runs")

    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr(Path, "replace", full)
    message = told("report", run, "--out", tmp_path / "page")
    assert "error: cannot write the part of the report" in message
    assert "No space left on device" in message
    assert [path for path in tmp_path.joinpath("page").rglob("*") if path.is_file()] == []


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 10_000])
def test_an_output_that_cannot_be_written_is_told(count: int) -> None:
    command = [sys.executable, "-m", "lengthwise.cli.main", "sample", "parity", "--count", str(count)]
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        ended = subprocess.run(command, check=False, stdout=full, stderr=subprocess.PIPE, text=True)
    assert ended.stderr == "error: cannot write the output: No space left on device\n"
    assert ended.returncode == 2


@pytest.mark.slow
def test_a_reader_that_has_enough_is_no_error() -> None:
    command = f"{sys.executable} -m lengthwise.cli.main sample parity --count 100000 | head -n 1"
    ended = subprocess.run(command, shell=True, check=False, capture_output=True, text=True)
    assert len(ended.stdout.splitlines()) == 1
    assert ended.stderr == ""


def test_a_file_that_cannot_be_used_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(name: str) -> None:
        raise PermissionError(13, "Permission denied", "secret.yaml")

    monkeypatch.setattr("lengthwise.tasks.get_language", closed)
    assert told("sample", "parity") == "error: cannot use secret.yaml: Permission denied\n"


ARITHMETIC = ("--set", "task=modular_arithmetic", "--set", "task.mixture={standard: 1}")


def test_lengths_without_strings_are_told_once(tiny_file: Path, tmp_path: Path) -> None:
    lengths = ("--set", "task.train.minimum=2", "--set", "task.train.maximum=3")
    steps = ("--set", "training.steps=2", "--seed", 0, "--seed", 1)
    result = call("train", tiny_file, "--runs", tmp_path, *ARITHMETIC, *lengths, *steps)
    assert result.exit_code == 0, result.output
    assert result.stderr == (
        "modular_arithmetic has no strings of length 2: "
        "training reads strings that are one symbol shorter in their place\n"
    )


def test_parts_of_a_mixture_without_strings_are_told(tiny_file: Path, tmp_path: Path) -> None:
    settings = ("--set", "task=regex:ab", "--set", "task.mixture={accepted: 1}", "--set", "training.steps=2")
    result = call("train", tiny_file, "--runs", tmp_path, *settings)
    assert result.exit_code == 0, result.output
    assert result.stderr == (
        "regex:ab has no strings of the mixture's part 'accepted' of length 1, 3, 4, ..., 12 (11 lengths): "
        "training reads standard ones in their place\n"
    )


def test_a_length_without_accepted_strings_is_told() -> None:
    result = call("sample", "regex:ab", "--length", 7, "--count", 3)
    assert result.exit_code == 0
    assert [line.partition("\t")[2] for line in result.stdout.splitlines()] == ["0", "0", "0"]
    letters = "symbols: a is 0, b is 1\n"
    said = "regex:ab has no accepted string of length 7; the nearest length that does is 2\n"
    assert result.stderr == letters + said
    assert call("sample", "regex:ab", "--length", 2).stderr == letters
    assert call("sample", "parity", "--length", 7).stderr == ""


def test_runs_are_listed_of_a_folder_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "afile").touch()
    assert ok("list", "runs") == "run\tstatus\tstep\tloss\n"
    for name in ("nothere", "afile"):
        assert refused("list", "runs", "--runs", name).startswith(f"error: there is no folder {name} to list")


def test_a_finished_run_with_a_damaged_checkpoint_is_refused(tiny_file: Path, tmp_path: Path) -> None:
    run = RunFolder(trained(tiny_file, tmp_path))
    run.checkpoint.write_bytes(run.checkpoint.read_bytes()[:-1])
    message = refused("train", tiny_file, "--runs", tmp_path, "--set", "training.steps=2")
    assert f"checkpoint {run.checkpoint} is truncated" in message


@pytest.mark.parametrize("mixer", ["mamba2", "gla"])
def test_a_check_crosses_the_ends_of_chunks(mixer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []

    def note(model: object, vocabulary: int, *, length: int, seed: int) -> list[object]:
        lengths.append(length)
        return []

    monkeypatch.setattr("lengthwise.evaluation.contract.check_contract", note)
    ok("check", mixer)
    ok("check", mixer, "--set", "chunk=100")
    ok("check", mixer, "--set", "chunk=4")
    ok("check", mixer, "--length", 9)
    ok("check", "gru")
    assert lengths == [129, 201, 37, 9, 37]


def test_wrong_seeds_are_told_although_another_is_asked_for(tiny_file: Path, tmp_path: Path) -> None:
    said = refused("train", tiny_file, "--runs", tmp_path, "--seed", 0, "--set", f"seeds=[{2**70}]")
    assert "seeds.0: should be less than or equal to 9223372036854775807" in said
