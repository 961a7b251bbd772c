import itertools
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from lengthwise.tasks import get_language

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow
"""Every program is a process of its own that imports torch."""


def run_program(*arguments: str, **options: Any) -> str:
    result = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, **options)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_program_in_the_readme_runs_as_it_stands() -> None:
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    shown = run_program("-c", program)
    found = re.findall(r"length +([\d,]+): ([\d.]+)%", shown)
    assert [length for length, _ in found] == ["500", "10,000", "100,000"]
    assert all(float(accuracy) > 99 for _, accuracy in found), shown


def test_an_operator_of_ones_own_learns() -> None:
    shown = run_program(str(ROOT / "examples/own_operator.py"))
    assert "length   40: 100.0% right" in shown


OWN_RECIPE = """
task: parity
model: {name: ldru, width: 8, level: plain, operator: {name: affine}}
training: {steps: 2, batch_size: 4}
evaluation: {longest: 4, samples: 4, long_lengths: [], near_misses: []}
"""


def own_package(folder: Path, group: str) -> dict[str, Any]:
    """Make a package with the entry point that the recipe for a group shows; return the options to run from there."""
    entries = dict(re.findall(r'entry-points\."(.*)"\]\n *(.*)\n', (ROOT / "CONTRIBUTING.md").read_text()))
    metadata = folder / "own-0.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 0.1\n")
    (metadata / "entry_points.txt").write_text(f"[{group}]\n{entries[group].replace(chr(34), '')}\n")
    places = os.pathsep.join(map(str, (folder, ROOT / "examples", ROOT / "src")))
    return {"cwd": folder, "env": os.environ | {"PYTHONPATH": places}}


def test_the_recipe_for_an_operator_holds_for_another_package(tmp_path: Path) -> None:
    outside = own_package(tmp_path, "lengthwise.operators")
    (tmp_path / "own.yaml").write_text(OWN_RECIPE)
    assert "trained" in run_program("-m", "lengthwise.cli.main", "train", "own.yaml", **outside)
    assert "4 lengths" in run_program("-m", "lengthwise.cli.main", "evaluate", "runs", **outside)
    chosen = ("--set", "operator.name=affine", "--set", "level=plain")
    assert "BROKEN" not in run_program("-m", "lengthwise.cli.main", "check", "ldru", *chosen, **outside)


def contributed(name: str) -> str:
    """Return the program in the guide that defines a class."""
    programs = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    (program,) = [program for program in programs if f"class {name}(" in program]
    return textwrap.dedent(program)


def test_the_recipe_for_a_mixer_holds_for_another_package(tmp_path: Path) -> None:
    outside = own_package(tmp_path, "lengthwise.mixers")
    (tmp_path / "leaky_sum.py").write_text(contributed("LeakySumConfig"))
    shown = run_program("-m", "lengthwise.cli.main", "check", "leaky_sum", **outside)
    assert shown.count("holds") == 9
    assert "leaky_sum" in run_program("-m", "lengthwise.cli.main", "list", "models", **outside)


def test_the_recipe_for_a_language_is_one(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    automaton = tmp_path / "odd_ones.yaml"
    automaton.write_text(yaml.safe_dump(yaml.safe_load(text)))
    own, parity = get_language(f"dfa:{automaton}").automaton, get_language("parity").automaton
    words = np.array(list(itertools.product((0, 1), repeat=6)))
    assert (own.label_prefixes(words) == parity.label_prefixes(words)).all()


USE_OF_AN_INTERVENTION = """
import torch
from lengthwise.interventions import INTERVENTIONS
from lengthwise.models.backbone import BackboneConfig

model, rng = BackboneConfig(width=8, layers=1).build(5, 5), torch.Generator().manual_seed(0)
faded = INTERVENTIONS.load("faded")(keep=0.25).build()
final = model(torch.randint(5, (1, 6)), faded.begin(model, 1, rng)).state
faded.observe(final)
assert all(torch.equal(faded.begin(model, 1, rng)[name], 0.25 * entry) for name, entry in final.items())
print(*INTERVENTIONS)
"""


def test_the_recipe_for_an_intervention_holds_for_another_package(tmp_path: Path) -> None:
    outside = own_package(tmp_path, "lengthwise.interventions")
    (tmp_path / "faded.py").write_text(contributed("FadedConfig"))
    assert run_program("-c", USE_OF_AN_INTERVENTION, **outside).split()[-1] == "faded"


def test_state_passing_in_a_loop_of_ones_own() -> None:
    shown = run_program("-W", "error", str(ROOT / "examples/state_passing.py"))
    first, last, whole = (float(number) for number in re.findall(r"perplexity ([\d.]+)", shown))
    assert first > 12
    # Each symbol has four followers, equally likely: 4 is what there is to reach.
    assert 3.7 < last < 4.5
    assert 3.9 < whole < 4.5


def test_a_model_of_ones_own_is_checked_and_repaired() -> None:
    shown = run_program("-W", "error", str(ROOT / "examples/own_model.py"))
    assert "the contract holds: True" in shown
    curves = [{int(end): float(value) for end, value in re.findall(r"(\d+): ([\d.]+)", line)} for line in
              shown.splitlines()[1:]]  # fmt: skip
    zero, passed = (curve[1024] / curve[16] for curve in curves)
    assert zero > 1.05
    assert passed < 0.5 + 0.5 * zero


def test_stacked_layers_of_torch_are_checked_and_pass_their_states() -> None:
    shown = run_program("-W", "error", str(ROOT / "examples/stacked_lstm.py"))
    assert shown.count("the contract holds") == 3
    # Each symbol has two followers, equally likely: 2 is what there is to reach.
    assert all(1.9 < float(value) < 2.3 for value in re.findall(r"perplexity ([\d.]+)", shown))


def test_state_passing_in_transformers_own_trainer() -> None:
    pytest.importorskip("transformers", reason="the extra hf is not installed")
    pytest.importorskip("accelerate", reason="the extra hf is not installed")
    shown = run_program(str(ROOT / "examples/transformers_trainer.py"), env=os.environ | {"HF_HUB_OFFLINE": "1"})
    # Each symbol has three followers, equally likely: 1.10 nats is what there is to reach.
    assert float(shown.split()[-1]) < 1.25


def test_scan_loop_and_pieces_agree() -> None:
    shown = run_program(str(ROOT / "examples/tree_scan.py"))
    differences = [float(number) for number in re.findall(r"\d+e[+-]\d+", shown)]
    assert len(differences) == 3
    assert max(differences) < 1e-13


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.name)
def test_programs_in_the_documentation_run(page: Path) -> None:
    programs = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    if not programs:
        pytest.skip("no program on this page")
    run_program("-W", "error", "-c", "\n".join(programs))
