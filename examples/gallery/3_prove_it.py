"""Prove it.

No error on samples is no proof. A unit whose operator is a product of matrices is an automaton once its rows are
rounded, and that automaton is compared with the one of the task: on every string of every length.
"""

# %%
import tempfile
from pathlib import Path

import lengthwise as lw

# %% A shipped recipe, in few steps, in a folder of its own.
folder = Path(tempfile.mkdtemp()) / "run"
recipe = lw.load_recipe("matrix/parity", ["training.steps=200", "training.batch_size=64", "model.width=64"])
lw.train_run(recipe, seed=0, folder=folder)

# %% The verdict, and why.
certificate = lw.certify_run(folder)
print(certificate.verdict)
print(certificate.statement)

# %% Anybody can check the proof again, without trusting the program that found it.
certificate, unchecked = lw.verify_certificate(folder)
print("checked again, but for", "; ".join(unchecked))
