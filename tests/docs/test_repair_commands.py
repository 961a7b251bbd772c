"""The commands of repair that README and the docs print, beside the rows behind the numbers that stand with them."""

import math
import re
import shlex
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.main import get_command

from lengthwise.cli.main import app
from lengthwise.interventions.repair import LEARNING_RATE, WARM_UP, repair_of
from lengthwise.runs.recipe import Recipe, digest_of, load_recipe
from lengthwise.runs.repair import post_training
from lengthwise.runs.table import Run, Table, read_table

ROOT = Path(__file__).parents[2]
MIXERS = ("mamba2", "gla", "rwkv6")
COLUMNS = {"trained": "base", "from zero": "zero", "from passed states": "state_passing", "TBPTT": "tbptt"}


@pytest.fixture(scope="module")
def kept() -> dict[str, Table]:
    return {mixer: read_table([ROOT / "results" / "text" / mixer]) for mixer in MIXERS}


def printed(page: str) -> list[dict[str, Any]]:
    """Return what each post-training of a run that a page prints is asked for, where nothing is set by path."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    lines = [line.partition("#")[0] for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    calls = [words[2:] for line in lines if (words := shlex.split(line))[:2] == ["lengthwise", "post-train"]]
    group: Any = get_command(app)
    command = group.get_command(None, "post-train")
    asked = [command.make_context("post-train", call).params for call in calls if not call[0].startswith("hf:")]
    return [params for params in asked if not params["set_"]]


def measured(recipe: Recipe, seed: int, table: Table) -> Run:
    """Return the run of a recipe, whatever it is called, on the text that the kept runs read."""
    base = next(run for run in table.runs if run.head.recipe == recipe.start and run.head.seed == seed)
    content = {"task": base.head.data.split()[-1], "start": base.head.digest}
    (found,) = (run for run in table.runs if run.key == (digest_of(recipe, content), seed))
    return found


def ratio(run: Run, table: Table) -> float:
    """Return perplexity in the octave to 64 T over that near the end of a context."""
    rows = table.only([run.key]).rows.filter((pl.col("metric") == "ratio") & (pl.col("end") == 64 * 64))
    return rows["value"].item()


@pytest.mark.parametrize("page", ["README.md", "docs/repair.md"])
def test_a_printed_command_makes_the_recipe_behind_the_numbers(page: str, kept: dict[str, Table]) -> None:
    (asked,) = printed(page)
    name, _, seed = asked["run"].relative_to("runs").as_posix().rpartition("/seed-")
    base = load_recipe(name)
    made = post_training(base, int(seed), asked["intervention"], asked["steps"])
    table = kept[base.model_name]
    run = measured(made, int(seed), table)
    assert (run.head.recipe, run.head.step) == ("text/mamba2/state_passing", 500)
    assert f"{ratio(run, table):.2f}" == "1.00"


@pytest.mark.parametrize("mixer", MIXERS)
def test_the_numbers_of_the_readme_are_of_what_post_train_does_by_default(mixer: str, kept: dict[str, Table]) -> None:
    table, base = kept[mixer], load_recipe(f"text/{mixer}/base")
    lines = (ROOT / "README.md").read_text().splitlines()
    (row,) = (number for number, line in enumerate(lines) if line.startswith(f"| `text/{mixer}` |"))
    top = max(number for number, line in enumerate(lines[:row]) if line.startswith("| recipes |"))
    cells = [[cell.strip() for cell in line.strip("| ").split("|")] for line in (lines[top], lines[row])]
    shown = dict(zip(*cells, strict=True))
    shares = set[str]()
    for heading, intervention in COLUMNS.items():
        (text,) = (cell for name, cell in shown.items() if heading in name)
        for seed, number in enumerate(text.strip("*").split(", ")):
            before = next(run for run in table.runs if (run.head.recipe, run.head.seed) == (base.name, seed))
            run = before
            if intervention != "base":
                run = measured(post_training(base, seed, intervention, 500), seed, table)
                shares.add(f"{run.head.sequences / before.head.sequences:.0%}")
            assert number == f"{ratio(run, table):.2f}"
    assert shares == {shown["windows"].replace(" ", "")}


def test_the_checkpoints_of_the_page_were_repaired_by_default() -> None:
    repair = repair_of("mamba2")
    repaired = [run for run in read_table([ROOT / "results" / "pretrained" / "default"]).runs if run.head.step]
    assert {run.head.seed for run in repaired} == {0, 1}
    for run in repaired:
        training, optimiser = run.settings["training"], run.settings["training"]["optimiser"]
        assert repair.settings_of("state_passing").items() <= run.settings["intervention"].items()
        assert (training["batch_size"], training["steps"]) == (repair.batch_size, 500)
        assert (optimiser["learning_rate"], optimiser["warm_up"]) == (LEARNING_RATE, WARM_UP)


def test_the_help_says_what_repairs_by_default() -> None:
    group: Any = get_command(app)
    helps = {option.name: option.help for option in group.get_command(None, "post-train").params}
    windows = [repair_of(family).batch_size for family in ("any other", "gla", "rwkv6")]
    assert windows[1] == windows[2]
    assert f"{windows[0]} by default, {windows[1]} for GLA and RWKV-6" in helps["batch_size"]
    assert f"the peak; {LEARNING_RATE:g} by default" in helps["learning_rate"]


BUDGETS = (1, 3, 10, 30)


def in_context(run: Run, table: Table) -> float:
    """Return perplexity over positions 1 to T."""
    losses = table.only([run.key]).rows.filter((pl.col("metric") == "loss") & (pl.col("end") <= 64))
    widths = losses["end"] - losses["start"]
    return math.exp((losses["value"] * widths).sum() / widths.sum())


def test_the_table_of_small_budgets_is_of_the_rows(kept: dict[str, Table]) -> None:
    small = read_table([ROOT / "results" / "text" / "repair"])
    base = kept["mamba2"]
    found = {(run.head.recipe, run.head.seed): (run, table) for table in (small, base) for run in table.runs}
    page = (ROOT / "docs" / "language_models.md").read_text().partition("## Small budgets")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in page.splitlines() if line[:3] == "| *"]
    names = [("*none*", "text/mamba2/base", "text/mamba2/base")]
    names += [(f"*{share} %*", f"text/repair/{share}", f"text/repair/zero_{share}") for share in BUDGETS]
    names += [("*83 %*", "text/mamba2/state_passing", "text/mamba2/zero")]
    assert [row[0] for row in rows] == [share for share, *_ in names]
    for (share, *recipes), cells in zip(names, rows, strict=True):
        part = 1 if share == "*none*" else int(share.strip("* %")) / 100
        for recipe, inside, beyond in zip(recipes, cells[1::2], cells[2::2], strict=True):
            runs = [found[recipe, seed] for seed in range(3)]
            assert inside == " / ".join(f"{in_context(*run):.3f}" for run in runs)
            assert beyond == " / ".join(f"{ratio(*run):.3f}" for run in runs)
            assert [run.head.sequences for run, _ in runs] == pytest.approx([76_800 * part] * 3, rel=0.005)
    readme = " ".join((ROOT / "README.md").read_text().split())
    worst, less = (f"{ratio(*found[f'text/repair/{share}', 0]):.2f}" for share in (30, 10))
    assert worst == "1.00"
    assert f"[30 % mend it as well](docs/language_models.md#small-budgets), and 10 % leave {less}." in readme


@pytest.mark.parametrize(("intervention", "prefix"), [("state_passing", ""), ("zero", "zero_")])
def test_a_small_budget_is_the_command_with_fewer_windows(intervention: str, prefix: str) -> None:
    base = load_recipe("text/mamba2/base")
    for share in BUDGETS:
        shipped = load_recipe(f"text/repair/{prefix}{share}")
        changes = ["training.batch_size=32", "evaluation.remembrance.starts=0", "evaluation.state_statistics.rows=4"]
        made = post_training(base, 0, intervention, shipped.training.steps, changes)
        assert digest_of(made, {}) == digest_of(shipped, {})
