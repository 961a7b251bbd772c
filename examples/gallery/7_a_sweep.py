"""A sweep.

Models by tasks by seeds, on all cores or a cluster. The same command does what is missing, and nothing that is
done.
"""

# %%
import shlex
import subprocess
import sys
from pathlib import Path

# %% A recipe to start from, and axes of changes to it.
Path("operators.yaml").write_text(
    """
makes: a small table of operators
base: demo/parity
axes:
  operator:
    mlp: {}
    sum: {model.operator: {name: sum}, model.kernel: eager}
  task: [parity, even_pairs]
seeds: [0]
""",
    encoding="utf-8",
)


# %% The same commands as in a shell; `--engine ray` instead is a cluster.
def shell(command: str) -> None:
    print("$", command, flush=True)
    subprocess.run([sys.executable, "-m", *shlex.split(command)], check=True)


few = "--set training.steps=150 --set task.test.long_lengths=[1000] --set task.test.near_misses=[]"
shell(f"lengthwise sweep operators.yaml --dry-run {few}")
shell(f"lengthwise sweep operators.yaml {few}")
shell("lengthwise report runs/operators --out report")
Path("report/table.svg").replace("7_a_sweep.svg")
