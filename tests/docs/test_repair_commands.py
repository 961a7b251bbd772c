"""The commands of repair that README and the docs print, beside the rows behind the numbers that stand with them."""

import re
import shlex
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.main import get_command

from lengthwise.cli.main import app
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
