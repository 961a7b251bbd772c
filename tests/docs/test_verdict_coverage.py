import json
import math
from pathlib import Path

import numpy as np
import pytest

from lengthwise.evaluation.losses import PositionLoss
from lengthwise.evaluation.verdict import verdict

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("rows", [32, 128])
def test_the_interval_of_a_verdict_covers_as_often_as_its_record_says(rows: int) -> None:
    record = json.loads((ROOT / "results/benchmarks/verdict_coverage.json").read_text())
    rng, trials, held = np.random.default_rng(1), 200, 0
    for _ in range(trials):
        astray_B = record["shift"] * (rng.random(rows) < record["share"])
        means = np.zeros(rows), record["noise"] * rng.standard_normal(rows) + astray_B
        octaves = [
            PositionLoss(1 + 8 * place, 8 + 8 * place, math.nan, math.nan, rows, tuple(of.tolist()))
            for place, of in enumerate(means)
        ]
        (ratio,) = verdict(octaves, 8, confidence=record["confidence"]).ratios
        held += math.log(ratio.low) <= record["shift"] * record["share"] <= math.log(ratio.high)
    said = record["coverage"][str(rows)]["Student's t"]
    assert abs(held / trials - said) < 4 * math.sqrt(said * (1 - said) / trials)


def test_a_fifth_of_samples_of_32_rows_cannot_know_of_what_goes_astray() -> None:
    record = json.loads((ROOT / "results/benchmarks/verdict_coverage.json").read_text())
    assert max(record["coverage"]["32"].values()) < record["confidence"] - 0.95**32 + 0.05
