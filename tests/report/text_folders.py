"""Run folders of language models as files, without training: perplexity, remembrance and state by formula."""

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from run_folders import environment

from lengthwise.runs.rows import Head, Row, dump_evaluation

LOSS = 1.2
"""Nats at every position to the context."""


def write_text_run(
    root: Path,
    recipe: str = "states/base",
    seed: int = 0,
    *,
    rise: float = 0.0,
    context: int = 64,
    reach: int = 64,
    spread: float = 0.005,
    model: str = "gru",
    intervention: str = "zero",
    start: str | None = None,
    steps: int = 100,
    mixer: dict[str, Any] | None = None,
    layers: int = 1,
    digest: str | None = None,
) -> Path:
    """Write a run whose loss is `LOSS` to T, and `rise` nats more with every octave beyond it.

    `spread` is half the interval of every ratio in nats. The state's standard deviation is 1 to T and grows with the
    square root of the octaves times the rise.
    """
    folder = root / recipe / f"seed-{seed}"
    folder.mkdir(parents=True)
    (folder / "finished").touch()
    settings = {
        "name": recipe,
        "task": {"name": "language_modelling", "source": {"name": "stdlib"}, "context": context},
        "model": {"name": "backbone", "layers": layers, "mixer": {"name": model, **(mixer or {})}},
        "intervention": {"name": intervention},
        "start": start,
        "training": {"steps": steps, "batch_size": 8},
        "evaluation": {"reach": reach},
        "seeds": [seed],
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    (folder / "environment.json").write_text(json.dumps(environment(recipe, seed) | {"parameters": 12_345}))
    last = reach * context
    curve = {f"loss_{context}": LOSS, f"loss_{last}": LOSS + rise * math.log2(reach)}
    metrics = [{"step": s, "sequences": 8 * s, "seconds": s / 10, "loss": 2.0} | curve for s in (steps // 2, steps)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in metrics))
    head = Head(
        recipe=recipe,
        digest=digest or f"digest of {recipe}",
        seed=seed,
        trained_on="language_modelling",
        data="stdlib 0123abcd",
        model=model,
        intervention=intervention,
        training_length=context,
        step=steps,
        sequences=8 * steps,
        parameters=12_345,
    )
    rows = [Row(task="language_modelling", samples=32, **row) for row in _rows(context, last, rise, spread, layers)]
    (folder / "evaluation.jsonl").write_bytes(dump_evaluation(head, rows))
    return folder


def _rows(context: int, last: int, rise: float, spread: float, layers: int) -> list[dict[str, Any]]:
    edges = [0, *(2**power for power in range(int(math.log2(last)) + 1))]
    rows = []
    for start, end in pairwise(edges):
        value = LOSS + rise * max(0.0, math.log2(end / context))
        rows.append(_row("loss", start, end, value, 0.05))
    for row in [row for row in rows if row["axes"]["end"] > context]:
        gap = row["value"] - LOSS
        ends = {"low": math.exp(gap - spread), "high": math.exp(gap + spread)}
        rows.append(row | {"metric": "ratio", "value": math.exp(gap)} | ends)
    for start in range(0, 4 * context, context // 2):
        rows.append(_row("remembrance", start, 4 * context, min(1.0, rise * start / context), 0.01))
    for end in edges[1:]:
        grown = 1 + rise * math.sqrt(max(0.0, math.log2(end / context)))
        for layer in range(layers):
            part = f"layers.{layer}.matrix"
            rows += [_row("state_std", 0, end, grown * (layer + 1), part=of) for of in (part, f"{part}/0", f"{part}/1")]
        rows += [_row(f"state_{name}", 0, end, grown) for name in ("std", "mean", "max")]
    return rows


def _row(metric: str, start: int, end: int, value: float, half: float | None = None, **part: str) -> dict[str, Any]:
    ends = {} if half is None else {"low": value - half, "high": value + half}
    return {"metric": metric, "axes": {"start": start, "end": end, **part}, "value": value} | ends
