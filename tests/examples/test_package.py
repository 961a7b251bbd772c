"""The example of a package that adds to the library: installed, and used by the program as anyone's would be."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "examples" / "package"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="hatchling is not installed (extra dev)")
    target = tmp_path_factory.mktemp("installed")
    command = ["pip", "install", "-q", "--no-build-isolation", "--no-deps", "--no-index", "--target", target, PACKAGE]
    made = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return target


@pytest.fixture
def run(installed: Path, tmp_path: Path) -> Callable[..., str]:
    def program(*arguments: str) -> str:
        path = os.pathsep.join(map(str, (installed, ROOT / "src")))
        result = subprocess.run(
            [sys.executable, "-m", "lengthwise.cli.main", *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": path, "COLUMNS": "160"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout + result.stderr

    return program


def test_what_a_package_adds_is_listed(run: Callable[..., str]) -> None:
    expected = {
        "tasks": ["recall"],
        "models": ["bag", "leaky"],
        "interventions": ["mean_state"],
        "objectives": ["smoothed"],
        "metrics": ["confidence"],
        "diagnostics": ["sensitivity"],
        "curricula": ["hardest"],
        "sections": ["sensitivity"],
    }
    for what, names in expected.items():
        shown = run("list", what)
        assert all(name in shown for name in names), shown


def test_what_a_package_adds_is_trained_measured_swept_kept_and_reported(
    run: Callable[..., str], tmp_path: Path
) -> None:
    recipe = str(PACKAGE / "recall.yaml")
    assert "trained" in run("train", recipe)
    assert "nothing to do" in run("train", recipe)
    (folder,) = {path.parent for path in (tmp_path / "runs").rglob("finished")}
    run("evaluate", str(folder))
    # What names stand for is the package and its version.
    assert "lengthwise-example==0.1.0" in (folder / "recipe.yaml").read_text()
    shown = run("report", str(folder), "--out", "page")
    assert "Sensitivity to one symbol" in shown
    assert "Sensitivity" in (tmp_path / "page" / "index.html").read_text()
    swept = run("sweep", str(PACKAGE / "starts.sweep.yaml"), "--workers", "1")
    assert "4 runs trained and evaluated, 0 failed" in swept
    run("keep", "runs/starts", "--out", "kept")
    again = run("report", "kept", "--out", "second")
    assert "Sensitivity to one symbol" in again
    assert "bag" in again
