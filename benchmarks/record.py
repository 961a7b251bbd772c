"""Options and records of the benchmarks: numbers beside the machine, versions and commit they were measured with."""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any


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


def processor() -> str:
    """The name of the processor, as far as the system tells."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def write_record(out: Path | None, record: Mapping[str, Any]) -> None:
    """Write a record as JSON, if anywhere; its folder is made."""
    if out is None:
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
