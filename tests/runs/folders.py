"""Run folders as files, without training."""

import json
from pathlib import Path
from typing import Any

import yaml

from lengthwise.runs.rows import Head, Row, dump_evaluation

LENGTHS = (*range(1, 61), 1000)


def write_run(
    root: Path,
    recipe: str = "fast/parity",
    seed: int = 0,
    *,
    rows: list[Row] | None = None,
    wrong: int = 0,
    steps: tuple[int, ...] = (1, 2, 4),
    **head: Any,
) -> Path:
    """Write a finished run trained to 40; `wrong` are the errors of a thousand at length 55, none elsewhere."""
    folder = root / recipe / f"seed-{seed}"
    folder.mkdir(parents=True)
    (folder / "finished").touch()
    settings = {"name": recipe, "makes": "a table", "model": {"name": "ldru", "width": 8}, "training": {"steps": 4}}
    task = {"name": "regular", "language": "parity", "test": {"longest": 60}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(settings | {"task": task}))
    environment = {"command": f"lengthwise train {recipe} --seed {seed}", "commit": "0123abcd", "started": "2026-01-01"}
    (folder / "environment.json").write_text(json.dumps(environment))
    metrics = [{"step": s, "sequences": 10 * s, "seconds": s / 2, "accuracy": s / 4} for s in steps]
    metrics[-1]["accuracy_100"] = 0.75
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in metrics))
    of = {"digest": f"digest of {recipe}", "trained_on": "parity", "model": "ldru", "training_length": 40}
    made = Head(**{"recipe": recipe, "seed": seed, "step": 4, "sequences": 40} | of | head)
    (folder / "evaluation.jsonl").write_bytes(dump_evaluation(made, string_rows(wrong) if rows is None else rows))
    return folder


def string_rows(wrong: int = 0) -> list[Row]:
    places = [("standard", length) for length in LENGTHS] + [("near_miss", 50)]
    return [
        Row(
            task="parity",
            metric="accuracy",
            value=1 - wrong / 1000 if place == ("standard", 55) else 1.0,
            samples=1000,
            axes={"length": place[1], "distribution": place[0]},
        )
        for place in places
    ]


def text_rows() -> list[Row]:
    places = [(0, 64, 1.0), (64, 128, 1.25), (128, 256, 1.5)]
    whole = [("ratio", {"start": start, "end": end}, value) for start, end, value in places]
    parts = [("state_std", {"start": 0, "end": 64, "part": part}, 2.0) for part in ("state", "state/0", "state/1")]
    return [
        Row(task="language_modelling", metric=metric, value=value, low=0.9, high=2.1, samples=8, axes=axes)
        for metric, axes, value in [*whole, *parts]
    ]
