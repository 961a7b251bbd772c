import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from folders import string_rows, text_rows, write_run

from lengthwise.errors import InputError
from lengthwise.runs.kept import keep
from lengthwise.runs.rows import Head, Row
from lengthwise.runs.table import HEAD, ROW, read_table

RESULTS = Path(__file__).parents[2] / "results"


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"no run in {tmp_path}"):
        read_table([tmp_path])


def test_what_was_counted_has_no_bound() -> None:
    # 100 million weights, and more strings than a recipe could name in one number.
    about: dict[str, Any] = {"recipe": "a", "digest": "b", "seed": 0, "trained_on": "c", "model": "d", "step": 10**9}
    head = Head(**about, sequences=10**11, parameters=10**8, training_length=10**8)
    assert (head.sequences, head.parameters) == (10**11, 10**8)


@pytest.mark.parametrize(
    "folder", sorted(path.parent for path in RESULTS.glob("**/runs.json")), ids=lambda path: path.name
)
def test_all_kept_results_can_be_read(folder: Path) -> None:
    assert read_table([folder]).runs


def test_a_run_without_evaluation_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    write_run(tmp_path)
    waiting = write_run(tmp_path, "fast/tomita_3")
    (waiting / "evaluation.jsonl").unlink()
    table = read_table([tmp_path])
    assert (len(table.runs), table.waiting) == (1, [waiting])
    with pytest.raises(InputError, match=f"lengthwise evaluate {waiting}$"):
        table.refuse_waiting()
    with pytest.raises(InputError, match=f"none of 1 runs is evaluated; .* lengthwise evaluate {waiting}$"):
        read_table([waiting])


@pytest.mark.parametrize("text", ["a: [", "", "[1]"])
def test_a_recipe_that_cannot_be_read_is_refused(tmp_path: Path, text: str) -> None:
    path = write_run(tmp_path) / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=f"recipe {path} "):
        read_table([tmp_path])


def test_an_evaluation_of_another_run_is_refused(tmp_path: Path) -> None:
    own, other = write_run(tmp_path), write_run(tmp_path, "fast/tomita_3")
    (other / "evaluation.jsonl").replace(own / "evaluation.jsonl")
    with pytest.raises(InputError, match=f"is of fast/tomita_3, seed 0, and not of .* evaluate --again {own}$"):
        read_table([own])


def test_an_empty_evaluation_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path, rows=[])
    with pytest.raises(InputError, match="holds no rows"):
        read_table([tmp_path])


def test_the_same_run_in_two_folders_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "first")
    write_run(tmp_path / "second")
    with pytest.raises(InputError, match="same recipe and seed"):
        read_table([tmp_path])


def test_a_row_a_number_with_all_that_its_run_was(tmp_path: Path) -> None:
    write_run(tmp_path, seed=0, wrong=3)
    write_run(tmp_path, seed=1, commit="0123abcd", state_size=64)
    write_run(tmp_path, "text/gru", trained_on="language_modelling", data="stdlib 01", rows=text_rows())
    table = read_table([tmp_path, tmp_path / "fast"])
    assert table.rows.columns == [*HEAD, *ROW, "length", "distribution", "start", "end", "part"]
    assert [*HEAD, *ROW, "axes"] == [*Head.model_fields, *Row.model_fields]
    assert table.rows.height == 2 * len(string_rows()) + len(text_rows())
    wrong = table.rows.filter(table.rows["value"] == 0.997)
    assert wrong.select("seed", "length", "distribution", "start").rows() == [(0, 55, "standard", None)]
    second = table.rows.filter(table.rows["seed"] == 1)
    assert second.select("commit", "state_size").unique().rows() == [("0123abcd", 64)]
    text = table.rows.filter(table.rows["task"] == "language_modelling")
    assert text.filter(text["metric"] == "ratio").select("start", "end", "value", "low", "high", "part").row(1) == (
        *(64, 128, 1.25, 0.9, 2.1),
        None,
    )
    assert [run.seconds for run in table.runs] == [2.0, 2.0, 2.0]
    assert table.metrics.filter(table.metrics["accuracy_100"].is_not_null()).height == 3
    assert table.metrics.columns[:5] == ["digest", "seed", "step", "sequences", "seconds"]
    assert table.only([table.runs[1].key]).rows.equals(second)


def test_axes_of_several_kinds_share_a_column(tmp_path: Path) -> None:
    places = [{"length": 5}, {"length": 0.5}, {"length": "all"}, {"depth": 1}]
    rows = [Row(task="copying", metric="accuracy", value=1, samples=1, axes=axes) for axes in places]
    write_run(tmp_path, rows=rows[:2])
    write_run(tmp_path, "copying", rows=rows[2:])
    assert read_table([tmp_path / "fast"]).rows["length"].to_list() == [5.0, 0.5]
    assert read_table([tmp_path]).rows.sort("recipe")["length"].to_list() == ["all", None, "5.0", "0.5"]


def test_a_run_without_metrics_took_no_time(tmp_path: Path) -> None:
    (write_run(tmp_path) / "metrics.jsonl").unlink()
    table = read_table([tmp_path])
    assert (table.runs[0].seconds, table.metrics.height) == (0.0, 0)


def test_a_torn_last_line_of_metrics_is_left_out_and_another_is_named(tmp_path: Path) -> None:
    metrics = write_run(tmp_path) / "metrics.jsonl"
    metrics.write_text(metrics.read_text() + '{"step": 5, "sequ')
    assert read_table([tmp_path]).metrics["step"].to_list() == [1, 2, 4]
    metrics.write_text("{\n" + metrics.read_text())
    with pytest.raises(InputError, match=r"metrics\.jsonl, line 1: not a JSON object"):
        read_table([tmp_path])


@pytest.mark.parametrize("index", sorted(Path("results").glob("*/runs.json")), ids=lambda index: index.parent.name)
def test_all_results_that_are_kept_here_are_read(index: Path) -> None:
    """Millions of sequences were read in training: what was found knows no bounds of what may be asked for."""
    table = read_table([index.parent])
    assert table.runs
    assert set(table.rows.select("digest", "seed").unique().rows()) == {run.key for run in table.runs}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("evaluation.jsonl", "[1]\n", "is not an evaluation of this version"),
        ("evaluation.jsonl", "[" * 100_000, "line 1: not the head of an evaluation"),
        ("metrics.jsonl", '{"step": 1, "loss": "low"}\n{"step": 2}\n', "line 1: not the numbers of a step"),
        ("environment.json", '{"packages": 3.5}', "is not the environment of a run: packages is 3.5"),
        ("recipe.yaml", "{name: fast/parity, model: 3}", "is not that of a run; model"),
    ],
)
def test_a_damaged_file_of_a_run_is_told(name: str, content: str, message: str, tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    (folder / name).write_text(content)
    with pytest.raises(InputError, match=rf"{folder / name}.*{message}"):
        read_table([folder])


def test_a_number_that_stands_twice_is_refused(tmp_path: Path) -> None:
    evaluation = write_run(tmp_path) / "evaluation.jsonl"
    evaluation.write_text(evaluation.read_text() + evaluation.read_text().splitlines()[-1] + "\n")
    with pytest.raises(InputError, match="has a number twice"):
        read_table([tmp_path])


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.drop("seed"),
        lambda rows: rows.head(0),
        lambda rows: rows.with_columns(task=pl.lit(None)),
        lambda rows: rows.with_columns(digest=pl.lit("another")),
        lambda rows: rows.with_columns(samples=pl.lit(0)),
        lambda rows: pl.concat([rows, rows]),
    ],
)
def test_a_kept_table_that_is_not_that_of_its_runs_is_refused(
    change: Callable[[pl.DataFrame], pl.DataFrame], tmp_path: Path
) -> None:
    """Whole, and vouched for by the index, as when somebody edits both."""
    write_run(tmp_path / "runs")
    keep([tmp_path / "runs"], tmp_path / "kept")
    index, (table,) = tmp_path / "kept" / "runs.json", (tmp_path / "kept").glob("rows-*.parquet")
    before = hashlib.sha256(table.read_bytes()).hexdigest()
    change(pl.read_parquet(table)).write_parquet(table)
    index.write_text(index.read_text().replace(before, hashlib.sha256(table.read_bytes()).hexdigest()))
    with pytest.raises(InputError, match="kept"):
        read_table([tmp_path / "kept"])
