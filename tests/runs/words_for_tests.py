"""Runs of a small language model on a few words."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from lengthwise.runs.recipe import Recipe, validate_recipe
from lengthwise.runs.run import load_run


def write_words(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    for number in range(10):
        words = rng.choice(["the cat sat ", "on the mat ", "and then ", "it ran\n"], size=80)
        (folder / f"{number}.txt").write_text("".join(words))
    return folder


def tiny_text(folder: Path, **changes: Any) -> Recipe:
    source = {"name": "files", "paths": [str(folder)]}
    settings = {
        "name": "tiny/text",
        "task": {"name": "language_modelling", "text": {"source": source, "held_out": 0.4}, "context": 8},
        "model": {"name": "backbone", "width": 8, "layers": 2, "mixer": {"name": "gru", "hidden_size": 6}},
        "training": {"steps": 12, "batch_size": 4, "checkpoint_every": 5, "log_every": 2},
        "evaluation": {
            "curve_every": 6,
            "perplexity": {"reach": 8, "rows": 6, "chunk": 5},
            "remembrance": {"rows": 6, "starts": 5},
            "state_statistics": {"reach": 8, "rows": 3, "chunk": 5},
        },
    }
    return validate_recipe(settings | changes, "recipe of a test")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_run(folder).model.state_dict()
