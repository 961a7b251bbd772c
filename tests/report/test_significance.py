import math
from itertools import product
from pathlib import Path
from statistics import fmean

import pytest
from run_folders import write_run

from lengthwise.errors import InputError
from lengthwise.report.page import Report
from lengthwise.report.results import comparable
from lengthwise.report.sections.significance import Significance, compare
from lengthwise.report.significance import flips_p, holm, strings_p
from lengthwise.runs.table import beside, read_table


def mcnemar(won: int, lost: int) -> float:
    """Twice the smaller tail of a fair coin, from binomials."""
    tail = sum(math.comb(won + lost, k) for k in range(min(won, lost) + 1)) / 2 ** (won + lost)
    return min(1.0, 2 * tail)


@pytest.mark.parametrize(
    ("one", "other", "strings"), [(0, 0, 5), (5, 5, 5), (3, 3, 8), (8, 2, 8), (7, 1, 9), (40, 30, 50)]
)
def test_of_all_pairings_of_two_counts_the_one_that_says_least_is_taken(one: int, other: int, strings: int) -> None:
    pairings = [mcnemar(one - both, other - both) for both in range(max(0, one + other - strings), min(one, other) + 1)]
    assert strings_p(one, strings, other, strings) == pytest.approx(max(pairings))
    assert strings_p(other, strings, one, strings) == pytest.approx(max(pairings))


def test_counts_of_different_numbers_of_strings_are_tested_as_different_strings() -> None:
    # Fisher's lady: 3 of 4 against 1 of 4, doubled strings aside.
    assert strings_p(3, 4, 0, 8) == pytest.approx(math.comb(4, 3) * math.comb(8, 0) / math.comb(12, 3))


@pytest.mark.parametrize("differences", [[], [0.5], [0.0, 0.0], [1, 2, 3], [1, -2, 3, 0.5], [0.1] * 6, [0.1, 0.0, 0.0]])
def test_flips_are_counted_exactly(differences: list[float]) -> None:
    seen = abs(fmean(differences)) if differences else 0.0
    means = [abs(fmean(s * d for s, d in zip(signs, differences, strict=True)))
             for signs in product((1, -1), repeat=len(differences)) if differences]  # fmt: skip
    expected = sum(mean >= seen - 1e-12 for mean in means) / len(means) if means else 1.0
    assert flips_p(differences) == pytest.approx(expected)


def test_many_pairs_have_a_small_p_and_always_the_same() -> None:
    assert flips_p([0.1] * 60) == flips_p([0.1] * 60) < 0.001


def test_holm_multiplies_by_what_is_left_and_keeps_the_order() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_difference_is_found_where_there_is_one_and_corrected_for_being_sought(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_run(tmp_path, recipe="a/parity", seed=seed, wrong={("standard", 45): 2})
        write_run(tmp_path, recipe="b/parity", seed=seed, wrong={("standard", 45): 2, ("near_miss", 50): 40 + seed})
        write_run(tmp_path, recipe="c/parity", seed=seed, wrong={("standard", 45): 3})
    (results,) = comparable(read_table([tmp_path]))
    worse, equal = compare(results)
    assert (worse.family, worse.better, equal.family) == ("b", False, "c")
    points = 22  # The lengths 41 to 60, 1,000, and near misses.
    assert worse.p == pytest.approx(points * 2 * 0.5**81)
    assert equal.p == 1.0
    assert worse.by_seed == pytest.approx({0: -0.04 / points, 1: -0.041 / points})
    (table,) = Significance().draw(results).pieces
    assert [[cell.text for cell in row[:5]] for row in table.rows] == [  # type: ignore[attr-defined]
        ["b", "\N{MINUS SIGN}0.18", "0", "1", "0"],
        ["c", "\N{MINUS SIGN}0.00", "0", "0", "1"],
    ]


def test_models_that_share_no_seed_are_not_compared(tmp_path: Path) -> None:
    write_run(tmp_path, recipe="a/parity", seed=0)
    write_run(tmp_path, recipe="b/parity", seed=1)
    (results,) = comparable(read_table([tmp_path]))
    assert Significance().applies(results)
    assert not Significance().draw(results).pieces


def test_own_runs_stand_first_beside_others_on_their_tasks(tmp_path: Path) -> None:
    backbone = {"name": "backbone", "mixer": {"name": "gru"}}
    write_run(tmp_path / "own", recipe="mine/parity", model=backbone)
    for task in ("parity", "tomita_3"):
        write_run(tmp_path / "others", task, recipe=f"unit/{task}")
    write_run(tmp_path / "others", recipe="mine/parity", model=backbone)
    own, others = read_table([tmp_path / "own"]), read_table([tmp_path / "others"])
    report = Report(own, others)
    ((part, _),) = report.parts
    assert part.families == ["mine", "unit"], "the run that is both is there once, and tomita_3 is of no concern"
    assert [run.head.trained_on for run in part.runs] == ["parity", "parity"]


def test_results_on_other_tasks_are_nothing_to_stand_beside(tmp_path: Path) -> None:
    write_run(tmp_path / "own", "parity")
    write_run(tmp_path / "others", "tomita_3")
    with pytest.raises(InputError, match="runs on parity: the other results are on tomita_3"):
        beside(read_table([tmp_path / "own"]), read_table([tmp_path / "others"]))
