"""Kills: commands that write are ended by SIGKILL, at every place that changes a file and at moments by chance.

python tests/runs/kills.py [--kills N] [--seed N]: N kills, shared out to the commands, half of them at a write, sync,
rename or removal, half at any moment. After each one everything that is there can be read, the same command goes on,
and what it leaves is what an undisturbed one leaves, file by file; a table of the counts is printed.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import typer
import yaml
from faults import Places, install

sys.path.append(str(Path(__file__).parents[1]))

from lengthwise.cli.main import COMMANDS as COMMANDS_OF

RECIPE: dict[str, Any] = {
    "name": "tiny",
    "task": {
        "name": "regular",
        "language": "parity",
        "train": {"maximum": 6},
        "test": {"longest": 8, "samples": 8, "long_lengths": [20], "near_misses": [], "curve_lengths": [6]},
    },
    "model": {"name": "backbone", "width": 8, "layers": 1, "mixer": {"name": "gru", "hidden_size": 6}},
    "training": {"steps": 12, "batch_size": 4, "checkpoint_every": 3, "log_every": 1},
    "evaluation": {"curve_every": 4},
}
UNIT: dict[str, Any] = {"name": "ldru", "width": 4, "operator": {"name": "mlp"}}
SWEEP = {"base": "tiny.yaml", "axes": {"width": {"a": {"model.width": 8}, "b": {"model.width": 12}}}}
OF_CHANCE = {"seconds", "started", "ended", "resumed", "message", "command", "seal"}
"""What differs between two undisturbed runs too, and what is a hash of that."""


class Command(NamedTuple):
    """A command to kill, in a folder in which other commands were called before."""

    name: str
    arguments: tuple[str, ...]
    before: tuple[tuple[str, ...], ...]
    beside: Callable[[Path], None] = lambda folder: None
    """Puts what else it needs into the folder."""


def checkpoint(folder: Path) -> None:
    """Write a small checkpoint of transformers, and a text."""
    from word_tokenizers import save_word_tokenizer

    from lengthwise.pretrained.loading import tiny_model

    words = [f"w{number}" for number in range(45)]
    (folder / "source").mkdir()
    tiny_model("mamba2").save(folder / "source")
    save_word_tokenizer(folder / "source", words)
    (folder / "source" / "NOTICE").write_text("Of somebody else.\n")
    (folder / "text.txt").write_text("".join(f"{' '.join(words[n % 7 :: 1 + n % 5])}\n\n" for n in range(150)))


TRAIN, EVALUATE = ("train", "tiny.yaml"), ("evaluate", "runs/tiny")
UNIT_RUN = ("train", "unit.yaml")
SOURCE = ("hf:source", "--data", "text.txt")
SAVE = ("post-train", *SOURCE, "--out", "saved", "--steps", "4", "--batch-size", "4")
FEW = ("--context", "8", "--reach", "4", "--rows", "4", "--set", "evaluation.remembrance.starts=2")
COMMANDS = [
    Command("train", TRAIN, ()),
    Command("post-train", ("post-train", "runs/tiny/seed-0", "--steps", "6", "--intervention", "zero"), (TRAIN,)),
    Command("post-train hf:PATH", (*SAVE, *FEW, "--set", "training.checkpoint_every=2"), (), checkpoint),
    Command("evaluate", EVALUATE, (TRAIN,)),
    Command("certify", ("certify", "runs/unit"), (UNIT_RUN,)),
    Command("keep", ("keep", "runs", "--out", "kept"), (TRAIN, EVALUATE)),
    Command("results", ("results", "runs", "--out", "table.parquet"), (TRAIN, EVALUATE)),
    Command("report", ("report", "runs", "--out", "page"), (TRAIN, EVALUATE)),
    Command("diagnose", ("diagnose", *SOURCE, "--out", "page", *FEW), (), checkpoint),
    Command("export", ("export", "runs/tiny/seed-0"), (TRAIN, ("certify", "runs/tiny", "--method", "black_box"))),
    Command("sweep", ("sweep", "grid.sweep.yaml", "--workers", "1"), ()),
]


def call(arguments: tuple[str, ...], folder: Path, places: Places | None = None, counts: Path | None = None) -> int:
    """Start the program in a process that is forked from this one, and return its id."""
    if child := os.fork():
        return child
    os.chdir(folder)
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    with Path("../said.txt").open("w", encoding="utf-8") as said:
        os.dup2(said.fileno(), 2)
    from lengthwise.cli.main import app

    if places:
        install(setattr, places)
    sys.argv = ["lengthwise", *arguments]
    code = 70
    try:
        code = app(list(arguments), standalone_mode=False) or 0
    except typer.Exit as left:
        code = left.exit_code
    finally:
        if places and counts:
            os.write(os.open(counts, os.O_WRONLY | os.O_CREAT), str(places.count).encode())
        os._exit(code if isinstance(code, int) else 70)


def ended(child: int) -> int:
    """Return the exit status of a process, below 0 where a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def here(check: Callable[[], None]) -> str:
    """Run a check in a forked process, which may use libraries that start threads, and return what went wrong."""
    with tempfile.TemporaryFile() as said:
        if not (child := os.fork()):
            os.dup2(said.fileno(), 2)
            code = 1
            try:
                check()
                code = 0
            finally:
                if code:
                    sys.excepthook(*sys.exc_info())
                    sys.stderr.flush()
                os._exit(code)
        failed = ended(child)
        said.seek(0)
        return said.read().decode() or f"exit code {failed}" if failed else ""


def plain(content: Any) -> Any:
    """Return JSON without what differs by chance."""
    if isinstance(content, dict):
        return {name: plain(value) for name, value in content.items() if name not in OF_CHANCE}
    return [plain(item) for item in content] if isinstance(content, list) else content


def contents(folder: Path) -> dict[str, Any]:
    """Read every file as what it is."""
    from lengthwise.training.checkpoint import load_checkpoint

    found: dict[str, Any] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = str(path.relative_to(folder))
        if path.name == "checkpoint.safetensors":
            tensors, values = load_checkpoint(path)
            found[name] = {key: (str(t.dtype), t.tolist()) for key, t in tensors.items()}, plain(values)
        elif path.suffix == ".json":
            found[name] = plain(json.loads(path.read_text()))
        elif path.name == "sweep.jsonl":
            # A line an attempt: a driver that was killed did not see how some of them ended. A line that it tore stays,
            # the last one where nothing was left to do, and has not swallowed the next.
            assert all(line.count('"recipe"') <= 1 for line in path.read_text().splitlines()), path.read_text()
            found[name] = "a journal"
        elif path.suffix == ".jsonl":
            found[name] = [plain(json.loads(line)) for line in path.read_text().splitlines()]
        elif path.suffix == ".pdf":
            # The program that makes them orders what is in them by chance.
            found[name] = (data := path.read_bytes())[:5], data.rstrip()[-5:]
        else:
            found[name] = path.read_bytes()
    return found


def readable(folder: Path) -> None:
    """Read all that a killed command left, as other commands would."""
    from lengthwise.errors import InputError
    from lengthwise.runs.folder import find_runs
    from lengthwise.runs.rows import read_evaluation
    from lengthwise.runs.run import read_run
    from lengthwise.runs.table import find_sources, read_kept
    from lengthwise.training.checkpoint import load_checkpoint

    for run in find_runs(folder):
        assert run.status
        read_run(run)
        run.metrics_rows()
        if run.checkpoint.exists():
            load_checkpoint(run.checkpoint)
        if run.evaluation.exists():
            read_evaluation(run.evaluation)
    try:
        kept = find_sources([folder])[1]
    except InputError:
        kept = []
    for each in kept:
        read_kept(each)


def compare(found: Path, whole: Path) -> None:
    """Refuse folders that differ in a file, or in what is in one."""
    one, other = contents(found), contents(whole)
    assert one.keys() == other.keys(), f"files: {sorted(one.keys() ^ other.keys())}"
    for name in one:
        assert one[name] == other[name], f"{name} differs: {one[name]!r:.500} and {other[name]!r:.500}"


def preload() -> None:
    """Import what the commands import, once for all forked processes; nothing here starts a thread."""
    from importlib import import_module

    for name in ("cli.main", "runs.run", "runs.kept", "runs.summary", "runs.sweep_plan", "certificates.of_run"):
        import_module(f"lengthwise.{name}")
    # The first step of an optimiser imports it.
    import_module("torch._dynamo")
    import_module("transformers.models.auto")
    for name in COMMANDS_OF:
        COMMANDS_OF.load(name)


class Ground:
    """Folders of a command: before it, and after it was not disturbed."""

    def __init__(self, command: Command, root: Path) -> None:
        self.command, self.before, self.after = command, root / command.name / "before", root / command.name / "after"
        self.before.mkdir(parents=True)
        (self.before / "tiny.yaml").write_text(yaml.safe_dump(RECIPE))
        (self.before / "unit.yaml").write_text(yaml.safe_dump(RECIPE | {"name": "unit", "model": UNIT}))
        (self.before / "grid.sweep.yaml").write_text(yaml.safe_dump(SWEEP))
        assert not (said := here(lambda: command.beside(self.before))), said
        for arguments in command.before:
            assert ended(call(arguments, self.before)) in (0, 1), arguments
        shutil.copytree(self.before, self.after)
        began = time.monotonic()
        self.code = ended(call(command.arguments, self.after))
        said = (self.after / "../said.txt").read_text()
        assert self.code in (0, 1), f"{command.name} ends with {self.code}: {said}"
        self.seconds = time.monotonic() - began
        self.places = self._count()

    def _count(self) -> int:
        """Return at how many places the command changes files."""
        counts, places = self.before.with_name("counts.txt"), Places(0, lambda: None)
        child = call(self.command.arguments, shutil.copytree(self.before, counts.with_name("counted")), places, counts)
        assert ended(child) == self.code
        return int(counts.read_text())

    def kill(self, chance: random.Random, *, at_place: bool) -> tuple[bool, str]:
        """Kill the command once; return whether it was, and what is wrong afterwards."""
        work = self.before.with_name("work")
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(self.before, work)
        if at_place:
            at = chance.randrange(1, self.places + 1)
            places = Places(at, lambda: os.kill(os.getpid(), signal.SIGKILL))
            code = ended(call(self.command.arguments, work, places))
        else:
            child = call(self.command.arguments, work)
            time.sleep(chance.uniform(0, 0.7 * self.seconds))
            # The driver alone: its workers end by themselves.
            os.kill(child, signal.SIGKILL)
            code = ended(child)
        wrong = here(lambda: readable(work))
        again = -1
        if not wrong:
            again = ended(call(self.command.arguments, work))
            wrong = (
                ""
                if again == self.code
                else f"the same command ends with {again}: {(work / '../said.txt').read_text()}"
            )
        return code == -signal.SIGKILL, wrong or here(lambda: compare(work, self.after))


def main() -> None:
    # What is cached belongs to the command, and not to whoever starts this.
    os.environ |= {"LENGTHWISE_CACHE": "cache", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=[command.name for command in COMMANDS], action="append")
    options = parser.parse_args()
    chance, counts, wrong = random.Random(options.seed), Counter[tuple[str, str]](), list[str]()
    commands = [command for command in COMMANDS if command.name in (options.only or [command.name])]
    with tempfile.TemporaryDirectory() as folder:
        preload()
        grounds = [Ground(command, Path(folder)) for command in commands]
        # Ctrl-C ends with the table of what was done.
        with contextlib.suppress(KeyboardInterrupt):
            number = -1
            while sum(counts[command.name, "in time"] for command in commands) < options.kills:
                number += 1
                ground = grounds[number % len(grounds)]
                at_place = bool(ground.places) and number // len(grounds) % 2 == 0
                killed, said = ground.kill(chance, at_place=at_place)
                name = ground.command.name
                counts[name, "tries"] += 1
                counts[name, "at a place" if at_place else "at a moment"] += killed
                counts[name, "in time" if killed else "too late"] += 1
                sys.stderr.write(f"{number + 1} {name}: {'killed' if killed else 'ended before'}\n")
                if said:
                    wrong.append(f"{name}, kill {number}: {said}")
        for ground in grounds:
            counts[ground.command.name, "places"] = ground.places
    lines = ["| command | places that change a file | kills at one | kills at any moment | ended before the kill |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for command in commands:
        shown = (counts[command.name, what] for what in ("places", "at a place", "at a moment", "too late"))
        lines.append(f"| `{command.name}` | {' | '.join(map(str, shown))} |")
    kills = sum(counts[command.name, "in time"] for command in commands)
    lines.append(f"\n{kills} kills, {len(wrong)} that left something else")
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
    sys.stderr.write("\n".join(wrong))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
