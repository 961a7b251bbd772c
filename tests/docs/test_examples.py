import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run_program(*arguments: str) -> str:
    result = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_program_in_the_readme_runs_as_it_stands() -> None:
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    shown = run_program("-c", program)
    found = re.findall(r"length +([\d,]+): ([\d.]+)%", shown)
    assert [length for length, _ in found] == ["500", "10,000", "100,000"]
    assert all(float(accuracy) > 99 for _, accuracy in found), shown


def test_an_operator_of_ones_own_learns() -> None:
    shown = run_program(str(ROOT / "examples/own_operator.py"))
    (loss,) = re.findall(r"loss ([\d.]+)", shown)
    assert float(loss) < 0.1
    assert "length   40: 100.0% right" in shown


def test_scan_loop_and_pieces_agree() -> None:
    shown = run_program(str(ROOT / "examples/tree_scan.py"))
    differences = [float(number) for number in re.findall(r"\d+e[+-]\d+", shown)]
    assert len(differences) == 3
    assert max(differences) < 1e-13


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.name)
def test_programs_in_the_documentation_run(page: Path) -> None:
    programs = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    if not programs:
        pytest.skip("no program on this page")
    run_program("-W", "error", "-c", "\n".join(programs))
