"""The gallery: short scripts that run as they stand, and notebooks and pages made from them."""

import ast
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def made() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gallery", ROOT / "docs/gallery.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GALLERY = made()
EACH = pytest.mark.parametrize("script", GALLERY.SCRIPTS, ids=lambda script: script.stem)


def words(printed: str) -> set[str]:
    """Return what was printed without numbers, which differ from machine to machine."""
    return set(re.findall(r"[a-z]{3,}", printed))


def test_there_are_eight_in_order() -> None:
    assert [script.stem[0] for script in GALLERY.SCRIPTS] == list("12345678")


@EACH
def test_an_example_is_short(script: Path) -> None:
    assert sum(1 for line in script.read_text(encoding="utf-8").splitlines() if line.strip()) < 40


@EACH
def test_a_notebook_holds_the_whole_script_in_its_order(script: Path) -> None:
    code = [cell["source"] for cell in GALLERY.notebook(script)["cells"] if cell["cell_type"] == "code"]
    whole = ast.parse(script.read_text(encoding="utf-8"))
    assert ast.dump(ast.parse("\n".join(code))) == ast.dump(ast.Module(whole.body[1:], []))


@EACH
def test_a_page_shows_the_script_what_it_printed_and_what_it_drew(script: Path) -> None:
    page = GALLERY.page(script)
    assert page.startswith(f"# {script.stem[0]}. ")
    drawn = re.findall(r'"(\w+\.svg)"', script.read_text(encoding="utf-8"))
    shown = re.findall(r"!\[.*\]\((.*)\)", page)
    assert shown == [name for name in dict.fromkeys(drawn) if name.startswith(script.stem)]
    assert all((GALLERY.RUN / name).is_file() for name in shown)


@pytest.mark.slow
@EACH
def test_an_example_runs_as_it_stands_and_prints_what_its_page_says(script: Path, tmp_path: Path) -> None:
    printed = GALLERY.run(script, tmp_path)
    kept = (GALLERY.RUN / f"{script.stem}.txt").read_text(encoding="utf-8")
    assert words(kept.replace(str(tmp_path), ".")) - words(printed) <= {"holds", "drifts", "fails"}
    drawn = (GALLERY.RUN / f"{script.stem}.svg").exists()
    assert (tmp_path / f"{script.stem}.svg").exists() is drawn
