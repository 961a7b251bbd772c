"""Sweeps whose runs take a fraction of a second."""

from pathlib import Path
from typing import Any

import yaml

from lengthwise.runs.sweep import SweepRun, expand, load_sweep

BASE = {
    "task": "parity",
    "model": {"name": "ldru", "width": 4, "operator": {"name": "sum"}},
    "training": {"steps": 2, "batch_size": 4},
    "evaluation": {"longest": 4, "samples": 4, "long_lengths": [50], "long_samples": 4, "near_misses": []},
}
GRID: dict[str, Any] = {
    "makes": "a table",
    "base": "base.yaml",
    "axes": {
        "model": {"sum": {}, "grc": {"model.operator.name": "grc"}},
        "task": ["parity", "even_pairs"],
    },
    "seeds": [0, 1],
}


def write_sweep(folder: Path, **settings: Any) -> Path:
    """Write the grid, some of its settings replaced, and the recipe that it starts from."""
    (folder / "base.yaml").write_text(yaml.safe_dump(BASE))
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump(GRID | settings, sort_keys=False))
    return path


def expanded(folder: Path, *overrides: str, **settings: Any) -> list[SweepRun]:
    sweep, base = load_sweep(str(write_sweep(folder, **settings)))
    return expand(sweep, base, overrides)
