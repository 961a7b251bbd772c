"""Packages whose entry points are broken in every way: each is named, and no command stops that does not need it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

pytestmark = pytest.mark.slow

GROUPS = (
    *("tasks", "languages", "models", "mixers", "operators", "objectives", "interventions", "curricula", "metrics"),
    *("diagnostics", "sections", "attachments", "text_sources", "engines", "commands"),
)
BROKEN = {
    "gone": ("no_such_module:Thing", "No module named 'no_such_module'"),
    "absent": ("outer:Thing", "module 'outer' has no attribute 'Thing'"),
    "unreadable": ("outer_unreadable:Thing", "SyntaxError"),
    "raising": ("outer_raising:Thing", "RuntimeError: no licence"),
    "leaving": ("outer_leaving:Thing", "SystemExit: 3"),
    "number": ("outer:NUMBER", "it is 3, and"),
}
"""Entry -> what it names, and what is said of it."""
MODULES = {
    "outer": "NUMBER = 3\n",
    "outer_unreadable": "def (:\n",
    "outer_raising": "raise RuntimeError('no licence')\n",
    "outer_leaving": "raise SystemExit(3)\n",
}
RECIPE = {
    "task": "parity",
    "model": {"name": "ldru", "width": 4, "operator": {"name": "sum"}},
    "training": {"steps": 2, "batch_size": 4},
    "evaluation": {"longest": 4, "samples": 4, "long_lengths": [50], "long_samples": 4, "near_misses": []},
}
LISTED = ("models", "interventions", "objectives", "curricula", "metrics", "diagnostics", "sections", "tasks")
CALLS = [
    *("--help", *(f"list {what}" for what in LISTED), "list recipes", "list runs"),
    *("train tiny.yaml", "evaluate runs", "report runs --out page", "keep runs --out kept", "report kept --out again"),
    *("results kept --out table.parquet", "show tiny.yaml", "sample parity", "check gru"),
]
WANTED = {
    "train tiny.yaml --set model.name=NAME": "model",
    "train tiny.yaml --set model.operator.name=NAME": "operator",
    "train tiny.yaml --set objective.name=NAME": "objective",
    "train tiny.yaml --set task=NAME": "task",
    "train tiny.yaml --set evaluation.NAME={}": "diagnostic",
    "check NAME": "mixer",
    "sweep nothing --engine NAME": "engine",
    "NAME": "command",
}
"""Call that needs an entry -> of what kind that is."""
PROGRAM = """
import json, sys
from typer.testing import CliRunner
from lengthwise.cli import main
ended = {}
for call in json.load(sys.stdin):
    result = CliRunner().invoke(main.app, call.split())
    ended[call] = [result.exit_code, repr(result.exception), result.output]
print(json.dumps(ended))
"""


class Ended(NamedTuple):
    code: int
    error: str
    said: str


@pytest.fixture(scope="module")
def called(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ended]:
    """How each call ended, in a process that has the package."""
    folder = tmp_path_factory.mktemp("outer")
    of_package = folder / "outer-1.0.dist-info"
    of_package.mkdir()
    (of_package / "METADATA").write_text("Metadata-Version: 2.1\nName: outer\nVersion: 1.0\n")
    entries = "".join(f"{name} = {value}\n" for name, (value, _) in BROKEN.items())
    (of_package / "entry_points.txt").write_text("".join(f"[lengthwise.{group}]\n{entries}\n" for group in GROUPS))
    for name, text in MODULES.items():
        (folder / f"{name}.py").write_text(text)
    (folder / "tiny.yaml").write_text(yaml.safe_dump(RECIPE))
    source = Path(__file__).parents[2] / "src"
    path = os.pathsep.join(map(str, (folder, source)))
    calls = [*CALLS, *(call.replace("NAME", name) for call in WANTED for name in BROKEN)]
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(calls),
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=True,
    )
    return {call: Ended(*found) for call, found in json.loads(ended.stdout.splitlines()[-1]).items()}


@pytest.mark.parametrize("call", CALLS)
def test_no_command_stops_that_needs_none_of_them(called: dict[str, Ended], call: str) -> None:
    assert called[call].code == 0, called[call]


@pytest.mark.parametrize("what", LISTED)
def test_a_list_shows_each_as_broken(called: dict[str, Ended], what: str) -> None:
    for name, (value, why) in BROKEN.items():
        kind = {"curricula": "curriculum"}.get(what, what.removesuffix("s"))
        (line,) = [line for line in called[f"list {what}"].said.splitlines() if line.startswith(f"{kind}\t{name}\t")]
        assert f"broken: package outer (1.0) declares {kind} {name!r} as {value}" in line
        assert why in line


@pytest.mark.parametrize(("call", "kind"), [("--help", "command"), ("keep runs --out kept", "attachment")])
def test_what_is_left_out_is_told_once(called: dict[str, Ended], call: str, kind: str) -> None:
    for name, (value, why) in BROKEN.items():
        said = f"warning: package outer (1.0) declares {kind} {name!r} as {value}, which cannot be used: "
        (line,) = [line for line in called[call].said.splitlines() if line.startswith(said)]
        assert why in line


@pytest.mark.parametrize("call", WANTED)
def test_a_command_that_needs_one_says_whose_it_is_and_why(called: dict[str, Ended], call: str) -> None:
    for name, (value, why) in BROKEN.items():
        ended = called[call.replace("NAME", name)]
        assert (ended.code, ended.error) == (2, "SystemExit(2)")
        *_, last = ended.said.splitlines()
        assert f"package outer (1.0) declares {WANTED[call]} {name!r} as {value}" in last
        assert why in last
