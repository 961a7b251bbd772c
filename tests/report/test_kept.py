import json
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from run_folders import write_run

from lengthwise.errors import InputError, RunError
from lengthwise.report.kept import keep, read_kept
from lengthwise.report.provenance import describe_provenance
from lengthwise.report.rows import Results, read_results
from lengthwise.report.summary import summarise

FILES = ["evaluation.parquet", "metrics.parquet", "runs.json"]


def finished_run(root: Path, task: str = "parity", seed: int = 0, wrong: int = 0) -> Path:
    run = write_run(root, task, seed, wrong={("standard", 55): wrong})
    (run / "finished").touch()
    return run


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for seed in (0, 1):
        finished_run(tmp_path / "runs", "parity", seed)
        finished_run(tmp_path / "runs", "tomita_3", seed, wrong=100)
    return tmp_path / "runs"


def assert_equal_results(one: Results, other: Results) -> None:
    assert_frame_equal(one.accuracy, other.accuracy, check_row_order=False)
    assert_frame_equal(one.training, other.training, check_row_order=False)
    assert_frame_equal(one.learning, other.learning, check_row_order=False)
    assert one.runs == other.runs
    assert describe_provenance(one) == describe_provenance(other)
    assert summarise(one) == summarise(other)


def test_reports_of_kept_results_are_those_of_the_runs(runs: Path, tmp_path: Path) -> None:
    assert len(keep([runs], tmp_path / "kept")) == 4
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == FILES
    assert_equal_results(read_results([runs]), read_results([tmp_path / "kept"]))


def test_results_kept_one_by_one_are_those_kept_together(runs: Path, tmp_path: Path) -> None:
    keep([runs], tmp_path / "together")
    keep([runs / "fast/tomita_3"], tmp_path / "one")
    keep([tmp_path / "one", runs / "fast/parity"], tmp_path / "one")
    for name in FILES[:2]:
        assert_frame_equal(
            pl.read_parquet(tmp_path / "one" / name),
            pl.read_parquet(tmp_path / "together" / name),
            check_column_order=False,
        )
    assert_equal_results(read_results([tmp_path / "one"]), read_results([tmp_path / "together"]))


def test_runs_beside_kept_results_are_reported_together(runs: Path, tmp_path: Path) -> None:
    keep([runs / "fast/tomita_3"], tmp_path / "results" / "one")
    both = read_results([runs / "fast/parity", tmp_path / "results"])
    assert both.tasks == ["parity", "tomita_3"]
    with pytest.raises(InputError, match="same recipe and seed"):
        read_results([runs, tmp_path / "results"])


def test_runs_take_the_place_of_kept_ones_of_another_recipe(runs: Path, tmp_path: Path) -> None:
    keep([runs], tmp_path / "kept")
    again = write_run(tmp_path / "again", "parity", 1, digest="another digest", steps=8)
    (again / "finished").touch()
    before = {(record.path.parent.name, record.seed): record.digest for record in read_kept(tmp_path / "kept")}
    assert len(keep([tmp_path / "kept", again], tmp_path / "both")) == 5
    keep([tmp_path / "kept", again], tmp_path / "renewed", renew=True)
    after = {(record.path.parent.name, record.seed): record.digest for record in read_kept(tmp_path / "renewed")}
    assert before.keys() == after.keys()
    assert {key for key, digest in after.items() if digest != before[key]} == {("parity", 1)}


def test_a_run_without_metrics_is_kept(runs: Path, tmp_path: Path) -> None:
    (runs / "fast/parity/seed-0/metrics.jsonl").unlink()
    keep([runs], tmp_path / "kept")
    assert_equal_results(read_results([runs]), read_results([tmp_path / "kept"]))


def test_long_training_keeps_its_end_its_curve_and_evenly_spaced_steps(tmp_path: Path) -> None:
    run = finished_run(tmp_path)
    steps = range(10, 12_010, 10)
    rows = [{"step": s, "sequences": s, "seconds": s / 10, "accuracy": 1.0} for s in steps]
    rows[700]["accuracy_100"] = 0.5
    (run / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    keep([run], tmp_path / "kept")
    (record,) = read_kept(tmp_path / "kept")
    kept = record.metrics["step"].to_list()
    assert kept[-1] == 12_000
    assert set(kept) - {7010} == set(range(30, 12_010, 30))
    assert read_results([tmp_path / "kept"]).learning.select("sequences", "accuracy").rows() == [(7010, 0.5)]


def test_parameters_outlive_the_checkpoint(runs: Path, tmp_path: Path) -> None:
    environment = runs / "fast/parity/seed-0/environment.json"
    environment.write_text(json.dumps(json.loads(environment.read_text()) | {"parameters": 1234}))
    keep([runs / "fast/parity/seed-0"], tmp_path / "kept")
    assert read_results([tmp_path / "kept"]).runs[0].parameters == 1234


def test_runs_that_are_not_done_are_refused(runs: Path, tmp_path: Path) -> None:
    (runs / "fast/parity/seed-1/evaluation.jsonl").unlink()
    with pytest.raises(InputError, match=f"lengthwise evaluate {runs}/fast/parity/seed-1"):
        keep([runs], tmp_path / "kept")
    (runs / "fast/parity/seed-1/finished").unlink()
    with pytest.raises(InputError, match=f"not trained to the end: {runs}/fast/parity/seed-1; "):
        keep([runs], tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_tables_that_were_changed_or_lost_are_refused(runs: Path, tmp_path: Path) -> None:
    keep([runs], tmp_path / "kept")
    pl.DataFrame({"value": [1.0]}).write_parquet(tmp_path / "kept/evaluation.parquet")
    with pytest.raises(InputError, match="is not the table that"):
        read_results([tmp_path / "kept"])
    (tmp_path / "kept/evaluation.parquet").unlink()
    with pytest.raises(InputError, match="cannot read"):
        read_results([tmp_path / "kept"])


@pytest.mark.parametrize("text", ["{", "[]", '{"format": "another"}'])
def test_an_index_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "runs.json").write_text(text)
    with pytest.raises(InputError, match=r"runs\.json"):
        read_results([tmp_path])


def test_a_place_that_cannot_be_written_is_named(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    with pytest.raises(RunError, match=f"cannot keep results in {tmp_path}/kept"):
        keep([runs], tmp_path / "kept")
