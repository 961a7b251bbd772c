"""Memory and time a token of generation, which do not grow with it: ratios within one run, on one thread.

Tokens are drawn one at a time from a random model. Between blocks of the long generation an early block is generated
again from the state that was kept there, so that neighbours on the machine touch both sides alike. Run
``python benchmarks/generation.py``; it writes results/benchmarks/generation.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from typing import Any

import psutil
import torch
from record import Options, Rows, write_parts

from lengthwise import generate
from lengthwise.models import MIXERS
from lengthwise.models.backbone import BackboneConfig
from lengthwise.models.base import SequenceModel
from lengthwise.models.generation import Generation
from lengthwise.models.tree.ldru import LDRUConfig

SYMBOLS, WIDTH, LAYERS = 256, 64, 2
BLOCK = 500
EVERY = 4
"""Blocks of the long generation for one of the early ones."""
COUNT = 100_000
GROWING = "ldru"
"""Its state has a vector for each binary digit of the number of tokens."""


def model(name: str) -> SequenceModel:
    """A small language model over bytes around a mixer, or the log-depth unit."""
    torch.manual_seed(0)
    config = (
        LDRUConfig(width=WIDTH) if name == GROWING else BackboneConfig(width=WIDTH, layers=LAYERS, mixer=mixer(name))
    )
    return config.build(SYMBOLS, SYMBOLS).eval()


def mixer(name: str) -> Any:
    """The default settings of a mixer."""
    return MIXERS.load(name)()


def generating(name: str, count: int) -> dict[str, Any]:
    """Seconds a token early and late in a generation, and megabytes of resident memory after each tenth of it."""
    process, draws = psutil.Process(), torch.Generator().manual_seed(0)
    long = generate(model(name), torch.zeros(1, 1, dtype=torch.int64), temperature=1.0, generator=draws)
    early, late, memory = list[float](), list[float](), list[float]()

    def timed(seconds: list[float], generation: Generation) -> None:
        begin = time.process_time()
        generation.take(BLOCK)
        seconds.append((time.process_time() - begin) / BLOCK)

    timed([], long)
    kept = long.unread, long.state
    blocks = count // BLOCK
    for block in range(blocks):
        if block % EVERY == 0:
            timed(early, generate(long.model, *kept, temperature=1.0, generator=draws))
        timed(late, long)
        if (block + 1) % max(1, blocks // 10) == 0:
            memory.append(process.memory_info().rss / 1e6)
    half = [seconds[len(seconds) // 2 :] for seconds in (early, late)]
    return {
        "seconds a token, early": statistics.median(half[0]),
        "seconds a token, late": statistics.median(half[1]),
        "resident MB after each tenth": memory,
        "numbers in the state": long.state.numel(),
    }


def measured(name: str, count: int) -> tuple[Rows, dict[str, Any]]:
    """Ratios of late and early, in a process of its own whose memory nothing else has touched."""
    command = [sys.executable, __file__, "--one", name, "--count", str(count)]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    memory, flat = found["resident MB after each tenth"], "" if name == GROWING else "0.95 to 1.05"
    rows: Rows = [
        (
            f"{name}: time a token up to {count:,} over that at {BLOCK:,}",
            found["seconds a token, late"] / found["seconds a token, early"],
            flat,
        ),
        (f"{name}: resident memory at {count:,} over that at {count // 10:,}", memory[-1] / memory[0], "0.95 to 1.05"),
        (f"{name}: milliseconds a token", 1e3 * found["seconds a token, late"], ""),
    ]
    return rows, found


def main() -> None:
    """Measure every model, print the table, write the record."""
    parser = Options(__file__, __doc__, count=2 * BLOCK, models=["gla", GROWING])
    parser.add_argument("--count", type=int, default=COUNT, help=f"tokens, a multiple of {BLOCK}")
    parser.add_argument(
        "--models", nargs="+", default=["lstm", "mamba2", "gla", GROWING], help=f"names of mixers, or {GROWING}"
    )
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.read()
    torch.set_num_threads(1)
    if arguments.one:
        print(json.dumps(generating(arguments.one, arguments.count)))
        return
    parts = {name: measured(name, arguments.count) for name in arguments.models}
    sizes = {"width": WIDTH, "layers": LAYERS, "symbols": SYMBOLS, "tokens": arguments.count}
    write_parts(arguments.out, parts, sizes=sizes)


if __name__ == "__main__":
    main()
