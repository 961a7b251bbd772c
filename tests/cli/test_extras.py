"""Commands in an environment that lacks a library: the extra that brings it is named, with no traceback."""

import ast
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from lengthwise.extras import EXTRAS

ROOT = Path(__file__).parents[2]

PROGRAM = """
import json, sys
for module in json.loads(sys.argv[1]):
    sys.modules[module] = None
from typer.testing import CliRunner
from lengthwise.cli.main import app
results = []
for arguments in json.loads(sys.argv[2]):
    result = CliRunner().invoke(app, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), (arguments, result.exception)
    results.append([result.exit_code, result.stderr])
print(json.dumps(results))
"""

NEEDING = {
    "report runs": "report",
    "results runs --summary": "report",
    "keep runs --out kept": "report",
    "diagnose runs": "report",
    "diagnose hf:checkpoint --data stdlib": "report",
    "check hf:checkpoint": "hf",
    "check hf-config:mamba2": "hf",
    "post-train hf:checkpoint --data stdlib --out out": "hf",
    "train tokens.yaml": "hf",
    "sweep demo/operators --engine ray": "ray",
    "sweep demo/operators --engine slurm": "slurm",
    "train fast/parity --set training.trackers=[tensorboard]": "trackers",
    "train fast/parity --set training.trackers=[mlflow]": "trackers",
    "train fast/parity --set training.trackers=[wandb]": "trackers",
}
NEEDING_NOTHING = (
    "certify --help",
    "list diagnostics",
    "list results",
    "list runs",
    "list models",
    "show fast/parity",
    "show listops/gru",
    "check gru",
    "sample parity --length 3",
    "label parity",
)


def outcomes(blocked: list[str], commands: list[str], folder: Path) -> list[tuple[int, str]]:
    arguments = [json.dumps(blocked), json.dumps([command.split() for command in commands])]
    ended = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, cwd=folder, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    return [(code, said) for code, said in json.loads(ended.stdout.splitlines()[-1])]


@pytest.mark.slow
def test_every_command_names_the_extra_that_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "tokens.yaml").write_text(
        "{base: text/mamba2/base, task: {text: {tokenizer: tokenizer.json, separator: x}}}"
    )
    found = outcomes(list(EXTRAS), [*NEEDING, *NEEDING_NOTHING], tmp_path)
    for command, (code, said) in zip([*NEEDING, *NEEDING_NOTHING], found, strict=True):
        if extra := NEEDING.get(command):
            assert code == 2, (command, said)
            assert f"which is not installed: pip install 'lengthwise[{extra}]'" in said, command
            assert said.count("\n") == 1, command
        else:
            assert code == 0, (command, said)


@pytest.mark.slow
def test_what_is_missed_at_the_end_is_told_at_the_beginning(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed (extra hf)")
    ((code, said),) = outcomes(["jinja2"], ["post-train hf:checkpoint --data stdlib --out out"], tmp_path)
    assert (code, "a page needs jinja2" in said) == (2, True), said


RENAMED = {"pyyaml": "yaml", "automata_lib": "automata"}
COMES_WITH = {"annotated_types": "pydantic", "pydantic_core": "pydantic"}
"""What another package asks for itself, as a part of its interface."""


def test_what_is_imported_is_asked_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [requirement.partition(">")[0].lower().replace("-", "_") for requirement in project["dependencies"]]
    declared = {RENAMED.get(name, name) for name in names} | set(EXTRAS) | {"lengthwise"}
    found: dict[str, Path] = {}
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules = [node.module]
            found |= {module.partition(".")[0]: path for module in modules}
    unasked = {name: path for name, path in found.items() if name not in declared | set(sys.stdlib_module_names)}
    assert {name for name in unasked if COMES_WITH.get(name) not in declared} == set(), unasked


def test_the_table_is_that_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    renamed = {"vl_convert_python": "vl_convert", "mlflow_skinny": "mlflow", "scikit_learn": "sklearn"}
    declared = dict[str, str]()
    for extra, requirements in project["optional-dependencies"].items():
        if extra != "dev":
            modules = [requirement.partition(">")[0].lower().replace("-", "_") for requirement in requirements]
            declared |= {renamed.get(module, module): extra for module in modules}
    assert declared == EXTRAS
