"""What is built for a package index: it says what it is, holds what its tests read, and works without a checkout."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from run_folders import write_run

import lengthwise

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a source distribution, and from it alone the wheel; return the folder of both."""
    pytest.importorskip("hatchling", reason="hatchling is not installed (extra dev)")
    out = tmp_path_factory.mktemp("dist")
    build = "import sys, hatchling.build as build; getattr(build, sys.argv[1])(sys.argv[2])"
    subprocess.run([sys.executable, "-c", build, "build_sdist", out], cwd=ROOT, check=True, capture_output=True)
    (archive,) = out.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(out, filter="data")
    source = out / archive.name.removesuffix(".tar.gz")
    subprocess.run([sys.executable, "-c", build, "build_wheel", out], cwd=source, check=True, capture_output=True)
    return out


@pytest.mark.slow
def test_the_source_distribution_holds_what_its_tests_read(wheel: Path) -> None:
    (source,) = (path for path in wheel.iterdir() if path.is_dir())
    wanted = [
        "src/lengthwise/py.typed",
        "tests/report/test_wheel.py",
        "recipes",
        "results",
        "docs/index.md",
        "mkdocs.yml",
    ]
    wanted += ["examples/own_model.py", "benchmarks", "CONTRIBUTING.md", "README.md", "Makefile", "constraints.txt"]
    assert [name for name in wanted if not (source / name).exists()] == []


@pytest.mark.slow
def test_the_wheel_works_without_a_checkout(wheel: Path, tmp_path: Path) -> None:
    (built,) = wheel.glob("*.whl")
    with zipfile.ZipFile(built) as packed:
        packed.extractall(tmp_path / "site")
    assert built.stat().st_size < 4 * 2**20
    write_run(tmp_path / "runs", recipe="mine/parity", model={"name": "backbone", "mixer": {"name": "gru"}})
    # Bytes that cannot say all that is said: it is still no traceback.
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site"), "PYTHONIOENCODING": "ascii"}

    def said(*arguments: str) -> str:
        program = [sys.executable, "-m", "lengthwise.cli.main", *arguments]
        ended = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    assert said("--version") == f"lengthwise {lengthwise.__version__}\n"
    assert "fast/parity" in said("list", "recipes")
    assert "unit_associative" in said("report", "runs", "--beside", "baselines")
    assert "unit" in (tmp_path / "report/table.csv").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_metadata_name_authors_links_and_interpreters(wheel: Path) -> None:
    (built,) = wheel.glob("*.whl")
    with zipfile.ZipFile(built) as packed:
        (name,) = (name for name in packed.namelist() if name.endswith("METADATA"))
        said = packed.read(name).decode()
    assert f"\nVersion: {lengthwise.__version__}\n" in said
    for part in ("Author: ", "Project-URL: ", "Classifier: Typing :: Typed", "Python :: 3.13", "Microsoft :: Windows"):
        assert part in said, part


def test_the_citation_has_the_version() -> None:
    (version,) = re.findall(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    assert version == lengthwise.__version__
