import json
import struct
from pathlib import Path

import pytest
from run_folders import write_run

from lengthwise.errors import InputError
from lengthwise.report.provenance import describe_provenance
from lengthwise.report.rows import read_results


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"no run in {tmp_path}"):
        read_results([tmp_path])


def test_a_run_without_evaluation_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    write_run(tmp_path, "parity")
    waiting = write_run(tmp_path, "tomita_3")
    (waiting / "evaluation.jsonl").unlink()
    with pytest.raises(InputError, match=f"lengthwise evaluate {waiting}$"):
        read_results([tmp_path])


def test_an_empty_evaluation_is_refused(tmp_path: Path) -> None:
    (write_run(tmp_path) / "evaluation.jsonl").write_text("")
    with pytest.raises(InputError, match="holds no rows"):
        read_results([tmp_path])


def test_the_same_run_in_two_folders_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "first")
    write_run(tmp_path / "second")
    with pytest.raises(InputError, match="same recipe and seed"):
        read_results([tmp_path])


def test_recipes_of_one_name_are_told_apart(tmp_path: Path) -> None:
    write_run(tmp_path / "first", digest="aaaaaaaaaa")
    write_run(tmp_path / "second", digest="bbbbbbbbbb")
    assert read_results([tmp_path]).series("parity") == ["fast/parity aaaaaa", "fast/parity bbbbbb"]


def test_rows_keep_their_run_and_curves_their_lengths(tmp_path: Path) -> None:
    write_run(tmp_path, "parity", seed=0, wrong={("standard", 7): 3})
    write_run(tmp_path, "parity", seed=1)
    results = read_results([tmp_path])
    assert results.tasks == ["parity"]
    wrong = results.accuracy.filter(results.accuracy["correct"] < results.accuracy["samples"])
    assert wrong.select("seed", "length", "correct").rows() == [(0, 7, 997)]
    assert results.training.select("seed", "sequences").rows() == [(s, 10 * n) for s in (0, 1) for n in (1, 2, 4)]
    assert results.learning.select("seed", "length", "accuracy").rows() == [(0, 100, 0.75), (1, 100, 0.75)]


def test_parameters_are_counted_from_the_head_of_the_checkpoint(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    assert read_results([tmp_path]).runs[0].parameters is None
    head = json.dumps({"model.w": {"shape": [3, 5]}, "optimiser.0.exp_avg": {"shape": [3, 5]}}).encode()
    (run / "checkpoint.safetensors").write_bytes(struct.pack("<Q", len(head)) + head)
    assert read_results([tmp_path]).runs[0].parameters == 15
    (run / "checkpoint.safetensors").write_bytes(b"torn")
    with pytest.raises(InputError, match="not a whole safetensors file"):
        read_results([tmp_path])


def test_provenance_names_each_command_and_each_commit_once(tmp_path: Path) -> None:
    write_run(tmp_path, seed=0)
    (write_run(tmp_path, seed=2) / "environment.json").unlink()
    provenance = describe_provenance(read_results([tmp_path]))
    assert provenance["commands"] == [f"lengthwise train fast/parity --seed {seed}" for seed in (0, 2)]
    assert provenance["commits"] == ["0123abcd"]
    assert provenance["seeds"] == ["0", "2"]
    assert provenance["machines"] == ["x86_64, 2 cores"]
