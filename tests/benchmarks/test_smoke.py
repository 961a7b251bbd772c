import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PROGRAMS = sorted(path.stem for path in BENCHMARKS.glob("*.py") if path.stem != "record")


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_every_benchmark_runs_and_writes_its_record(name: str, tmp_path: Path) -> None:
    out = tmp_path / "record.json"
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), "--smoke", "--out", str(out)]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout
    record = json.loads(out.read_text())
    assert "packages" in record


@pytest.mark.slow
def test_a_smoke_run_leaves_the_records_alone(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "algebra.py"), "--smoke"]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    assert list(tmp_path.iterdir()) == []
