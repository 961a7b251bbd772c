import itertools
from pathlib import Path

import pytest
from run_folders import PAPER_TASKS, write_run, write_table

from lengthwise.report.results import comparable
from lengthwise.report.sections.grid import STEP_NAMES, STEPS, Grid, GridSection, build_grid
from lengthwise.report.sections.published import beside, read_sources
from lengthwise.report.theme import DARK, LIGHT
from lengthwise.report.words import percent
from lengthwise.runs.table import read_table
from lengthwise.tasks import LANGUAGES

LENGTHS = (*range(1, 501, 60), 1000)


def grids(root: Path) -> list[Grid]:
    return [build_grid(part) for part in comparable(read_table([root])) if GridSection().applies(part)]


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_the_table_has_tasks_in_the_papers_order_and_units_first(tmp_path: Path) -> None:
    write_table(tmp_path, ["dyck_2", "tomita_3", "parity"], ["elman", "lstm"], LENGTHS)
    (grid,) = grids(tmp_path)
    assert grid.rows == ["Parity", "Tomita 3", "Dyck 2"]
    assert grid.columns == ["fast", "elman", "lstm"]
    assert grid.footer[0] == "3 of 3"


def test_a_cell_is_100_only_without_any_error(tmp_path: Path) -> None:
    write_run(tmp_path, recipe="a/parity", samples=10**6, wrong={("standard", 50): 1})
    write_run(tmp_path, recipe="b/parity", wrong={("near_miss", 50): 1})
    write_run(tmp_path, recipe="c/parity")
    write_run(tmp_path, recipe="d/parity", wrong={("standard", 3): 500})
    (grid,) = grids(tmp_path)
    cells = [cell for cell in grid.cells[0] if cell]
    assert [cell.text for cell in cells] == ["99.9", "99.9", "100.0", "100.0"]
    assert [cell.step for cell in cells] == [6, 6, 7, 7]


def test_a_cell_is_the_lowest_of_what_all_models_of_the_task_were_measured_on(tmp_path: Path) -> None:
    beyond = {("standard", length): 10 for length in range(41, 61)}
    write_run(tmp_path, recipe="a/parity", wrong={**beyond, ("near_miss", 50): 300, ("standard", 1000): 200})
    write_run(tmp_path, recipe="b/parity", wrong={**beyond, ("standard", 1000): 200})
    far = (*range(1, 61), 1000, 10_000)
    write_run(tmp_path, recipe="c/parity", wrong={("standard", 10_000): 500}, lengths=far)
    (grid,) = grids(tmp_path)
    assert [cell.text for cell in grid.cells[0] if cell] == ["70.0", "80.0", "100.0\N{DAGGER}"]
    assert [count.split()[0] for count in grid.footer] == ["0", "0", "0"], "errors elsewhere are errors"
    assert "of 3.0k" in str(grid.cells[0][0]), "1,000 strings that all lengths share, near misses, and one long length"


def test_one_model_that_was_not_read_at_a_length_hides_it_of_no_other(tmp_path: Path) -> None:
    beyond = tuple(range(1, 61))
    write_run(tmp_path, recipe="a/parity", wrong={("standard", 1000): 200})
    write_run(tmp_path, recipe="b/parity")
    write_run(tmp_path, recipe="c/parity", lengths=beyond)
    (grid,) = grids(tmp_path)
    assert [cell.text for cell in grid.cells[0] if cell] == ["80.0", "100.0", "100.0\N{DAGGER}"]
    assert [count.split()[0] for count in grid.footer] == ["0", "1", "0"]


def test_a_cell_says_how_seeds_differ_and_what_is_unlike_the_others(tmp_path: Path) -> None:
    for seed, errors in enumerate((0, 400)):
        write_run(tmp_path, recipe="a/parity", seed=seed, wrong={("standard", 50): errors}, steps=9)
    write_run(tmp_path, recipe="b/parity")
    write_run(tmp_path, recipe="c/parity")
    (grid,) = grids(tmp_path)
    cell = grid.cells[0][0]
    assert cell is not None
    assert (cell.text, cell.note) == ("99.0", "± 1.4 (2)\nof 6.0k")
    details = dict(cell.details)
    assert details["seed 0"] == "100.0"
    assert details["seed 1"] == "98.00"
    assert details["worst length"] == "50: 80.00"
    assert details["ended early"] == "4 of 9 steps"
    assert (details["parameters"], details["state size"]) == ("1,234", "64")


def test_variants_of_one_model_have_a_table_of_their_own(tmp_path: Path) -> None:
    write_run(tmp_path, "parity")
    write_run(tmp_path, "parity", recipe="matrix/parity")
    for name in ("sum", "mlp"):
        model = {"name": "ldru", "operator": {"name": name}}
        for task in ("parity", "even_pairs"):
            write_run(tmp_path, task, recipe=f"operators/{name}-{task}", model=model)
    main, ablation = grids(tmp_path)
    assert main.columns == ["fast", "matrix"]
    assert ablation.rows == ["mlp", "sum"]
    assert ablation.columns == ["Parity", "Even pairs"]


def test_recipes_of_one_folder_and_task_stay_apart(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_run(tmp_path, "parity", recipe=f"own/{name}")
    (part,) = comparable(read_table([tmp_path]))
    assert part.families == ["first", "second"]
    assert part.heading == "Variants in own"


def test_the_tasks_are_those_of_the_paper() -> None:
    assert len(PAPER_TASKS) == 21


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_colours_of_cells_are_ordered_by_lightness_and_legible(theme: object) -> None:
    scale = LIGHT.scale if theme is LIGHT else DARK.scale
    assert len(scale) == len(STEPS) + 1 == len(STEP_NAMES)
    grounds = [luminance(ground) for ground, _ in scale]
    assert grounds == sorted(grounds, reverse=theme is LIGHT)
    assert all(one != other for one, other in itertools.pairwise(grounds))
    for ground, ink in scale:
        low, high = sorted((luminance(ground), luminance(ink)))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (ground, ink)


def test_published_numbers_name_models_and_tasks_that_exist() -> None:
    for source in read_sources():
        assert set(source.values) <= set(LANGUAGES)
        assert {name for values in source.values.values() for name in values} == set(source.models)
        numbers = [number for values in source.values.values() for number in values.values()]
        assert all(0 <= number <= (1 if source.scaled else 100) for number in numbers)


def test_published_numbers_stand_beside_ours_in_their_unit(tmp_path: Path) -> None:
    wrong = {("standard", length): 100 for length in range(41, 61)}
    for name in ("slstm", "attention"):
        model = {"name": "backbone", "mixer": {"name": name}}
        write_run(tmp_path, recipe=f"baselines/{name}-parity", model=model, wrong=wrong)
    (part,) = comparable(read_table([tmp_path]))
    shown = {source.citation.split()[0]: [[cell.text for cell in row] for row in rows] for source, rows in beside(part)}
    assert shown == {
        "Delétang": [["Parity", "Transformer", "attention", "52.0", "90.0", "\N{EN DASH}", "+38.0*"]],
        "Grazzi": [
            ["Parity", "sLSTM", "slstm", "1.000", "0.800", "\N{EN DASH}", "\N{MINUS SIGN}20.0*"],
            ["Parity", "Transformer", "attention", "0.022", "0.800", "\N{EN DASH}", "+77.8*"],
        ],
    }


def test_published_numbers_are_compared_over_the_lengths_that_they_were_read_at(tmp_path: Path) -> None:
    model = {"name": "backbone", "mixer": {"name": "attention"}}
    lengths, wrong = tuple(range(41, 501)), {("standard", length): 500 for length in range(257, 501)}
    write_run(tmp_path, recipe="baselines/attention-parity", model=model, lengths=lengths, wrong=wrong, longest=500)
    (part,) = comparable(read_table([tmp_path]))
    found = {source.citation.split()[0]: [row[4].text for row in rows] for source, rows in beside(part)}
    whole = percent(1 - 244 / 460 / 2, 1)
    assert found == {"Delétang": [whole], "Grazzi": ["1.000"]}


@pytest.mark.parametrize("models", [1, 2])
def test_models_that_were_asked_nothing_beyond_training_have_no_finding(tmp_path: Path, models: int) -> None:
    for model in range(models):
        write_run(tmp_path, recipe=f"{'ab'[model]}/parity", lengths=tuple(range(1, 41)))
    (part,) = comparable(read_table([tmp_path]))
    assert build_grid(part).finding == ""
