"""Does my GRU extrapolate?

A GRU of torch learns where a walk on a cycle of five places ends, from walks of at most 40 steps. Then it is asked
walks of up to 10,240.
"""

# %%
import altair as alt
import numpy as np
import torch
from torch import nn

import lengthwise as lw

# %% Any recurrent model of torch goes in. The contract says whether it carries its state rightly.
torch.manual_seed(0)
task = lw.get_task("cycle_navigation")
model = lw.RecurrentModel(nn.Embedding(task.inputs.size, 64), nn.GRU(64, 64), nn.Linear(64, task.outputs.size))
print("the state is carried rightly:", all(finding.holds for finding in lw.check_contract(model, task.inputs.size)))

# %% It is told the right answer behind every symbol.
config = lw.TrainingConfig(steps=200, batch_size=32, optimiser={"learning_rate": 0.01})
trainer = lw.Trainer(model, task, config, seed=0, objective=lw.PrefixesConfig())
while not trainer.finished:
    trainer.train_step()

# %% Within the training length it is right. Beyond, it comes down towards guessing, which is right on one walk in five.
lengths = [10, 40, 160, 640, 2560, 10_240]
points = [lw.Point({"length": length, "distribution": "standard"}, samples=128) for length in lengths]
rows = list(lw.evaluate_points(model, task, points, np.random.default_rng(0)))
shown = [{"length": row.axes["length"], "accuracy": row.value} for row in rows]
for row in shown:
    print(f"length {row['length']:>6,}: {row['accuracy']:.0%} right")
line = alt.Chart(alt.InlineData(shown)).mark_line(point=True)
line.encode(alt.X("length:Q").scale(type="log"), alt.Y("accuracy:Q")).save("1_does_my_gru_extrapolate.svg")
