"""Run folders and kept results that were damaged by chance: each is read, or told with its path."""

import hashlib
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import yaml
from fuzzing import complaint, damage_bytes, damage_json, damage_settings, leave_after_a_step, told

from lengthwise.errors import InputError
from lengthwise.runs.kept import keep
from lengthwise.runs.recipe import load_recipe
from lengthwise.runs.run import evaluate_run, train_run
from lengthwise.runs.table import read_kept

pytestmark = [pytest.mark.fuzz, pytest.mark.filterwarnings("default")]

Damage = Callable[[Path, random.Random], None]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished and evaluated runs, one that was left, and kept results of the two."""
    root = tmp_path_factory.mktemp("sound")
    for name in ("tiny", "left"):
        settings = {
            "base": "fast/parity",
            "name": name,
            "training": {"steps": 3, "batch_size": 4, "checkpoint_every": 2},
        }
        test = {"longest": 4, "samples": 4, "long_lengths": [], "near_misses": []}
        settings["task"] = {"name": "regular", "language": "parity", "train": {"maximum": 4}, "test": test}
        settings["model"] = {"name": "ldru", "width": 4}
        (root / f"{name}.yaml").write_text(yaml.safe_dump(settings))
    recipe = load_recipe(str(root / "tiny.yaml"))
    for seed in (0, 1):
        folder = root / "runs" / "tiny" / f"seed-{seed}"
        train_run(recipe, seed, folder)
        evaluate_run(folder)
    train_run(load_recipe(str(root / "left.yaml")), 0, root / "runs" / "left" / "seed-0", stop=lambda: True)
    keep([root / "runs" / "tiny"], root / "kept")
    return root


def damage_table(path: Path, chance: random.Random) -> None:
    """Take away a column or all rows, double the rows, or give a column other values."""
    table = pl.read_parquet(path)
    column = chance.choice(table.columns)
    other = pl.lit(chance.choice([None, "x", -1, 2**62, float("nan"), float("inf"), True]))
    changes = [table.drop(column), table.head(0), pl.concat([table, table]), table.with_columns(other.alias(column))]
    chance.choice(changes).write_parquet(path)


def damage_footer(path: Path, chance: random.Random) -> None:
    """Change what a table says of its columns and pages: their types, sizes, counts and places."""
    data = bytearray(path.read_bytes())
    size = int.from_bytes(data[-8:-4], "little")
    for _ in range(chance.choice([1, 1, 2, 5])):
        at = chance.randrange(len(data) - 8 - size, len(data) - 8)
        huge = [b"\xff" * 7 + b"\x7f", b"\xfe" + b"\xff" * 8 + b"\x01", b"\x80" * 6 + b"\x01"]
        data[at : at + 1] = chance.choice([bytes([data[at] ^ (1 << chance.randrange(8))]), b"\0", b"\xff", *huge])
    size += len(data) - path.stat().st_size
    path.write_bytes(bytes(data[:-8]) + size.to_bytes(4, "little") + b"PAR1")


def damage_file(path: Path, chance: random.Random) -> None:
    """Damage a file as bytes, or what is in it as JSON or YAML; or put something else in its place."""
    content = path.read_bytes()
    share = chance.random()
    if share < 0.04:
        path.unlink()
        if share < 0.02:
            path.mkdir()
    elif share < 0.5 and path.suffix in {".json", ".jsonl"} and content.strip():
        path.write_text(damage_json(content.decode(), chance), encoding="utf-8")
    elif share < 0.7 and path.suffix == ".parquet":
        (damage_table if share < 0.4 else damage_footer)(path, chance)
    elif share < 0.5 and path.suffix == ".yaml":
        settings = yaml.safe_load(content)
        damage_settings(settings, chance)
        path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    else:
        path.write_bytes(damage_bytes(content, chance))


def vouch_for(work: Path, path: Path) -> None:
    """Let the files that say what others hold say that they hold what they do now, as somebody could who edits them."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    index, environment = work / "kept" / "runs.json", path.with_name("environment.json")
    if path.parent == index.parent and path != index:
        content = json.loads(index.read_text())
        for file in content["files"].values():
            file["sha256"] = digest if file["name"] == path.name else file["sha256"]
        index.write_text(json.dumps(content))
    if path.name == "recipe.yaml":
        environment.write_text(json.dumps(json.loads(environment.read_text()) | {"recipe_sha256": digest}))


def tried(sound: Path, work: Path, budget: int, what: str, commands: list[tuple[str, ...]]) -> str:
    complaints: dict[int, tuple[str, str]] = {}
    for seed in range(budget):
        chance = random.Random(seed)
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(sound, work)
        path = chance.choice(sorted(path for path in work.glob(what) if path.is_file()))
        damage_file(path, chance)
        if path.is_file() and chance.random() < 0.5:
            vouch_for(work, path)
        command = chance.choice(commands)
        if said := complaint(*(part.replace("WORK", str(work)) for part in command)):
            complaints[seed] = said, f"{command} {path}"
    return told(complaints)


@pytest.mark.slow
def test_a_damaged_run_is_told(sound: Path, tmp_path: Path, fuzz_budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_after_a_step(monkeypatch)
    runs = "WORK/runs"
    commands = [
        *(("list", "runs", "--runs", runs), ("evaluate", runs), ("evaluate", "--again", f"{runs}/tiny")),
        *(("report", f"{runs}/tiny", "--out", "WORK/page"), ("results", runs, "--out", "WORK/a.csv", "--summary")),
        *(("keep", f"{runs}/tiny", "--out", "WORK/new"), ("keep", f"{runs}/tiny", "--out", "WORK/kept", "--replace")),
        *(("train", "WORK/tiny.yaml", "--runs", runs), ("train", "WORK/left.yaml", "--runs", runs)),
        *(("post-train", f"{runs}/tiny/seed-0", "--steps", "2"), ("certify", f"{runs}/tiny/seed-0")),
    ]
    failed = tried(sound, tmp_path / "work", fuzz_budget, "runs/*/*/*", commands)
    assert not failed, failed


@pytest.mark.slow
def test_damaged_kept_results_are_told(sound: Path, tmp_path: Path, fuzz_budget: int) -> None:
    commands = [
        *(("report", "WORK/kept", "--out", "WORK/page"), ("results", "WORK/kept", "--out", "WORK/a.csv", "--summary")),
        *(("keep", "WORK/runs/tiny", "--out", "WORK/kept"), ("keep", "--remove", "tiny/seed-0", "--out", "WORK/kept")),
    ]
    failed = tried(sound, tmp_path / "work", fuzz_budget, "kept/*", commands)
    assert not failed, failed


def test_a_kept_table_whose_footer_is_damaged_is_told(sound: Path, tmp_path: Path, fuzz_budget: int) -> None:
    """Some of them panic in polars, which is no ordinary exception."""
    refused = 0
    for seed in range(fuzz_budget):
        chance, work = random.Random(seed), tmp_path / str(seed)
        shutil.copytree(sound / "kept", work / "kept")
        path = chance.choice(sorted((work / "kept").glob("*.parquet")))
        damage_footer(path, chance)
        vouch_for(work, path)
        try:
            read_kept(work / "kept")
        except InputError:
            refused += 1
        shutil.rmtree(work)
    assert refused > fuzz_budget // 2
