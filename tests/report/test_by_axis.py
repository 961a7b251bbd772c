import json
import re
from pathlib import Path
from typing import Any

import altair as alt
import pytest
import vl_convert
import yaml
from certificates import write_certificate
from rich.console import Console
from run_folders import write_run
from test_page import unpacked
from text_folders import write_text_run

from lengthwise.report.comparison import comparison_table, summary_line
from lengthwise.report.page import Report
from lengthwise.report.parts import Figure
from lengthwise.runs.rows import Head, Row, dump_evaluation, read_evaluation
from lengthwise.runs.table import read_table

Numbers = list[tuple[float, dict[str, int | float | str]]]


def write_task(
    root: Path, task: str, metric: str, numbers: Numbers, model: str = "gru", seed: int = 0, **head: Any
) -> Path:
    """Write a run on a task that no section was written for."""
    folder = root / "own" / f"{model}-{task}" / f"seed-{seed}"
    folder.mkdir(parents=True)
    settings = {"name": f"own/{model}-{task}", "task": {"name": task}, "model": {"mixer": {"name": model}}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(settings))
    said = {"trained_on": task, "model": model, "step": 1, "sequences": 1} | head
    made = Head(recipe=settings["name"], digest=f"digest of {model}-{task}", seed=seed, **said)
    rows = [Row(task=task, metric=metric, value=value, samples=10, axes=axes) for value, axes in numbers]
    (folder / "evaluation.jsonl").write_bytes(dump_evaluation(made, rows))
    return folder


def drawn(report: Report, name: str) -> dict[str, str]:
    """Return the panels of a figure as SVG."""
    (piece,) = [piece for piece in report.pieces if piece.name == name]
    panels = {}
    for title, specification in piece.panels.items():
        rows = {name: list(unpacked(groups)) for name, groups in specification["datasets"].items()}
        panels[title] = vl_convert.vegalite_to_svg({**specification, "width": 300, "datasets": rows})
    return panels


def measures(report: Report) -> list[list[str]]:
    (table,) = [piece for piece in report.pieces if piece.name == "measures"]
    return [[cell.text for cell in row] for row in table.rows]


def test_one_axis_is_drawn_as_lines_with_the_training_length(tmp_path: Path) -> None:
    for model in ("gru", "lstm"):
        for seed in (0, 1):
            numbers: Numbers = [(length / 100 + seed, {"length": length}) for length in (10, 20, 100)]
            write_task(tmp_path, "adding", "squared_error", numbers, model, seed, training_length=20)
    report = Report(read_table([tmp_path]))
    (svg,) = drawn(report, "adding-squared_error-by-length").values()
    assert all(text in svg for text in (">gru<", ">lstm<", ">trained to 20<", ">length<"))
    assert measures(report)[0] == [
        *("own/gru-adding", "Adding", "squared error", "length 10 to 100", "0.933", "0.600", "1.500", "60")
    ]


def test_two_axes_are_drawn_as_a_map_a_model(tmp_path: Path) -> None:
    numbers: Numbers = [(1 - n * d / 100, {"arguments": n, "depth": d}) for n in (2, 5, 10) for d in (1, 2)]
    for model in ("gru", "lstm"):
        write_task(tmp_path, "listops", "accuracy", numbers, model)
    panels = drawn(Report(read_table([tmp_path])), "listops-accuracy-by-arguments-depth")
    assert list(panels) == ["gru", "lstm"]
    assert all(text in panels["gru"] for text in (">arguments<", ">depth<", ">98<", ">80<"))


def test_numbers_along_different_axes_stand_apart(tmp_path: Path) -> None:
    numbers: Numbers = [
        (0.5, {"depth": 1}),
        (0.25, {"depth": 2}),
        (0.75, {"width": 1.5}),
        (1.0, {}),
        (0.0, {"depth": 2, "width": 1}),
    ]
    write_task(tmp_path, "digits", "accuracy", numbers)
    report = Report(read_table([tmp_path]))
    assert [piece.name for piece in report.pieces] == ["digits-accuracy-by-depth", "measures"]
    assert [row[3:5] for row in measures(report)] == [
        *(["depth 1 to 2", "37.50"], ["width 1.5", "75.00"], ["", "100.0"], ["depth 2, width 1", "0.00"])
    ]


def test_splits_stand_in_a_table(tmp_path: Path) -> None:
    write_task(tmp_path, "digits", "accuracy", [(0.9, {"split": "train"}), (0.7, {"split": "test"})])
    report = Report(read_table([tmp_path]))
    assert [piece.name for piece in report.pieces] == ["measures"]
    assert [row[3:5] for row in measures(report)] == [["train", "90.00"], ["test", "70.00"]]
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        for table in report.printed():
            console.print(table)
    assert "own/gru-digits" in capture.get()


def test_own_tasks_stand_beside_others_on_the_page(tmp_path: Path) -> None:
    write_run(tmp_path, "parity")
    write_task(tmp_path, "digits", "accuracy", [(0.9, {"split": "test"})])
    page = Report(read_table([tmp_path])).write(tmp_path / "out").read_text()
    assert "Means by task and metric" in page
    assert "Accuracy against length" in page
    (line,) = re.findall(r"^const panels = (.*);$", page, re.MULTILINE)
    assert set(json.loads(line)) == {"accuracy", "learning", "training"}


def test_any_run_is_said_in_one_line(tmp_path: Path) -> None:
    own = read_evaluation(write_task(tmp_path, "digits", "accuracy", [(0.9, {"split": "test"})]) / "evaluation.jsonl")
    assert summary_line(*own) == "digits accuracy, test 0.900"
    wrong = {("standard", 50): 100, ("near_miss", 50): 250}
    parity = read_evaluation(write_run(tmp_path, "parity", wrong=wrong) / "evaluation.jsonl")
    assert summary_line(*parity) == (
        "mean accuracy 99.5000% on lengths 41 to 60 (worst 90.00% at 50); 99.4737% from 42 on; "
        "99.0000% on even lengths alone; near misses 75.00%; length 1,000 100.00%"
    )


def test_before_and_after_of_any_task_stand_side_by_side(tmp_path: Path) -> None:
    runs = []
    for model, value in (("gru", 0.25), ("lstm", 0.5)):
        numbers: Numbers = [(value, {"length": 10}), (value / 2, {"length": 90})]
        folder = write_task(tmp_path, "adding", "squared_error", numbers, model, training_length=20)
        runs.append(read_evaluation(folder / "evaluation.jsonl"))
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(comparison_table(*runs))
    lines = [line.split() for line in capture.get().splitlines()]
    assert ["adding", "squared", "error,", "to", "T", "0.250", "0.500"] in lines
    assert ["adding", "squared", "error,", "beyond", "T", "0.125", "0.250"] in lines


@pytest.mark.slow
def test_charts_follow_the_schema_of_vega_lite(tmp_path: Path) -> None:
    write_certificate(write_run(tmp_path, "parity"))
    for number in range(7):
        write_run(tmp_path, "parity", recipe=f"many/{number}-parity")
    for context in (32, 64):
        write_text_run(tmp_path, f"states/{context}", rise=0.1, context=context, reach=16, layers=2)
    write_task(tmp_path, "listops", "accuracy", [(0.5, {"arguments": n, "depth": d}) for n in (2, 5) for d in (1, 2)])
    figures = [piece for piece in Report(read_table([tmp_path])).pieces if isinstance(piece, Figure)]
    named = {"accuracy", "automata", "learning", "training", "perplexity", "remembrance", "state", "sweep"}
    assert named <= {figure.name for figure in figures}
    for figure in figures:
        for drawing in figure.drawings:
            alt.LayerChart(layer=[*drawing.layers(), *drawing.probes()]).to_dict(validate=True)
