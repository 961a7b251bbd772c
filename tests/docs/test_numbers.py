import itertools
import re
import shlex
from pathlib import Path

import pytest
from measured import ROOT, runs
from numbers_in_pages import PAGES, missing, rewritten, unchecked

from lengthwise.runs.recipe import differences, load_recipe
from lengthwise.runs.sweep import SweepRun, expand, load_sweep


@pytest.mark.parametrize("page", PAGES)
def test_numbers_are_those_of_rows_settings_or_limits_or_of_a_trial_that_is_called_one(page: str) -> None:
    text, sentences = (ROOT / page).read_text(encoding="utf-8"), list(PAGES[page]())
    assert sentences
    left = unchecked(text, sentences)
    assert left == [], f"no row, recipe or limit is asked for these numbers of {page}"
    lost = "\n".join(missing(text, sentences))
    assert not lost, f"{page} does not say, as the rows do (python tests/docs/numbers_in_pages.py writes it):\n{lost}"


def test_a_number_that_nothing_is_asked_for_is_found() -> None:
    page = "The RNN has 3 layers. It is right on 97.5 % of D_4, and `width: 64`. In a trial it had 5."
    assert unchecked(page, ["It is right on 97.5 %"]) == ["The RNN has 3 layers."]
    assert unchecked(page, ["It is right on 97.5 %", "`width: 3`"]) == ["The RNN has 3 layers."]
    assert unchecked(page, []) == ["The RNN has 3 layers.", "It is right on 97.5 % of , and ."]
    cited = "It passes states (Gu 2025, [a link](https://a.b/25)), from teachers (*On them* (1987, [b](https://b.c)))."
    assert unchecked(f"{cited} It has 2025 states.", []) == ["It has 2025 states."]


PRINTED_BY_PROGRAMS = {"runs.md"}
"""Pages with a table of which no rows are kept: ``tests/runs/kills.py`` prints that of kills."""


def test_every_other_page_is_asked_for_its_numbers() -> None:
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert {f"docs/{name}" for name in pages - PRINTED_BY_PROGRAMS} | {"README.md"} == set(PAGES), (
        "a page of docs/ has a function of its sentences in PAGES of tests/docs/numbers_in_pages.py"
    )


def test_the_kills_of_all_commands_are_those_that_were_asked_for() -> None:
    page = (ROOT / "docs" / "runs.md").read_text(encoding="utf-8").partition("### Kills")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `[^`]+` \| \d+ \| (\d+) \| (\d+) \| \d+ \|$", page, re.MULTILINE)
    (asked,) = re.findall(r"--kills (\d+)", page)
    assert sum(int(number) for row in rows for number in row) == int(asked)
    assert f"none of {asked} kills" in page


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_another_number_on_a_page_is_noticed_and_written_back(page: str) -> None:
    text, sentences = (ROOT / page).read_text(encoding="utf-8"), list(PAGES[page]())
    assert missing(text, sentences) == []
    sentences = [sentence for sentence in sentences if re.search(r"\d", sentence)]
    for sentence in sentences[:: max(1, len(sentences) // 12)]:
        (place,) = list(re.finditer(r"\s+".join(map(re.escape, sentence.split())), text))[:1]
        number = list(re.finditer(r"\d", text[place.start() : place.end()]))[-1].start() + place.start()
        other = text[:number] + str((int(text[number]) + 1) % 10) + text[number + 1 :]
        assert missing(other, [sentence]) == [sentence]
        if (corrected := rewritten(other, sentence)) is not None:
            assert missing(corrected, [sentence]) == []
            assert re.sub(r"[\d,.]", "", corrected) == re.sub(r"[\d,.]", "", text)


def test_a_sentence_that_stands_nowhere_or_twice_is_not_rewritten() -> None:
    assert rewritten("It has 3 of 4, and 5 of 6 at last.", "It has 7 of 8") == "It has 7 of 8, and 5 of 6 at last."
    assert rewritten("It has\n **3** of 4.", "It has **100** of 8") == "It has\n **100** of 8."
    assert rewritten("It has 3. It has 4.", "It has 5") is None
    assert rewritten("| P(1,2) | 5 |\n| P(1,4) | 6 |", "| P(1,4) | 7 |") == "| P(1,2) | 5 |\n| P(1,4) | 7 |"
    assert rewritten("It had 3.", "It has 5") is None


SWEEP = re.compile(r"`lengthwise sweep ([\w/]+)`;\s+`results/(\w+)`")
PRINTED = [
    (page, sweep, folder)
    for page in ("README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))))
    for sweep, folder in SWEEP.findall((ROOT / page).read_text(encoding="utf-8"))
]


def planned(sweep: str) -> dict[tuple[str, int], SweepRun]:
    return {run.key: run for run in expand(*load_sweep(sweep))}


def test_printed_sweeps_are_found() -> None:
    assert {sweep for _, sweep, _ in PRINTED} >= {
        "ablation/operators",
        "ablation/brackets",
        "ablation/training_lengths",
    }


@pytest.mark.parametrize(
    ("page", "sweep", "folder"), [*PRINTED, ("docs/baselines.md", "baseline_rates", "baseline_rates")]
)
def test_a_printed_sweep_makes_the_rows_that_stand_beside_it(page: str, sweep: str, folder: str) -> None:
    kept = {(run.head.digest, run.head.seed) for run in runs(folder)}
    assert {(run.recipe.digest(), run.seed) for run in planned(sweep).values()} == kept, page


def test_the_sweep_of_the_baselines_trains_what_was_measured() -> None:
    sweep, seen = planned("baselines"), list[str]()
    for run in runs("baselines"):
        recipe = sweep[run.head.recipe, run.head.seed].recipe
        changed = {of.partition(":")[0] for of in differences(run.settings, recipe.settings())}
        # Rows of before the one protocol are of other lengths; nothing else of their runs differs.
        assert all(path.startswith(("task.test", "seeds", "content")) for path in changed), run.head.recipe
        seen.append(run.head.recipe)
    assert len(set(seen)) >= 294


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))])
def test_folders_of_results_that_pages_name_are_there(page: str) -> None:
    named = re.findall(r"`(results/[\w/]+)`", (ROOT / page).read_text(encoding="utf-8"))
    assert [folder for folder in named if not Path(ROOT, folder).exists()] == []


TRAIN = re.compile(r"^lengthwise train ([\w/]+)((?:\\\n|[^#\n])*)", re.MULTILINE)


def printed_trainings() -> list[tuple[str, str, list[str]]]:
    """Return page, recipe and settings of each command whose run is one that was kept: as it stands, or by its name."""
    found = list[tuple[str, str, list[str]]]()
    for page in ("README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))):
        for recipe, rest in TRAIN.findall((ROOT / page).read_text(encoding="utf-8")):
            words = shlex.split(rest.replace("\\\n", " "))
            settings = [value for flag, value in itertools.pairwise(words) if flag == "--set"]
            if not settings or any(setting.startswith("name=") for setting in settings):
                found.append((page, recipe, settings))
    return found


@pytest.mark.parametrize(("page", "recipe", "settings"), printed_trainings())
def test_a_printed_training_is_that_of_the_rows(page: str, recipe: str, settings: list[str]) -> None:
    meant = load_recipe(recipe, settings)
    folder = max(
        (path.parent for path in (ROOT / "results").glob("**/runs.json")), key=lambda p: _shared(p, meant.name)
    )
    kept = {run.head.digest for run in runs(str(folder.relative_to(ROOT / "results"))) if run.head.recipe == meant.name}
    assert kept == {meant.digest()}, (page, meant.name)


def _shared(folder: Path, name: str) -> int:
    """Return how many parts of a recipe's name lead to a folder of results; none where the folder is another."""
    parts = folder.relative_to(ROOT / "results").parts
    return len(parts) if name.split("/")[: len(parts)] == list(parts) else 0


def test_printed_trainings_are_found() -> None:
    named = {recipe for _, recipe, _ in printed_trainings()}
    assert {"text/mamba2/base", "matrix/modular_arithmetic", "matrix/cycle_navigation", "fast/parity"} <= named
