import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from folders import text_rows, write_run
from polars.testing import assert_frame_equal

from lengthwise.errors import InputError
from lengthwise.runs.kept import keep, read_kept, remove
from lengthwise.runs.table import Table, check_settings, read_table


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for seed in (0, 1):
        write_run(tmp_path / "runs", "fast/parity", seed)
        write_run(tmp_path / "runs", "fast/tomita_3", seed, wrong=100)
    return tmp_path / "runs"


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def assert_equal(one: Table, other: Table) -> None:
    order = ["recipe", "seed", "length", "distribution"]
    assert_frame_equal(one.rows.sort(order), other.rows.sort(order), check_column_order=False)
    order = ["digest", "seed", "step"]
    assert_frame_equal(one.metrics.sort(order), other.metrics.sort(order), check_column_order=False)
    for mine, theirs in zip(*(sorted(table.runs, key=lambda run: run.key) for table in (one, other)), strict=True):
        assert (mine.head, mine.settings, mine.environment) == (theirs.head, theirs.settings, theirs.environment)
        assert (mine.seconds, mine.attachments, mine.path.name) == (
            theirs.seconds,
            theirs.attachments,
            theirs.path.name,
        )


def test_the_table_of_kept_results_is_that_of_the_runs(runs: Path, tmp_path: Path) -> None:
    assert len(keep([runs], tmp_path / "kept").runs) == 4
    metrics, rows, index = files(tmp_path / "kept")
    assert (metrics[:8], rows[:5], index) == ("metrics-", "rows-", "runs.json")
    assert_equal(read_table([runs]), read_table([tmp_path / "kept"]))


def test_settings_are_kept_without_the_folders_of_whole_paths() -> None:
    told = {"task": {"source": {"paths": ["/home/me/data/x.csv", "data/y.csv"]}, "published": "/mnt/lists/", "n": 3}}
    kept = {"task": {"source": {"paths": ["x.csv", "data/y.csv"]}, "published": "lists", "n": 3}}
    assert check_settings(told, "a recipe") == kept
    assert check_settings({"task": {"language": "regex:/a/b", "name": "/a"}}, "a recipe")["task"]["name"] == "/a"


@pytest.mark.parametrize(
    ("command", "kept"),
    [
        ("lengthwise train fast/parity --seed 0", "lengthwise train fast/parity --seed 0"),
        ("lengthwise train /home/me/my.yaml --runs /data/big/runs", "lengthwise train my.yaml --runs runs"),
        ("/opt/venv/bin/python -m x --set task=dfa:/home/me/d.yaml", "python -m x --set task=dfa:d.yaml"),
        ("lengthwise train 'my/own.yaml' '/a b/c.yaml'", "lengthwise train 'my/own.yaml' '/a b/c.yaml'"),
    ],
)
def test_a_command_is_kept_without_the_folders_of_whole_paths(command: str, kept: str, tmp_path: Path) -> None:
    run = write_run(tmp_path / "runs", "fast/parity", 0)
    environment = json.loads((run / "environment.json").read_text())
    resumed = [{**environment, "command": command}]
    (run / "environment.json").write_text(json.dumps({**environment, "command": command, "resumed": resumed}))
    for folder in (tmp_path / "runs", tmp_path / "kept"):
        found = read_table([folder]).runs[0].environment
        assert (found["command"], found["resumed"][0]["command"]) == (kept, kept)
        keep([tmp_path / "runs"], tmp_path / "kept")


def test_results_kept_one_by_one_are_those_kept_together(runs: Path, tmp_path: Path) -> None:
    keep([runs], tmp_path / "together")
    keep([runs / "fast/tomita_3"], tmp_path / "one")
    keep([tmp_path / "one", runs / "fast/parity"], tmp_path / "one")
    assert files(tmp_path / "one") == files(tmp_path / "together")
    for name in files(tmp_path / "one"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "together" / name).read_bytes()


def test_what_is_kept_stays_and_equal_runs_are_no_change(runs: Path, tmp_path: Path) -> None:
    told: list[str] = []
    keep([runs / "fast/tomita_3"], tmp_path / "kept", tell=told.append)
    keep([runs / "fast/parity/seed-1"], tmp_path / "kept", tell=told.append)
    assert told == [f"add fast/{name}" for name in ("tomita_3/seed-0", "tomita_3/seed-1", "parity/seed-1")]
    before = files(tmp_path / "kept")
    keep([runs / "fast/parity/seed-1"], tmp_path / "kept", tell=told.append)
    assert (len(told), files(tmp_path / "kept")) == (3, before)


@pytest.mark.slow
def test_runs_that_are_kept_at_once_are_all_there(tmp_path: Path) -> None:
    folders = [write_run(tmp_path / "runs", seed=seed) for seed in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda folder: keep([folder], tmp_path / "kept"), folders))
    assert [run.head.seed for run in read_kept(tmp_path / "kept").runs] == list(range(6))


def test_text_beside_strings_without_the_heads_of_a_state(runs: Path, tmp_path: Path) -> None:
    keep([runs], tmp_path / "kept")
    write_run(tmp_path / "more", "text/gru", rows=text_rows(), trained_on="language_modelling")
    keep([tmp_path / "more"], tmp_path / "kept")
    rows = read_kept(tmp_path / "kept").rows.filter(pl.col("recipe") == "text/gru")
    assert rows["part"].to_list() == [None, None, None, "state"]
    assert rows["length"].null_count() == rows.height


def test_kept_runs_are_replaced_only_when_asked(runs: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    keep([runs], kept)
    before = (kept / "runs.json").read_text()
    other = write_run(tmp_path / "other", "fast/parity", 1, digest="another digest")
    again = write_run(tmp_path / "again", "fast/tomita_3", 0, wrong=1, commit="0123")
    what = r"fast/parity/seed-1 \(recipe digest, now anothe\); fast/tomita_3/seed-0 \(other head, rows\); --replace"
    with pytest.raises(InputError, match=what):
        keep([other, again], kept)
    assert (kept / "runs.json").read_text() == before
    commit = write_run(tmp_path / "commit", "fast/tomita_3", 0, wrong=100, commit="0123")
    with pytest.raises(InputError, match=r"fast/tomita_3/seed-0 \(other head\); --replace"):
        keep([commit], kept)
    told: list[str] = []
    table = keep([other, again], kept, replace=True, tell=told.append)
    assert [(run.head.recipe, run.head.seed) for run in table.runs] == [
        *(("fast/parity", 0), ("fast/parity", 1), ("fast/tomita_3", 0), ("fast/tomita_3", 1)),
    ]
    assert [line.partition(" (")[0] for line in told] == ["replace fast/parity/seed-1", "replace fast/tomita_3/seed-0"]
    assert_equal(table, read_kept(kept))
    assert table.runs[1].head.digest == "another digest"
    assert table.rows.filter(pl.col("value") == 0.999)["seed"].to_list() == [0]


def test_runs_are_taken_away_by_run_recipe_or_folder(runs: Path, tmp_path: Path) -> None:
    kept, told = tmp_path / "kept", []
    keep([runs], kept)
    write_run(tmp_path / "more", "slow/parity")
    keep([tmp_path / "more"], kept)
    remove(["fast/parity/seed-1", "fast/tomita_3"], kept, tell=told.append)
    assert told == [f"remove fast/{name}" for name in ("parity/seed-1", "tomita_3/seed-0", "tomita_3/seed-1")]
    assert [run.path.as_posix() for run in read_kept(kept).runs] == [
        f"{kept}/{name}" for name in ("fast/parity/seed-0", "slow/parity/seed-0")
    ]
    with pytest.raises(InputError, match=r"keeps no run 'slow/party'; did you mean 'slow/parity'\?"):
        remove(["slow/party"], kept)
    with pytest.raises(InputError, match="nothing would be left"):
        remove(["slow", "fast"], kept)
    with pytest.raises(InputError, match="keeps no results"):
        remove(["slow"], tmp_path)


def test_runs_beside_kept_results_are_read_together(runs: Path, tmp_path: Path) -> None:
    keep([runs / "fast/tomita_3"], tmp_path / "results" / "one")
    both = read_table([runs / "fast/parity", tmp_path / "results"])
    assert [run.head.recipe for run in both.runs] == ["fast/parity"] * 2 + ["fast/tomita_3"] * 2
    with pytest.raises(InputError, match="same recipe and seed"):
        read_table([runs, tmp_path / "results"])


def test_a_run_without_metrics_is_kept(runs: Path, tmp_path: Path) -> None:
    (runs / "fast/parity/seed-0/metrics.jsonl").unlink()
    keep([runs], tmp_path / "kept")
    assert_equal(read_table([runs]), read_table([tmp_path / "kept"]))


def test_long_training_keeps_its_end_its_curve_and_evenly_spaced_steps(tmp_path: Path) -> None:
    run = write_run(tmp_path / "runs")
    every = {"accuracy": 1.0, "learning_rate": 0.1, "gradient_norm": 1.0, "length": 9, "mean_loss": 1.0}
    rows = [every | {"step": s, "sequences": s, "seconds": s / 10} for s in range(10, 12_010, 10)]
    rows[700]["accuracy_100"] = 0.5
    rows[706]["margin_100_0.5"] = 0.25
    (run / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    write_run(tmp_path / "runs", seed=1)
    keep([tmp_path / "runs"], tmp_path / "kept")
    metrics = read_kept(tmp_path / "kept").metrics
    kept = metrics.filter(pl.col("seed") == 0)["step"].to_list()
    assert kept[-1] == 12_000
    assert set(kept) - {7010, 7070} == set(range(30, 12_010, 30))
    assert metrics.filter(pl.col("margin_100_0.5") == 0.25)["step"].to_list() == [7070]
    assert metrics.filter(pl.col("accuracy_100") == 0.5)["sequences"].to_list() == [7010]
    assert metrics.filter(pl.col("seed") == 1)["step"].to_list() == [1, 2, 4]
    before = files(tmp_path / "kept")
    keep([tmp_path / "kept"], tmp_path / "copy")
    assert files(tmp_path / "copy") == before


def test_parameters_outlive_the_checkpoint(tmp_path: Path) -> None:
    write_run(tmp_path / "runs", parameters=1234)
    keep([tmp_path / "runs"], tmp_path / "kept")
    assert read_kept(tmp_path / "kept").runs[0].head.parameters == 1234


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
    (rows,) = (tmp_path / "kept").glob("rows-*.parquet")
    pl.DataFrame({"value": [1.0]}).write_parquet(rows)
    with pytest.raises(InputError, match="is not the table that"):
        read_table([tmp_path / "kept"])
    rows.unlink()
    with pytest.raises(InputError, match="cannot read"):
        read_table([tmp_path / "kept"])


@pytest.mark.parametrize("text", ["{", "[]", '{"format": "another"}'])
def test_an_index_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "runs.json").write_text(text)
    with pytest.raises(InputError, match=r"runs\.json"):
        read_table([tmp_path])


@pytest.mark.parametrize(
    ("change", "lacks"),
    [
        (lambda index: index.pop("files"), "files"),
        (lambda index: index["files"].pop("rows"), "rows"),
        (lambda index: index["runs"][0].pop("head"), "head"),
        (lambda index: index["files"]["rows"].pop("sha256"), "sha256"),
    ],
    ids=["files", "rows", "head", "hash"],
)
def test_an_index_with_something_missing_is_refused(
    runs: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object], lacks: str
) -> None:
    keep([runs], tmp_path / "kept")
    path = tmp_path / "kept" / "runs.json"
    index = json.loads(path.read_text())
    change(index)
    path.write_text(json.dumps(index))
    with pytest.raises(InputError, match=f"{path} is not the index of kept results: .*'{lacks}'; keep the runs again"):
        read_kept(tmp_path / "kept")


def test_a_place_that_cannot_be_written_is_named(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    with pytest.raises(InputError, match=f"cannot write the lock of {tmp_path}/kept"):
        keep([runs], tmp_path / "kept")
