"""The walk of a stranger: a wheel in a fresh environment without a checkout, then what README and the gallery say.

``python tests/walk.py [FOLDER]`` (``make walk``) needs a package index. Each command is printed with its time; the
first that fails or shows a traceback ends the walk with 1. What it makes lies in FOLDER.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = ("pip install", "make ")
"""The wheel is installed already, and `make demo` is what the other commands are, in a clone."""
SMALL = {"hf:PATH": "hf:tiny", "--context 512": "--context 32", "--out repaired": "--out mended --steps 20"}
"""The checkpoint of somebody else is that of the gallery, and so are its texts."""
SERVER = """
import torch
from torch import nn

torch.manual_seed(0)
embedding, cell, readout = nn.Embedding(7, 8), nn.GRUCell(8, 8), nn.Linear(8, 7)


def step(tokens, state):
    hidden, logits = torch.zeros(len(tokens), 8) if state is None else state, []
    for token in tokens.T:
        hidden = cell(embedding(token), hidden)
        logits.append(readout(hidden))
    return torch.stack(logits, 1), hidden
"""
"""What ``my_server:step`` of README is here."""
_BLOCKS = re.compile(r"```(sh|python)\n(.*?)```", re.DOTALL)


def readme() -> Iterator[tuple[str, str]]:
    """Yield the commands and the programs of README, in its order, each with its language."""
    for language, block in _BLOCKS.findall((ROOT / "README.md").read_text(encoding="utf-8")):
        if language == "python":
            yield language, block
            continue
        for line in block.splitlines():
            command = line.partition(" #")[0].strip()
            for named, small in SMALL.items() if "hf:PATH" in command else ():
                command = command.replace(named, small)
            if command and not command.startswith(LEFT_OUT):
                yield language, command


class Walk:
    """A folder with an environment of its own, in which commands run one after another."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.begun = folder, time.monotonic()
        self.python = folder / "venv/bin/python"
        own = {
            "HOME": str(folder),
            "PATH": f"{self.python.parent}{os.pathsep}{os.environ['PATH']}",
            "SHELL": "/bin/bash",
        }
        left_out = {"PYTHONPATH", "VIRTUAL_ENV", "LENGTHWISE_CACHE"}
        kept = {name: value for name, value in os.environ.items() if name not in left_out}
        self._environment = kept | own | {"HF_HUB_OFFLINE": "1"}

    def step(self, title: str, *command: str, within: Path | None = None) -> None:
        """Run a command, and end the walk where it fails."""
        start = time.monotonic()
        done = subprocess.run(
            command, cwd=within or self.folder, env=self._environment, capture_output=True, text=True, check=False
        )
        seconds = time.monotonic() - start
        print(f"{time.monotonic() - self.begun:7.0f} s {seconds:7.1f} s  {title}", flush=True)
        if done.returncode or "Traceback (most recent call last)" in done.stdout + done.stderr:
            raise SystemExit(f"{title}\nended with {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")

    def install(self) -> None:
        """Build the wheel and install it, as from an index."""
        dist = self.folder / "dist"
        self.step(
            "build the wheel", sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(dist), str(ROOT)
        )
        self.step("a fresh environment", sys.executable, "-m", "venv", str(self.folder / "venv"))
        (wheel,) = dist.glob("*.whl")
        pins = ROOT / "constraints.txt"
        self.step("pip install", str(self.python), "-m", "pip", "install", "-q", "-c", str(pins), f"{wheel}[report,hf]")

    def gallery(self) -> None:
        """Run the examples where README's commands run afterwards."""
        for script in sorted((ROOT / "examples/gallery").glob("*.py")):
            copied = Path(shutil.copy(script, self.folder))
            self.step(f"python {script.name}", str(self.python), copied.name)

    def commands(self) -> None:
        """Run what README prints."""
        (self.folder / "my_server.py").write_text(SERVER, encoding="utf-8")
        for language, text in readme():
            if language == "python":
                self.step("the program of README", str(self.python), "-c", text)
            else:
                self.step(text, "bash", "-c", text)


def main() -> None:
    """Walk."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="walk-")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise SystemExit(f"{folder} is not empty; a walk begins in a folder of its own")
    walk = Walk(folder)
    print(f"in {folder}; since the start, and of the step:")
    walk.install()
    walk.gallery()
    walk.commands()
    page = folder / "report/index.html"
    if "lstm" not in page.read_text(encoding="utf-8"):
        raise SystemExit(f"{page} does not set a model of one's own beside the baselines")
    print(f"{time.monotonic() - walk.begun:7.0f} s in all: no command failed")


if __name__ == "__main__":
    main()
