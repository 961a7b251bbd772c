"""Run folders as files, without training."""

import json
import math
from pathlib import Path
from typing import Any

import yaml

from lengthwise.report.results import Results, comparable
from lengthwise.runs.rows import Head, Row, dump_evaluation
from lengthwise.runs.table import read_table
from lengthwise.tasks import LANGUAGES

LENGTHS = (*range(1, 61), 1000)
LDRU = {"name": "ldru", "operator": {"name": "mlp"}}
PAPER_TASKS = [task for task in LANGUAGES if task not in {"modular_arithmetic_precedence", "tomita_1", "tomita_2"}]
BASELINES = [
    *("elman", "gru", "lstm", "attention", "attention_randomised", "regular_gpt", "s5", "sd_ssm"),
    *("mamba1", "mamba2", "deltanet", "deltanet_negative", "slstm", "mlstm"),
]


def write_run(
    root: Path,
    task: str = "parity",
    seed: int = 0,
    wrong: dict[tuple[str, int], int] | None = None,
    digest: str | None = None,
    recipe: str | None = None,
    lengths: tuple[int, ...] = LENGTHS,
    samples: int = 1000,
    model: dict[str, Any] | None = None,
    longest: int = 60,
    steps: int = 4,
) -> Path:
    """Write a run trained to 40; `wrong` holds the errors at (distribution, length), none elsewhere."""
    errors = wrong or {}
    name = recipe or f"fast/{task}"
    folder = root / name / f"seed-{seed}"
    folder.mkdir(parents=True)
    about = {"name": "regular", "language": task, "test": {"longest": longest}}
    model = model or LDRU
    settings = {"name": name, "task": about, "model": model, "training": {"steps": steps}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(settings))
    (folder / "environment.json").write_text(json.dumps(environment(name, seed)))
    metrics = [{"step": s, "sequences": 10 * s, "seconds": s / 2, "accuracy": s / 4} for s in (1, 2, 4)]
    metrics[-1]["accuracy_100"] = 0.75
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in metrics))
    places = [("standard", length) for length in lengths] + [("near_miss", 50)]
    rows = [
        Row(
            task=task,
            metric="accuracy",
            value=1 - errors.get((distribution, length), 0) / samples,
            samples=samples,
            axes={"length": length, "distribution": distribution},
        )
        for distribution, length in places
    ]
    head = Head(
        recipe=name,
        digest=digest or f"digest of {name}",
        seed=seed,
        trained_on=task,
        model=(model.get("mixer") or model)["name"],
        training_length=40,
        step=4,
        sequences=40,
        parameters=1234,
        state_size=64,
    )
    (folder / "evaluation.jsonl").write_bytes(dump_evaluation(head, rows))
    return folder


def write_table(root: Path, tasks: list[str], baselines: list[str], lengths: tuple[int, ...]) -> None:
    """Write a unit with two seeds and baselines with one on some tasks, each worse than the one before it."""
    for column, task in enumerate(tasks):
        for seed in (0, 1):
            write_run(root, task, seed, lengths=lengths, longest=500)
        for rank, name in enumerate(baselines, start=1):
            mixer = {"name": name.partition("_negative")[0].partition("_randomised")[0]}
            wrong = {
                (kind, length): min(500, int(10**-2 * 3**rank * math.log(length / 40) * (1 + column % 5)))
                for length in lengths
                if length > 40
                for kind in ("standard", "near_miss")
            }
            write_run(
                root,
                task,
                recipe=f"baselines/{name}-{task}",
                lengths=lengths,
                longest=500,
                wrong=wrong,
                model={"name": "backbone", "mixer": mixer | {"negative_eigenvalues": name.endswith("negative")}},
                steps=4 + rank % 2,
            )


def environment(recipe: str, seed: int) -> dict[str, Any]:
    return {
        "command": f"lengthwise train {recipe} --seed {seed}",
        "commit": "0123abcd",
        "modified": False,
        "started": "2026-11-22T01:00:00+00:00",
        "python": "3.11.2",
        "machine": {"processor": "x86_64", "cores": 2},
    }


def read(root: Path) -> Results:
    (results,) = comparable(read_table([root]))
    return results
