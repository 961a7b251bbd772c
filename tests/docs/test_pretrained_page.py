"""Commands on the page of pretrained models, beside those that its rows were made with."""

import json
import re
from pathlib import Path
from typing import Any

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
