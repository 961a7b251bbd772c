"""Tasks and trainers that are small enough to be trained in a test."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from lengthwise.interventions import INTERVENTIONS
from lengthwise.models.base import StringModel
from lengthwise.tasks.base import Batch, Point, Task
from lengthwise.tasks.language_modelling import LanguageModelling
from lengthwise.tasks.regular.task import Regular
from lengthwise.training import OBJECTIVES
from lengthwise.training.config import TrainingConfig
from lengthwise.training.loop import Trainer
from lengthwise.training.objectives.base import Loss


def regular(language: str = "parity", maximum: int = 11, **settings: Any) -> Regular:
    return Regular.model_validate({"language": language, "train": {"maximum": maximum}} | settings)


def strings(task: Task, length: int, rows: int = 12) -> Batch:
    point = Point({"length": length, "distribution": "standard"})
    return task.sample(np.random.default_rng(length), rows, point)


def trainer(
    model: StringModel,
    task: Task,
    objective: dict[str, Any] | None = None,
    intervention: str = "zero",
    seed: int = 0,
    **training: Any,
) -> Trainer:
    chosen = {"name": "asked"} | (objective or {})
    config = TrainingConfig.model_validate({"steps": 12, "batch_size": 6} | training)
    start = INTERVENTIONS.load(intervention)().build()
    learned = OBJECTIVES.load(chosen["name"]).model_validate(chosen)
    return Trainer(model, task, config, seed, learned, start)


def loss_of(
    model: StringModel, task: Task, batch: Batch, objective: str, progress: float = 0.5, **choices: Any
) -> Loss:
    """Return the loss of one batch, all chance drawn from one seed."""
    built = OBJECTIVES.load(objective).model_validate(choices).build(model, task, TrainingConfig())
    return built.loss(batch, None, progress, torch.Generator().manual_seed(7))


def write_texts(
    folder: Path, words: tuple[str, ...] = ("the cat sat ", "on the mat ", "and then ", "it ran\n")
) -> Path:
    rng = np.random.default_rng(0)
    for number in range(8):
        (folder / f"{number}.txt").write_text("".join(rng.choice(words, size=60)))
    return folder


def text(folder: Path, context: int = 9) -> LanguageModelling:
    source = {"name": "files", "paths": [str(folder)]}
    return LanguageModelling.model_validate({"text": {"source": source, "held_out": 0.3}, "context": context})
