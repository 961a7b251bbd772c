"""The gallery of the manual: a page and a notebook for each script of examples/gallery, made as the manual is built.

A script is in cells: its docstring, then parts that begin with ``# %%`` and what is said above them. What it printed
and drew when it was last run lies in docs/gallery, written by ``python docs/gallery.py`` (two minutes of one core).
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / "examples/gallery").glob("*.py"))
RUN = ROOT / "docs/gallery"
_CELL = re.compile(r"^# %% ?(.*)\n", re.MULTILINE)


def cells(script: Path) -> Iterator[tuple[str, str]]:
    """Yield what is said above each cell, and its code; the first has the words of the docstring and no code."""
    text = script.read_text(encoding="utf-8")
    heading, _, rest = (ast.get_docstring(ast.parse(text)) or "").partition("\n")
    yield f"# {script.stem[0]}. {heading.rstrip('.')}\n{rest}", ""
    said = _CELL.split(text)[1:]
    yield from zip(said[::2], (code.strip() for code in said[1::2]), strict=True)


def notebook(script: Path) -> dict[str, Any]:
    """Return the notebook of a script."""
    made: list[dict[str, Any]] = []
    for number, (said, code) in enumerate(cells(script)):
        if said:
            made.append({"cell_type": "markdown", "id": f"said-{number}", "metadata": {}, "source": said})
        if code:
            run: dict[str, Any] = {"execution_count": None, "outputs": [], "metadata": {}}
            made.append({"cell_type": "code", "id": f"code-{number}", "source": code} | run)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": kernel, "cells": made}


def page(script: Path) -> str:
    """Return the page of a script: its cells, what it printed, its picture, and the notebook."""
    parts = [part for said, code in cells(script) for part in (said, f"```python\n{code}\n```" if code else "") if part]
    printed = (RUN / f"{script.stem}.txt").read_text(encoding="utf-8").rstrip()
    parts.append(f"It prints:\n\n```text\n{printed}\n```")
    if (RUN / f"{script.stem}.svg").exists():
        parts.append(f"![What {script.name} draws]({script.stem}.svg)")
    parts.append(f"[As a notebook]({script.stem}.ipynb); as a script: `examples/gallery/{script.name}`.")
    return "\n\n".join(parts) + "\n"


def run(script: Path, folder: Path) -> str:
    """Run a script in a folder and return what it printed.

    Raises:
        RuntimeError: it failed.
    """
    one_thread = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=folder,
        env=os.environ | one_thread,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{script.name} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def on_files(files: Any, config: Any) -> Any:
    """Add the pages and the notebooks to those of the manual; mkdocs calls it."""
    from mkdocs.structure.files import File

    for script in SCRIPTS:
        files.append(File.generated(config, f"gallery/{script.stem}.md", content=page(script)))
        files.append(
            File.generated(config, f"gallery/{script.stem}.ipynb", content=json.dumps(notebook(script), indent=1))
        )
    return files


if __name__ == "__main__":
    RUN.mkdir(exist_ok=True)
    for asked in SCRIPTS:
        with tempfile.TemporaryDirectory() as temporary:
            (RUN / f"{asked.stem}.txt").write_text(
                run(asked, Path(temporary)).replace(temporary, "."), encoding="utf-8"
            )
            for drawn in Path(temporary).glob(f"{asked.stem}.svg"):
                (RUN / drawn.name).write_bytes(drawn.read_bytes())
