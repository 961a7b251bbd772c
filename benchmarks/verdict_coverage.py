"""Coverage of intervals of a mean where a few rows go astray: Student's t, and two bootstraps, by the number of rows.

Rows scatter by 0.05 nats, and one in twenty goes astray by 2 nats; the interval should hold in 99 of 100 samples, as
each of five does that hold together with 95 %. Run ``python benchmarks/verdict_coverage.py``; it writes
results/benchmarks/verdict_coverage.json and prints the table of docs/diagnostics.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from record import Options, write_record
from scipy.stats import bootstrap

from lengthwise.evaluation.intervals import student_quantile
from lengthwise.evaluation.verdict import unseen_share

ROWS = (32, 64, 128, 256, 512)
SHARE, SHIFT, NOISE, CONFIDENCE = 0.05, 2.0, 0.05, 0.99
RESAMPLES = 1999

Rows = NDArray[np.float64]
Interval = tuple[float, float]


def student(x_B: Rows, rng: np.random.Generator) -> Interval:
    """Return the interval of the verdict."""
    del rng
    half = student_quantile((1 + CONFIDENCE) / 2, len(x_B) - 1) * x_B.std(ddof=1) / math.sqrt(len(x_B))
    return x_B.mean() - half, x_B.mean() + half


def bootstrap_t(x_B: Rows, rng: np.random.Generator) -> Interval:
    """Return the studentised bootstrap interval."""
    drawn = x_B[rng.integers(len(x_B), size=(RESAMPLES, len(x_B)))]
    spread = drawn.std(1, ddof=1)
    t = (drawn.mean(1) - x_B.mean())[spread > 0] / spread[spread > 0]
    low, high = np.quantile(t, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return x_B.mean() - high * x_B.std(ddof=1), x_B.mean() - low * x_B.std(ddof=1)


def bias_corrected(x_B: Rows, rng: np.random.Generator) -> Interval:
    """Return the BCa interval of scipy."""
    settings = {"confidence_level": CONFIDENCE, "n_resamples": RESAMPLES, "method": "BCa"}
    low, high = bootstrap((x_B,), np.mean, random_state=rng, **settings).confidence_interval
    return low, high


METHODS: dict[str, Callable[[Rows, np.random.Generator], Interval]] = {
    "Student's t": student,
    "bootstrap-t": bootstrap_t,
    "BCa": bias_corrected,
}


def covered(rows: int, trials: int) -> dict[str, float]:
    """Return in which fraction of samples the interval of each method holds the mean."""
    rng, held = np.random.default_rng(rows), dict.fromkeys(METHODS, 0)
    for _ in range(trials):
        x_B = NOISE * rng.standard_normal(rows) + SHIFT * (rng.random(rows) < SHARE)
        for name, method in METHODS.items():
            low, high = method(x_B, rng)
            held[name] += low <= SHARE * SHIFT <= high
    return {name: count / trials for name, count in held.items()}


def main() -> None:
    """Measure, print the table, write the record."""
    parser = Options(__file__, __doc__, trials=5, rows=[32])
    parser.add_argument("--trials", type=int, default=2000, help="samples of each number of rows")
    parser.add_argument("--rows", type=int, nargs="+", default=list(ROWS), help="rows of a sample")
    arguments = parser.read()
    found = {rows: covered(rows, arguments.trials) for rows in arguments.rows}
    print(f"| rows | {' | '.join(METHODS)} | samples without one astray | texts that can be missed |")
    print(f"|---|{'---|' * (len(METHODS) + 2)}")
    for rows, shares in found.items():
        cells = [f"{100 * share:.1f} %" for share in shares.values()]
        print(f"| {rows} | {' | '.join(cells)} | {100 * (1 - SHARE) ** rows:.2g} % | {unseen_share(rows):.2g} % |")
    settings = {"share": SHARE, "shift": SHIFT, "noise": NOISE, "confidence": CONFIDENCE, "trials": arguments.trials}
    write_record(arguments.out, **settings, coverage=found)


if __name__ == "__main__":
    main()
