import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from run_folders import LENGTHS, read, write_run

from lengthwise.errors import InputError
from lengthwise.evaluation.intervals import wilson_interval
from lengthwise.report.sections.accuracy import accuracy_table
from lengthwise.report.summary import summarise
from lengthwise.report.words import percent

Z = 1.959964


@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_bounds_of_the_interval_are_where_the_score_test_just_rejects(counts: tuple[int, int]) -> None:
    right, samples = counts
    value = right / samples
    low, high = wilson_interval(value, samples)
    assert 0 <= low <= value <= high <= 1
    for bound in {low, high} - {0.0, 1.0}:
        assert abs(value - bound) == pytest.approx(Z * math.sqrt(bound * (1 - bound) / samples), rel=1e-3)


@given(st.floats(0, 1))
def test_percent_never_says_more_than_was_reached(value: float) -> None:
    shown = percent(value)
    assert (shown == "100.0") == (value == 1)
    assert value * 100 - 0.0101 <= float(shown) <= value * 100 + 1e-6


@pytest.mark.parametrize(("value", "shown"), [(1.0, "100.0"), (0.999999, "99.99"), (0.57, "57.00"), (0.0, "0.00")])
def test_percent_of_known_values(value: float, shown: str) -> None:
    assert percent(value) == shown


def test_means_are_over_the_lengths_beyond_training(tmp_path: Path) -> None:
    write_run(tmp_path, seed=0, wrong={("standard", 3): 500, ("standard", 41): 200, ("standard", 1000): 100})
    write_run(tmp_path, seed=1, wrong={("standard", 50): 400, ("near_miss", 50): 10})
    (summary,) = summarise(read(tmp_path))
    assert summary.seeds == [0, 1]
    assert summary.beyond is not None
    assert summary.beyond_next is not None
    assert summary.even is not None
    assert summary.near_misses is not None
    assert summary.beyond.value == pytest.approx(1 - (0.2 + 0.4) / 2 / 20)
    assert summary.beyond_next.value == pytest.approx(1 - 0.4 / 2 / 19)
    assert summary.even.value == pytest.approx(1 - 0.4 / 2 / 10)
    assert summary.near_misses.value == pytest.approx(0.995)
    assert summary.far[1000].value == pytest.approx(0.95)
    assert summary.worst == (3, pytest.approx(0.75))
    assert not summary.flawless
    assert summary.head.sequences == 40
    assert summary.seconds == 2


def test_a_single_error_is_not_rounded_away(tmp_path: Path) -> None:
    write_run(tmp_path, "parity")
    write_run(tmp_path, "tomita_3", wrong={("standard", 45): 1}, samples=10**6)
    results = read(tmp_path)
    flawless, flawed = summarise(results)
    assert flawless.flawless
    assert not flawed.flawless
    shown = [{cell.text for cell in row} for row in accuracy_table(results).rows]
    assert "none" in shown[0]
    assert "99.99" in shown[1]
    assert shown[1] & {"100.0"}, "the long length has no error"


def test_lengths_that_share_strings_count_each_string_once(tmp_path: Path) -> None:
    write_run(tmp_path, "parity")
    write_run(tmp_path, "tomita_3")
    by_prefix, apart = summarise(read(tmp_path))
    assert by_prefix.beyond is not None
    assert apart.beyond is not None
    assert by_prefix.beyond.low == pytest.approx(wilson_interval(1, 1000)[0])
    assert apart.beyond.low == pytest.approx(wilson_interval(1, 20 * 1000)[0])


def test_pairs_of_lengths_have_strings_of_their_own(tmp_path: Path) -> None:
    recipe = write_run(tmp_path, "parity") / "recipe.yaml"
    settings = yaml.safe_load(recipe.read_text())
    settings["task"]["test"]["pairs"] = True
    recipe.write_text(yaml.safe_dump(settings))
    (apart,) = summarise(read(tmp_path))
    assert apart.beyond is not None
    assert (apart.beyond.low, apart.beyond.sequences) == (pytest.approx(wilson_interval(1, 20 * 1000)[0]), 20 * 1000)
    assert "of 20,000" in str(accuracy_table(read(tmp_path)).rows[0])


def test_a_task_without_even_lengths_has_no_score_there(tmp_path: Path) -> None:
    write_run(tmp_path, "modular_arithmetic", lengths=LENGTHS[::2])
    results = read(tmp_path)
    assert summarise(results)[0].even is None
    assert [cell.text for cell in accuracy_table(results).rows[0]].count("\N{EN DASH}") == 1


def test_tables_name_the_lengths_and_have_a_cell_for_each(tmp_path: Path) -> None:
    write_run(tmp_path)
    table = accuracy_table(read(tmp_path))
    assert table.columns[1:3] == ["41\N{EN DASH}60", "42\N{EN DASH}60"]
    assert all(len(row) == len(table.columns) for row in table.rows)
    printed = table.terminal()
    assert printed
    assert printed.row_count == 1


def test_an_interval_needs_samples() -> None:
    with pytest.raises(InputError, match="at least one sample"):
        wilson_interval(0.5, 0)


def test_a_model_is_called_by_its_mixer(tmp_path: Path) -> None:
    write_run(tmp_path / "own")
    assert summarise(read(tmp_path / "own"))[0].model == "ldru mlp"
    write_run(tmp_path / "other", model={"name": "backbone", "mixer": {"name": "lstm"}})
    assert summarise(read(tmp_path / "other"))[0].model == "lstm"
