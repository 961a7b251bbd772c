from pathlib import Path

import polars as pl
import pytest
from folders import text_rows, write_run
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

from lengthwise.cli.main import app
from lengthwise.errors import InputError, RunError
from lengthwise.runs.kept import keep
from lengthwise.runs.rows import Row
from lengthwise.runs.summary import OF_RUN, summarise, with_runs, write_table
from lengthwise.runs.table import read_table


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for seed, wrong in ((0, 0), (1, 200), (2, 400)):
        write_run(tmp_path / "runs", "fast/parity", seed, wrong=wrong, parameters=12)
    return tmp_path / "runs"


def test_every_row_is_there_once_with_what_made_it(runs: Path) -> None:
    table = read_table([runs, runs / "fast"])
    rows = with_runs(table)
    assert rows.columns == [*table.rows.columns, *OF_RUN]
    assert rows.select("digest", "seed", "distribution", "length").is_unique().all()
    assert rows.group_by("seed").len()["len"].unique().len() == 1
    first = rows.filter(pl.col("seed") == 0).select(OF_RUN.names()).unique().rows()
    assert first == [(8, 4, 2.0, "a table", "lengthwise train fast/parity --seed 0", "2026-01-01")]
    worst = rows.filter(pl.col("seed") == 2, pl.col("distribution") == "standard", pl.col("length") == 55)
    assert worst["value"].to_list() == [0.6]


def test_kept_results_give_the_same_table(runs: Path, tmp_path: Path) -> None:
    keep([runs], tmp_path / "kept")
    kept, own = (with_runs(read_table([path])) for path in (tmp_path / "kept", runs))
    assert_frame_equal(kept, own, check_column_order=False)


def test_the_summary_has_mean_deviation_and_every_seed(runs: Path) -> None:
    lines = summarise(read_table([runs]))
    assert lines["value"].to_list() == pytest.approx([1.0, 1 - 0.2 / 20, 1 - 0.4 / 20])
    assert lines.select("task", "parameters", "seed").rows() == [("parity", 12, seed) for seed in range(3)]
    printed = CliRunner().invoke(app, ["results", str(runs), "--summary"]).stdout
    assert printed.splitlines()[1].split()[3:] == [
        *("12", "99.00", "1.000", "0:", "100.0", "1:", "99.00", "2:", "98.00"),
        *("accuracy", "in", "%,", "lengths", "41", "to", "60"),
    ]


def test_every_kind_of_measurement_has_a_number(runs: Path) -> None:
    text = {"trained_on": "language_modelling", "data": "stdlib 01ab"}
    write_run(runs, "text/gru", rows=text_rows(), **text)
    depths = [Row(task="passkey", metric="recall", value=v, samples=1, axes={"depth": v}) for v in (0.5, 1.0)]
    write_run(runs, "passkey", rows=depths, trained_on="passkey")
    write_run(runs, "short", training_length=60)
    rows = summarise(read_table([runs])).select("recipe", "task", "quantity", "value").rows()
    found = {recipe: row for recipe, *row in rows}
    assert found.pop("fast/parity")[:2] == ["parity", "accuracy in %, lengths 41 to 60"]
    assert found == {
        "text/gru": ["stdlib", "ratio of perplexities up to 256", 1.5],
        "passkey": ["passkey", "mean recall", 0.75],
        "short": ["parity", "no length beyond training", None],
    }


def test_runs_that_wait_are_left_out_and_counted(runs: Path, tmp_path: Path) -> None:
    (runs / "fast/parity/seed-1/evaluation.jsonl").unlink()
    ended = CliRunner().invoke(app, ["results", str(runs), "--out", str(tmp_path / "new" / "table.csv")])
    assert ended.exit_code == 0, ended.output
    assert ended.stdout.endswith("rows of 2 runs; 1 runs are not evaluated yet and left out\n")
    read = pl.read_csv(tmp_path / "new" / "table.csv")
    assert read["value"].to_list() == read_table([runs]).rows["value"].to_list()


def test_what_cannot_be_read_or_written_is_named(runs: Path, tmp_path: Path) -> None:
    rows = with_runs(read_table([runs]))
    write_table(rows, tmp_path / "table.parquet")
    assert_frame_equal(pl.read_parquet(tmp_path / "table.parquet"), rows)
    with pytest.raises(InputError, match=r"cannot write a table as '\.parqet'; did you mean '\.parquet'"):
        write_table(rows, tmp_path / "table.parqet")
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot write"):
        write_table(rows, tmp_path / "file" / "table.csv")
    for run in runs.rglob("evaluation.jsonl"):
        run.unlink()
    ended = CliRunner().invoke(app, ["results", str(runs), "--summary"])
    assert "none of 3 runs is evaluated" in ended.output
    assert CliRunner().invoke(app, ["results", str(runs)]).exit_code != 0


def test_keep_says_what_changes_before_it_does(runs: Path, tmp_path: Path) -> None:
    def lines(*arguments: str) -> list[str]:
        ended = CliRunner().invoke(app, ["keep", *arguments, "--out", str(tmp_path / "kept")])
        assert ended.exit_code == 0, ended.output
        return [line for line in ended.stdout.replace("\n  ", " ").splitlines() if line.strip()]

    assert lines(str(runs / "fast/parity/seed-0"))[0] == "add fast/parity/seed-0"
    assert lines(str(runs))[:2] == ["add fast/parity/seed-1", "add fast/parity/seed-2"]
    assert lines("--remove", "fast/parity/seed-1")[0] == "remove fast/parity/seed-1"
    assert [run.head.seed for run in read_table([tmp_path / "kept"]).runs] == [0, 2]
    write_run(tmp_path / "again", "fast/parity", 0, wrong=9)
    refused = CliRunner().invoke(app, ["keep", str(tmp_path / "again"), "--out", str(tmp_path / "kept")])
    assert refused.exit_code != 0
    assert "--replace" in refused.output
    assert lines(str(tmp_path / "again"), "--replace")[0].startswith("replace fast/parity/seed-0 (other head")
    both = ["keep", str(runs), "--remove", "fast", "--out", str(tmp_path / "kept")]
    assert "name runs to keep, or runs to take away" in CliRunner().invoke(app, both).output


def test_a_task_without_distributions_or_accuracy_is_summarised_beside_others(runs: Path) -> None:
    for recipe, metric in (("copying", "accuracy"), ("signals", "squared_error")):
        measured = [Row(task=recipe, metric=metric, value=n / 100, samples=9, axes={"length": n}) for n in (40, 50, 60)]
        write_run(runs, recipe, rows=measured, trained_on=recipe)
    found = {row["recipe"]: (row["quantity"], row["value"]) for row in summarise(read_table([runs])).to_dicts()}
    assert found["copying"] == ("accuracy in %, lengths 41 to 60", pytest.approx(0.55))
    assert found["signals"] == ("mean squared_error", pytest.approx(0.5))
