"""Commands on the page of pretrained models, beside those that its rows were made with."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ROWS = ROOT / "results" / "pretrained" / "mamba2"


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (ROWS / name).read_text().splitlines()]


def shown() -> set[str]:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "pretrained.md").read_text(), re.DOTALL)
    return {" ".join(line.split()) for block in blocks for line in block.replace("\\\n", " ").splitlines()}


def test_every_command_of_the_rows_is_on_the_page_as_it_was_run() -> None:
    pretraining = json.loads((ROWS / "pretraining.json").read_text())
    commands = {row["command"] for row in [*pretraining, *rows("diagnosis.jsonl"), *rows("library_alone.jsonl")]}
    commands |= {row["made_from"] for row in pretraining}
    assert len(commands) == 7
    assert commands <= shown()


def test_the_page_says_which_row_does_not_name_what_was_run() -> None:
    unnamed = [row for row in rows("library_alone.jsonl") if row["checkpoint"] not in row["command"].split()]
    page = (ROOT / "docs" / "pretrained.md").read_text()
    assert [row["checkpoint"] for row in unnamed] == ["control"]
    assert "`control` in `library_alone.jsonl`" in page


@pytest.mark.slow
def test_the_page_of_the_contract_is_made_as_it_stands() -> None:
    pytest.importorskip("transformers", reason="transformers is not installed (extra hf)")
    from contract_page import PAGE, page

    from lengthwise.pretrained.families import FAMILIES

    made, shown = page({"mamba": FAMILIES["mamba"]}).splitlines(), PAGE.read_text(encoding="utf-8").splitlines()
    head = next(number for number, line in enumerate(made) if line.startswith("| family"))
    assert made[head] == shown[head]
    assert [line for line in made[:head] if "transformers" not in line] == [
        line for line in shown[:head] if "transformers" not in line
    ]
    own = next(line for line in shown if line.startswith("| mamba |"))
    assert [cell.count("**") for cell in made[head + 2].split("|")] == [cell.count("**") for cell in own.split("|")]


def test_the_page_of_the_contract_names_every_family() -> None:
    from lengthwise.pretrained.families import FAMILIES

    page = (ROOT / "docs" / "pretrained_contract.md").read_text()
    assert re.findall(r"^\| (\w+) \| [^-]", page, re.MULTILINE)[1:] == list(FAMILIES)


def test_the_table_of_formats_is_that_of_the_rows_which_are_kept() -> None:
    from formats_page import PAGE, kept, with_table

    page = PAGE.read_text(encoding="utf-8")
    assert with_table(page, kept()) == page
    assert all(row.get("holds", "refused" in row) for row in kept())


@pytest.mark.skipif("LENGTHWISE_FIXTURES" not in os.environ, reason="LENGTHWISE_FIXTURES names no official logits")
def test_logits_are_those_that_the_official_packages_gave(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed (extra hf)")
    from formats_page import checkpoints, kept

    from lengthwise.errors import InputError
    from lengthwise.pretrained.checkpoint import Checkpoint
    from lengthwise.pretrained.examined import examine

    refused = set[str]()
    for path, expected in checkpoints(Path(os.environ["LENGTHWISE_FIXTURES"]), tmp_path):
        try:
            assert [finding for finding in examine(Checkpoint(path), expected) if not finding.holds] == [], path
        except InputError:
            refused.add(path.name)
    assert refused == {row["checkpoint"] for row in kept() if "refused" in row}
