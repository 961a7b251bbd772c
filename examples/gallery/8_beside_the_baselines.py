"""Beside the baselines.

A model of your own in a figure with the fourteen whose rows ship with the package, and whether the difference is
more than chance.
"""

# %%
import tempfile
from pathlib import Path

import lengthwise as lw
from lengthwise.report.page import Report
from lengthwise.runs.shipped import find_results
from lengthwise.runs.table import read_table

# %% Trained and measured as the baselines are, in fewer steps.
folder = Path(tempfile.mkdtemp()) / "mine"
few = ["training.steps=200", "model.mixer={name: gru}"]
recipe = lw.load_recipe("baselines/lstm", few).model_copy(update={"name": "mine/gru-parity"})
lw.train_run(recipe, seed=0, folder=folder)
lw.evaluate_run(folder)

# %% One page, and each figure and table as a file beside it.
report = Report(read_table([folder]), read_table([find_results("baselines")]))
report.write(Path("report"))
for finding in report.findings:
    print(finding)
Path("report/table.svg").replace("8_beside_the_baselines.svg")
