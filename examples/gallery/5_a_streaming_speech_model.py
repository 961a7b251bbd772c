"""A streaming speech model.

Values in, values out: after each frame of four sensors the next one is asked. The model reads on and on from its
state, as on a device that never starts anew, and must not drift.
"""

# %%
import altair as alt
import torch
from torch import nn

import lengthwise as lw
from lengthwise.tasks.signals import Signals

# %% Any PyTorch model with a state; here a GRU between two linear layers.
torch.manual_seed(0)
task = Signals(size=4, train={"minimum": 32, "maximum": 32})
model = lw.RecurrentModel(nn.Linear(4, 48), nn.GRU(48, 48), nn.Linear(48, 4))
held_out = torch.as_tensor(task.held_out(32, 2048), dtype=torch.float32)

# %% From windows that start anew, then on from the states that these end in.
shown = []
for name, intervention in (("from zero", None), ("then from passed states", lw.StatePassingConfig().build())):
    config = lw.TrainingConfig(steps=400, batch_size=32, optimiser={"learning_rate": 0.003})
    trainer = lw.Trainer(model, task, config, seed=0, intervention=intervention)
    while not trainer.finished:
        trainer.train_step()
    for loss in lw.position_losses(model, held_out, outputs=task.outputs, bins=1):
        shown.append({"training": name, "frame": loss.end, "squared error": loss.mean})
        print(f"{name}, to frame {loss.end:>5,}: {loss.mean:.3f}")

# %%
line = alt.Chart(alt.InlineData(shown)).mark_line(point=True).encode(alt.X("frame:Q").scale(type="log"))
line = line.encode(alt.Y("squared error:Q"), alt.Color("training:N"), alt.StrokeDash("training:N"))
line.save("5_a_streaming_speech_model.svg")
