"""My own task.

A task says what is read and asked, at which points, and samples batches. Everything else is there: training,
measuring by length, reports, sweeps.
"""

# %%
from typing import ClassVar, Literal

import numpy as np
import torch

import lengthwise as lw
from lengthwise.tasks.base import IGNORE


# %% Whether the first symbol comes back as the last.
class Returns(lw.Task):
    """A string of four symbols; asked is whether it ends as it began."""

    name: Literal["returns"] = "returns"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)
    inputs: ClassVar[lw.Tokens] = lw.Tokens(4)
    outputs: ClassVar[lw.Tokens] = lw.Tokens(2)

    def points(self, stage: str) -> list[lw.Point]:
        return [lw.Point({"length": n}, samples=256) for n in (range(2, 21) if stage == "train" else (20, 200, 2000))]

    def sample(self, rng: np.random.Generator, rows: int, point: lw.Point) -> lw.Batch:
        string_BT = rng.integers(4, size=(rows, point.length))
        asked_BT = np.full_like(string_BT, IGNORE)
        asked_BT[:, -1] = string_BT[:, 0] == string_BT[:, -1]
        return lw.Batch(string_BT, asked_BT)


# %% One label a string is enough here.
torch.manual_seed(0)
model = lw.LDRUConfig(width=32).build(Returns().inputs, Returns().outputs)
trainer = lw.Trainer(model, Returns(), lw.TrainingConfig(steps=400, batch_size=64), seed=0)
while not trainer.finished:
    trainer.train_step()
for row in lw.evaluate_points(model, Returns(), Returns().points("test"), np.random.default_rng(0)):
    print(f"length {row.axes['length']:>5,}: {row.value:.0%} right")
