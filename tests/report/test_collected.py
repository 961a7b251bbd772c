import json
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from run_folders import write_run
from typer.testing import CliRunner

from lengthwise.cli.main import app
from lengthwise.errors import InputError, RunError
from lengthwise.experiments.results import DiagnosisRow, EvaluationRow
from lengthwise.report.collected import COLUMNS, collect, summarise_collected, write_table
from lengthwise.report.kept import keep


def finished_run(root: Path, seed: int, wrong: int = 0) -> Path:
    run = write_run(root, "parity", seed, wrong={("standard", 55): wrong})
    (run / "finished").touch()
    environment = {"command": "lengthwise sweep grid", "started": "2026-01-01", "parameters": 12}
    (run / "environment.json").write_text(json.dumps(environment))
    return run


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for seed, wrong in ((0, 0), (1, 200), (2, 400)):
        finished_run(tmp_path / "runs", seed, wrong)
    return tmp_path / "runs"


def test_every_row_is_there_once_with_what_made_it(runs: Path) -> None:
    table = collect([runs, runs / "fast"]).table
    assert table.columns[: len(COLUMNS)] == list(COLUMNS)
    assert set(EvaluationRow.model_fields) <= set(table.columns)
    assert table.select("digest", "seed", "distribution", "length").is_unique().all()
    assert table.group_by("seed").len()["len"].unique().len() == 1
    assert table["command"].unique().to_list() == ["lengthwise sweep grid"]
    assert table["parameters"].unique().to_list() == [12]
    worst = table.filter(pl.col("seed") == 2, pl.col("distribution") == "standard", pl.col("length") == 55)
    assert worst["value"].to_list() == [0.6]


def test_kept_results_give_the_same_table(runs: Path, tmp_path: Path) -> None:
    keep([runs], tmp_path / "kept")
    order = ["seed", "distribution", "length"]
    assert_frame_equal(
        collect([tmp_path / "kept"]).table.sort(order), collect([runs]).table.sort(order), check_column_order=False
    )


def test_text_and_strings_share_a_table(runs: Path) -> None:
    text = Path(__file__).parents[2] / "results" / "text" / "context"
    table = collect([runs, text]).table
    assert set(EvaluationRow.model_fields) | set(DiagnosisRow.model_fields) <= set(table.columns)
    strings, texts = table.filter(pl.col("text").is_null()), table.filter(pl.col("text").is_not_null())
    assert strings.height + texts.height == table.height
    assert texts["distribution"].null_count() == texts.height
    assert (texts["length"] == texts["end"]).all()
    assert strings["end"].null_count() == strings.height
    kinds = {line.quantity.partition(" ")[0] for line in summarise_collected([runs, text])}
    assert kinds == {"accuracy", "ratio"}


def test_the_summary_has_mean_deviation_and_every_seed(runs: Path) -> None:
    (line,) = summarise_collected([runs])
    values = [1.0, 1 - 0.2 / 20, 1 - 0.4 / 20]
    assert line.values == pytest.approx(dict(enumerate(values)))
    assert line.mean == pytest.approx(values[1])
    assert line.deviation == pytest.approx(0.01)
    assert (line.task, line.parameters) == ("parity", 12)
    printed = CliRunner().invoke(app, ["results", str(runs), "--summary"]).stdout
    assert "0: 100.0  1: 99.00  2: 98.00" in printed


def test_runs_that_wait_are_left_out_and_counted(runs: Path, tmp_path: Path) -> None:
    (runs / "fast/parity/seed-1/evaluation.jsonl").unlink()
    collection = collect([runs])
    assert collection.waiting == [runs / "fast/parity/seed-1"]
    assert sorted(collection.table["seed"].unique()) == [0, 2]
    ended = CliRunner().invoke(app, ["results", str(runs), "--out", str(tmp_path / "new" / "table.csv")])
    assert ended.exit_code == 0, ended.output
    assert ended.stdout.endswith("rows of 2 runs; 1 runs are not evaluated yet and left out\n")
    read = pl.read_csv(tmp_path / "new" / "table.csv")
    assert read["value"].to_list() == collection.table["value"].to_list()


def test_what_cannot_be_read_or_written_is_named(runs: Path, tmp_path: Path) -> None:
    table = collect([runs]).table
    write_table(table, tmp_path / "table.parquet")
    assert_frame_equal(pl.read_parquet(tmp_path / "table.parquet"), table)
    with pytest.raises(InputError, match=r"cannot write a table as '\.parqet'; did you mean '\.parquet'"):
        write_table(table, tmp_path / "table.parqet")
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot write"):
        write_table(table, tmp_path / "file" / "table.csv")
    for run in runs.rglob("evaluation.jsonl"):
        run.unlink()
    with pytest.raises(InputError, match="none of 3 runs is evaluated"):
        collect([runs])
    assert CliRunner().invoke(app, ["results", str(runs)]).exit_code == 2
