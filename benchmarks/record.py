"""Options and records of the benchmarks: numbers beside the machine, versions and commit they were measured with."""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path
from typing import Any

import torch

from lengthwise.runs.environment import describe_environment

Rows = list[tuple[str, float, str]]
"""What was measured, its value, and what it should be."""


class Options(argparse.ArgumentParser):
    """The options of a benchmark: its own, where the record goes, and a size at which it only shows that it runs.

    Args:
        program: the benchmark's file, which names its record.
        about: its docstring, of which the first line is shown.
        smoke: option -> value at that size; what is given on the command line counts more.
    """

    def __init__(self, program: str, about: str | None, **smoke: Any) -> None:
        super().__init__(description=(about or "").partition("\n")[0])
        self.smoke = smoke
        record = Path(f"results/benchmarks/{Path(program).stem}.json")
        self.add_argument("--out", type=Path, default=record, help="where the record is written")
        self.add_argument("--smoke", action="store_true", help="a few seconds that measure nothing; without a record")

    def read(self) -> argparse.Namespace:
        """Return the options of the command line."""
        if self.parse_known_args()[0].smoke:
            self.set_defaults(out=None, **self.smoke)
        return self.parse_args()


def _processor() -> str:
    """The name of the processor, as far as the system tells."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def write_record(out: Path | None, **measured: Any) -> None:
    """Write what was measured, and where it was, as JSON, if anywhere; the folder is made."""
    if out is None:
        return
    record = describe_environment(seed=0) | {"processor": _processor(), "threads": torch.get_num_threads()} | measured
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def write_parts(out: Path | None, parts: dict[str, tuple[Rows, dict[str, Any]]], **more: Any) -> None:
    """Print the rows of all parts of a benchmark, and write them with their details and more."""
    rows = [row for part, _ in parts.values() for row in part]
    wide = max(len(name) for name, _, _ in rows)
    for name, value, target in rows:
        print(f"{name:<{wide}}  {value:10.3f}  {target}")
    ratios = {name: round(value, 4) for name, value, _ in rows}
    write_record(out, **more, ratios=ratios, details={name: details for name, (_, details) in parts.items()})
