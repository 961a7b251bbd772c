from pathlib import Path

import pytest
from run_folders import write_run
from text_folders import write_text_run

from lengthwise.errors import InputError
from lengthwise.report.provenance import describe_provenance
from lengthwise.report.results import comparable
from lengthwise.runs.table import read_table


def test_a_run_without_evaluation_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    write_run(tmp_path, "parity")
    waiting = write_run(tmp_path, "tomita_3")
    (waiting / "evaluation.jsonl").unlink()
    with pytest.raises(InputError, match=f"lengthwise evaluate {waiting}$"):
        read_table([tmp_path]).refuse_waiting()


def test_recipes_of_one_name_are_told_apart(tmp_path: Path) -> None:
    write_run(tmp_path / "first", digest="aaaaaaaaaa")
    write_run(tmp_path / "second", digest="bbbbbbbbbb")
    (results,) = comparable(read_table([tmp_path]))
    assert sorted(results.called["series"]) == ["fast/parity aaaaaa", "fast/parity bbbbbb"]


def test_rows_keep_their_run_and_curves_their_lengths(tmp_path: Path) -> None:
    write_run(tmp_path, "parity", seed=0, wrong={("standard", 7): 3})
    write_run(tmp_path, "parity", seed=1)
    (results,) = comparable(read_table([tmp_path]))
    wrong = results.accuracy.filter(results.accuracy["correct"] < results.accuracy["samples"])
    assert wrong.select("seed", "length", "correct").rows() == [(0, 7, 997)]
    logged = results.metrics.select("series", "task", "seed", "sequences").rows()
    assert logged == [("fast/parity", "parity", s, 10 * n) for s in (0, 1) for n in (1, 2, 4)]
    learning = results.curve("accuracy", "length").select("seed", "length", "accuracy")
    assert learning.rows() == [(0, 100, 0.75), (1, 100, 0.75)]


def test_runs_measured_by_position_are_a_part_of_their_own(tmp_path: Path) -> None:
    write_run(tmp_path, "parity")
    write_text_run(tmp_path, "states/one")
    write_text_run(tmp_path, "states/two")
    parts = comparable(read_table([tmp_path]))
    assert [part.heading for part in parts] == ["Models", "Language modelling"]
    assert [len(part.runs) for part in parts] == [1, 2]


def test_provenance_names_each_command_and_each_commit_once(tmp_path: Path) -> None:
    write_run(tmp_path, seed=0)
    (write_run(tmp_path, seed=2) / "environment.json").unlink()
    provenance = describe_provenance(read_table([tmp_path]).runs)
    assert provenance["commands"] == [f"lengthwise train fast/parity --seed {seed}" for seed in (0, 2)]
    assert provenance["commits"] == ["0123abcd"]
    assert provenance["seeds"] == ["0", "2"]
    assert provenance["machines"] == ["x86_64, 2 cores"]
