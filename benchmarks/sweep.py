"""Two workers of a sweep on two cores against one worker: runs finished per second, as a ratio within one run.

The sweep trains and evaluates log-depth units that differ in their seeds alone. Each round works it off anew with one
worker and with two, in alternating order; the server that processes are forked from is warm before the first. The runs
are finished, not merely begun, so that starting processes, locks, checkpoints and the end of the queue all count. Run
``python benchmarks/sweep.py`` on a machine that does nothing else; it writes results/benchmarks/sweep.json.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from record import Options, write_record

from lengthwise.runs.engines.local import LocalEngine
from lengthwise.runs.sweep import Sweep, SweepRun, expand
from lengthwise.runs.sweep_plan import Journal
from lengthwise.runs.sweep_schedule import Schedule

WORKERS = (1, 2)
TARGET = 1.8
"""Times the throughput of one worker that two should have."""


def sweep(runs: int, steps: int) -> list[SweepRun]:
    """Return runs of one recipe that take as long as one another."""
    settings = {
        "name": "benchmark",
        "base": "demo/parity",
        "axes": {"training.steps": [steps]},
        "override": [{"where": {}, "set": {"task.test.longest": 100, "task.test.long_lengths": []}}],
        "seeds": tuple(range(runs)),
    }
    return expand(Sweep.model_validate(settings))


def seconds(runs: list[SweepRun], workers: int) -> float:
    """Return how long it takes to work runs off, from an empty folder."""
    with tempfile.TemporaryDirectory() as folder, LocalEngine(workers) as engine:
        began = time.perf_counter()
        schedule = Schedule(runs, Path(folder), engine, Journal(Path(folder), "benchmark"), ["benchmarks/sweep.py"])
        schedule.work()
        ended = time.perf_counter()
        if schedule.failures:
            raise RuntimeError(schedule.failures[0].message)
        return ended - began


def main() -> None:
    """Measure, print the ratio, write the record."""
    parser = Options(__file__, __doc__, runs=2, steps=2, rounds=1)
    parser.add_argument("--runs", type=int, default=8, help="runs of a sweep, an even number")
    parser.add_argument("--steps", type=int, default=200, help="training steps of a run")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the comparison")
    arguments = parser.read()
    runs = sweep(arguments.runs, arguments.steps)
    seconds(sweep(1, 1), workers=1)
    spent: dict[int, list[float]] = {workers: [] for workers in WORKERS}
    for number in range(arguments.rounds):
        for workers in WORKERS[:: 1 if number % 2 else -1]:
            spent[workers].append(seconds(runs, workers))
    ratios = [one / two for one, two in zip(*(spent[workers] for workers in WORKERS), strict=True)]
    record = {
        "runs": arguments.runs,
        "steps": arguments.steps,
        "seconds with one worker": [round(value, 3) for value in spent[1]],
        "seconds with two workers": [round(value, 3) for value in spent[2]],
        "times the throughput of one worker": round(statistics.median(ratios), 3),
        "target": TARGET,
    }
    print(f"two workers: {statistics.median(ratios):.2f} times the throughput of one; target {TARGET}")
    write_record(arguments.out, **record)


if __name__ == "__main__":
    main()
