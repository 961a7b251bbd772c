import gc
import os
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import settings

from lengthwise.runs.recipe import Recipe, load_recipe

settings.register_profile("lengthwise", deadline=None, derandomize=True, print_blob=False)
settings.load_profile("lengthwise")
# What is collected stays to the end: to look through it for garbage again and again is half of the time of collecting.
gc.disable()
torch.set_num_threads(1)
# Tests leave nothing in the home of whoever runs them.
os.environ["LENGTHWISE_CACHE"] = ""

TINY = {
    "task": {
        "name": "regular",
        "language": "parity",
        "mixture": {"standard": 0.5, "near_miss": 0.5},
        "train": {"maximum": 12},
        "test": {
            "longest": 16,
            "samples": 8,
            "long_lengths": [40],
            "long_samples": 4,
            "near_misses": [10],
            "curve_lengths": [12, 20],
            "curve_samples": 4,
        },
    },
    "model": {"name": "ldru", "width": 8, "operator": {"name": "mlp"}, "dropout": 0.1, "noise": 0.1},
    "objective": {"name": "tree", "bracketing": "random"},
    "training": {
        "steps": 24,
        "batch_size": 4,
        "curriculum": {"name": "growing"},
        "checkpoint_every": 5,
        "log_every": 2,
    },
    "evaluation": {"curve_every": 7},
}
"""Every source of randomness that a resumed run must get back is in use."""


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fuzz-budget",
        type=int,
        default=30,
        metavar="N",
        help="Inputs that each fuzzer tries; they are the same always.",
    )


@pytest.fixture
def fuzz_budget(pytestconfig: pytest.Config) -> int:
    """How many inputs a fuzzer tries, each from a seed of its own: 0 to this."""
    return int(pytestconfig.getoption("--fuzz-budget"))


@pytest.fixture
def tiny_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY))
    return path


@pytest.fixture
def tiny(tiny_file: Path) -> Recipe:
    return load_recipe(str(tiny_file))
