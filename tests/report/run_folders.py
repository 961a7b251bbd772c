"""Run folders as files, without training."""

import json
from pathlib import Path
from typing import Any

import yaml

from lengthwise.experiments.results import EvaluationRow

LENGTHS = (*range(1, 61), 1000)


def write_run(
    root: Path,
    task: str = "parity",
    seed: int = 0,
    wrong: dict[tuple[str, int], int] | None = None,
    digest: str | None = None,
    recipe: str | None = None,
    lengths: tuple[int, ...] = LENGTHS,
    samples: int = 1000,
) -> Path:
    """Write a run trained to 40; `wrong` holds the errors at (distribution, length), none elsewhere."""
    errors = wrong or {}
    name = recipe or f"fast/{task}"
    folder = root / name / f"seed-{seed}"
    folder.mkdir(parents=True)
    settings = {"name": name, "task": task, "model": {"name": "ldru", "operator": {"name": "mlp"}}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(settings | {"evaluation": {"longest": 60}}))
    (folder / "environment.json").write_text(json.dumps(environment(name, seed)))
    metrics = [{"step": s, "sequences": 10 * s, "seconds": s / 2, "accuracy": s / 4} for s in (1, 2, 4)]
    metrics[-1]["accuracy_100"] = 0.75
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in metrics))
    places = [("standard", length) for length in lengths] + [("near_miss", 50)]
    rows = [
        EvaluationRow(
            recipe=name,
            digest=digest or f"digest of {name}",
            model="ldru",
            task=task,
            task_version=1,
            seed=seed,
            distribution=distribution,
            length=length,
            value=1 - errors.get((distribution, length), 0) / samples,
            samples=samples,
            training_length=40,
            step=4,
            sequences=40,
            commit=None,
        )
        for distribution, length in places
    ]
    (folder / "evaluation.jsonl").write_text("".join(row.model_dump_json() + "\n" for row in rows))
    return folder


def environment(recipe: str, seed: int) -> dict[str, Any]:
    return {
        "command": f"lengthwise train {recipe} --seed {seed}",
        "commit": "0123abcd",
        "modified": False,
        "started": "2026-11-22T01:00:00+00:00",
        "python": "3.11.2",
        "machine": {"processor": "x86_64", "cores": 2},
    }
