"""Settings of training: the loop, the optimiser, and when it ends."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from lengthwise.errors import as_value_error
from lengthwise.registry import OneOf
from lengthwise.settings import STEPS, Settings
from lengthwise.training import CURRICULA, TRACKERS
from lengthwise.training.curriculum import Curriculum, Uniform

Decay = Annotated[float, Field(ge=0, lt=1)]
Steps = Annotated[int, Field(ge=1, le=STEPS)]


def _known_tracker(name: str) -> str:
    with as_value_error():
        TRACKERS.origin(name)
    return name


TrackerName = Annotated[str, AfterValidator(_known_tracker)]


class OptimiserConfig(Settings):
    """Settings of the optimiser and its learning-rate schedule."""

    name: Literal["adamw", "muon"] = "adamw"
    """``muon``: matrices inside the operator and the feed-forward layers take orthogonalised steps of the size that
    AdamW's have; all other parameters stay with AdamW."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """The peak learning rate."""
    amsgrad: bool = True
    """Whether second moments keep their maximum."""
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    """Decay of the first and second moments."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay."""
    warm_up: float = Field(default=0.2, ge=0, le=1)
    """The fraction of training over which the learning rate rises linearly."""
    tail: Literal["constant", "cosine"] = "constant"
    """What the learning rate does after the warm-up."""
    clip: float | None = Field(default=1.0, gt=0)
    """Largest global norm of the gradient; none for no bound."""
    centralise: bool = True
    """Whether the mean over the output axis is taken off the gradient of every matrix."""


class StopConfig(Settings):
    """When training ends before all its steps are taken: its loss has been next to zero for long."""

    loss_below: float = Field(gt=0)
    """What the running mean of the training loss must stay below; it is the mean over about 50 steps."""
    steps: Steps = 300
    """For how many steps in a row."""


class TrainingConfig(Settings):
    """Settings of training, whatever the task."""

    steps: int = Field(default=1000, ge=0, le=STEPS)
    """Optimiser steps; 0 measures a model as it is."""
    batch_size: int = Field(default=256, ge=1)
    """Rows a step, of each process."""
    curriculum: Annotated[Curriculum, OneOf(CURRICULA)] = Uniform()
    """At which of the task's points the next batch is drawn."""
    optimiser: OptimiserConfig = OptimiserConfig()
    """The optimiser and its schedule."""
    stop: StopConfig | None = None
    """When training ends early; never by default."""
    accumulation: int = Field(default=1, ge=1)
    """Parts of a step's rows that are read one after the other: less memory, the same gradient."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """``bfloat16``: matrix products are computed in it; parameters, states and their sums stay in float32."""
    recompute: int | None = Field(default=None, ge=1)
    """Gradient checkpointing along time: rows are read in pieces of so many positions with the state carried, and the
    backward pass computes each piece once more instead of keeping what it computed; never by default."""
    checkpoint_every: Steps = 500
    """Steps between checkpoints."""
    log_every: Steps = 50
    """Steps between rows of metrics."""
    trackers: tuple[TrackerName, ...] = Field(default=(), exclude_if=lambda names: not names)
    """Programs that show the metrics as well: ``tensorboard``, ``mlflow``, ``wandb``; none by default. They decide no
    number, and are no part of the recipe's digest."""
