import re
from pathlib import Path

import pytest
from run_folders import read, write_run
from test_page import Outline
from text_folders import write_text_run

from lengthwise.files import PLACE, cached
from lengthwise.report.page import Report
from lengthwise.report.sections.accuracy_map import AccuracyMap, accuracy_maps
from lengthwise.runs.table import read_table

TASKS = ["parity", "even_pairs", "tomita_1", "tomita_3", "tomita_4", "dyck_2", "dyck_3"]


def report(root: Path) -> Report:
    return Report(read_table([root]))


def cells(drawn: AccuracyMap) -> dict[tuple[str, str], str]:
    return {(task, span): text for task, span, text in drawn.rows.select("task", "span", "text").rows()}


def test_a_page_begins_with_what_was_found_of_one_model(tmp_path: Path) -> None:
    write_run(tmp_path, "parity")
    write_run(tmp_path, "tomita_3", wrong={("near_miss", 50): 250})
    written = report(tmp_path).write(tmp_path / "out")
    text = " ".join(Outline(written.read_text(encoding="utf-8")).text.split())
    said = "Trained to length 40 and asked to 1,000, fast makes no error on 1 of 2 tasks"
    assert f"What was found {said}; its lowest accuracy is 75.0 %, on Tomita 3." in text


def test_of_several_models_the_best_stands_first(tmp_path: Path) -> None:
    for task in ("parity", "tomita_3"):
        write_run(tmp_path, task, recipe=f"good/{task}")
        write_run(tmp_path, task, recipe=f"bad/{task}", wrong={("standard", 50): 1})
    write_run(tmp_path, "parity", recipe="half/parity", wrong={("near_miss", 50): 1})
    (finding,) = report(tmp_path).findings
    assert finding.endswith(
        "on how many tasks each model makes no error: good on 2 of 2; bad on none of 2; half on none of 1."
    )


def test_of_language_models_the_perplexities_and_the_verdicts(tmp_path: Path) -> None:
    for name, rise in (("base", 0.3), ("good", 0.0)):
        write_text_run(tmp_path, f"states/{name}", rise=rise)
    (finding,) = report(tmp_path).findings
    assert re.search(r"states/good 1\.\d+ \(holds\); states/base \d+\.\d+ \(fails\)\.$", finding)


def test_many_tasks_are_drawn_as_one_map_a_model(tmp_path: Path) -> None:
    for task in TASKS:
        write_run(tmp_path, task, recipe=f"a/{task}", wrong={("standard", 45): 100, ("near_miss", 50): 1})
        write_run(tmp_path, task, recipe=f"b/{task}")
    figure = next(piece for piece in report(tmp_path).pieces if piece.name == "accuracy")
    assert list(figure.panels) == ["a", "b"]
    first, second = accuracy_maps(read(tmp_path))
    assert first.spans == ["train", "50", "100", "1k", "near"]
    assert set(cells(second).values()) == {"100"}, "100 is without an error"
    assert cells(first)["Parity", "train"] == "100"
    assert cells(first)["Parity", "near"] == "99", "one error of 1,000 is not rounded away"
    assert cells(first)["Parity", "100"] == "100", "lengths 51 to 60"


def test_a_fall_at_one_parity_is_not_averaged_away(tmp_path: Path) -> None:
    odd = {("standard", length): 1000 for length in range(51, 61, 2)}
    for task in TASKS:
        write_run(tmp_path, task, wrong=odd)
    (drawn,) = accuracy_maps(read(tmp_path))
    assert cells(drawn)["Dyck 2", "100"] == "0"


@pytest.mark.parametrize("runs", [1, 40])
def test_what_does_not_fit_on_a_few_screens_is_folded(tmp_path: Path, runs: int) -> None:
    for number in range(runs):
        write_run(tmp_path, recipe=f"kind{number}/parity")
    drawn = report(tmp_path)
    page = drawn.write(tmp_path / "out").read_text(encoding="utf-8")
    closed = re.findall(r'<details class="fold"><summary>\s*<h2 id="([^"]*)-title">', page)
    closed.remove("made")
    names = [piece.name for piece in drawn.pieces if not piece.name.startswith("published")]
    assert closed == names[len(names) - len(closed) :], "from the top, nothing below a fold is open"
    assert names[0] not in closed
    assert ("accuracy-table" in closed) is (runs == 40)


def test_seeds_are_counted(tmp_path: Path) -> None:
    for seed in (3, 7):
        write_run(tmp_path, seed=seed)
    page = report(tmp_path).write(tmp_path / "out").read_text(encoding="utf-8")
    assert "2 runs of 1 recipe on 1 task, 2 seeds." in page


def test_what_is_cached_is_made_once_and_again_where_it_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def make() -> str:
        made.append(1)
        return "text\nof two lines"

    monkeypatch.setenv(PLACE, str(tmp_path / "cache"))
    assert [cached("a.js", make) for _ in range(2)] == ["text\nof two lines"] * 2
    assert len(made) == 1
    file = tmp_path / "cache/a.js"
    file.write_text(file.read_text().replace("two", "ten"))
    assert cached("a.js", make) == "text\nof two lines"
    monkeypatch.setenv(PLACE, "")
    assert cached("a.js", make) == "text\nof two lines"
    assert len(made) == 3
