"""Speed and memory of the log-depth recurrent unit: ratios within one run, on one thread.

Every comparison takes turns, round by round, and reports medians of processor time, so that neighbours on the
machine touch both sides alike. Run ``python benchmarks/tree.py``; it writes results/benchmarks/tree.json.
"""

from __future__ import annotations

import argparse
import gc
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch
from record import Options, Rows, write_parts
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lengthwise.models.tree.ldru import LDRU, LDRUConfig
from lengthwise.scans import OnlineReduction, balanced_rounds, tree_reduce, tree_scan

WIDTH, BATCH, LENGTH = 64, 256, 40
SYMBOL_LENGTHS = (1_000, 10_000, 100_000, 1_000_000)
CHUNK = 4_000
"""Elements pushed at a time; it divides every length, so that each is cut into equal pieces but the shortest."""


def unit(kernel: str = "eager") -> LDRU:
    """A unit as the paper has it, for a binary alphabet."""
    torch.manual_seed(0)
    return LDRUConfig(width=WIDTH, kernel=kernel).build(2, 2)


def take_turns(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Run each call once a round; return the median seconds of processor time of each."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    gc.collect()
    for _ in range(rounds):
        for name, call in calls.items():
            begin = time.process_time()
            call()
            seconds[name].append(time.process_time() - begin)
    return {name: statistics.median(values) for name, values in seconds.items()}


def train_step(module: nn.Module, logits: Callable[[], Tensor], targets: Tensor) -> Callable[[], None]:
    """Forward and backward, without the optimiser."""

    def step() -> None:
        module.zero_grad()
        F.cross_entropy(logits(), targets).backward()

    return step


class Recurrent(nn.Module):
    """The peer: embedding, one recurrent layer of PyTorch, readout of the last step."""

    def __init__(self, layer: type[nn.LSTM] | type[nn.GRU]) -> None:
        super().__init__()
        self.embedding = nn.Embedding(2, WIDTH)
        self.recurrent = layer(WIDTH, WIDTH, batch_first=True)
        self.readout = nn.Linear(WIDTH, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens [B, T] to logits [B, 2]."""
        return self.readout(self.recurrent(self.embedding(tokens))[0][:, -1])


def matmul_flops(level: int) -> int:
    """Of a forward and a backward pass over a batch of trees.

    A level takes 31 products of D x D a node in the model's own terms; the fused kernel merges three of them
    into two. The leaves' feed-forward layer takes 8 a token. Going back costs twice as much as going forward.
    """
    products = level * BATCH * (LENGTH - 1) + 8 * BATCH * LENGTH
    return 3 * 2 * products * WIDTH * WIDTH


def training(rounds: int) -> tuple[Rows, dict[str, Any]]:
    """Forward and backward at width 64, batch 256, length 40, on uniformly random binary strings."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(2, (BATCH, LENGTH), generator=generator)
    targets = torch.randint(2, (BATCH,), generator=generator)
    square = torch.randn(1024, 1024)
    out = torch.empty_like(square)
    calls: dict[str, Callable[[], object]] = {"matmul": lambda: [torch.mm(square, square, out=out) for _ in range(4)]}
    rounds_of_trees = balanced_rounds(LENGTH)
    for kernel in ("eager", "fused"):
        model = unit(kernel)

        def dense(model: LDRU = model) -> Tensor:
            return model.readout(tree_reduce(model.join, model.encoder(tokens)))

        def shared(model: LDRU = model) -> Tensor:
            return model.readout(model.nodes(tokens, rounds_of_trees)[-1].shared.dense()[:, 0])

        calls[f"dense {kernel}"] = train_step(model, dense, targets)
        calls[f"shared {kernel}"] = train_step(model, shared, targets)
    for name, layer in (("lstm", nn.LSTM), ("gru", nn.GRU)):
        peer = Recurrent(layer)
        calls[name] = train_step(peer, lambda peer=peer: peer(tokens), targets)
    seconds = take_turns(calls, rounds)
    rate = 4 * 2 * 1024**3 / seconds["matmul"]
    fractions = {
        "eager": matmul_flops(31) / seconds["dense eager"] / rate,
        "fused": matmul_flops(31) / seconds["dense fused"] / rate,
        "fused, executed products only": matmul_flops(30) / seconds["dense fused"] / rate,
    }
    rows: Rows = [
        (f"training, every node computed, {name}: fraction of the matmul rate", value, ">= 0.75 fused")
        for name, value in fractions.items()
    ]
    for kernel in ("eager", "fused"):
        gain = seconds[f"dense {kernel}"] / seconds[f"shared {kernel}"]
        rows.append((f"training, equal subtrees shared, {kernel}: times faster", gain, ""))
    for name in ("lstm", "gru"):
        for kind in ("dense fused", "shared fused"):
            rows.append((f"training, {kind}: time over nn.{name.upper()}", seconds[kind] / seconds[name], ""))
    return rows, {"seconds": seconds, "matmul_gflops": rate / 1e9, "fractions": fractions}


def scans(rounds: int) -> tuple[Rows, dict[str, Any]]:
    """All prefixes against the root alone."""
    values = torch.randn(8, 1024, WIDTH)
    rows: Rows = []
    record: dict[str, Any] = {}
    for kernel in ("eager", "fused"):
        join = unit(kernel).join

        def both_ways(function: Callable[..., Tensor], join: nn.Module = join) -> Callable[[], None]:
            def step() -> None:
                leaves = values.clone().requires_grad_()
                function(join, leaves).sum().backward()

            return step

        seconds = take_turns({"tree_reduce": both_ways(tree_reduce), "tree_scan": both_ways(tree_scan)}, rounds)
        record[kernel] = seconds
        ratio = seconds["tree_scan"] / seconds["tree_reduce"]
        rows.append((f"tree_scan over tree_reduce, {kernel}, both ways", ratio, "<= 2.2"))
    return rows, record


@torch.inference_mode()
def symbols(longest: int) -> tuple[Rows, dict[str, Any]]:
    """Time a symbol by length, eight strings at a time, with and without sharing of equal substrings."""
    model = unit("fused").eval()
    generator = torch.Generator().manual_seed(0)
    lengths = [length for length in SYMBOL_LENGTHS if length <= longest]
    per_symbol: dict[str, dict[int, float]] = {"dense": {}, "shared": {}}
    for length in lengths:
        tokens = torch.randint(2, (8, length), generator=generator)

        def dense(tokens: Tensor = tokens) -> Tensor:
            online = OnlineReduction(model.join)
            for piece in tokens.split(CHUNK, 1):
                online.push(model.encoder(piece))
            return model.readout(online.reduced())

        calls = {"dense": dense, "shared": lambda tokens=tokens: model.string_logits(tokens)}
        for name, seconds in take_turns(calls, rounds=max(1, 20_000 // length)).items():
            per_symbol[name][length] = seconds / tokens.numel()
    flat = max(per_symbol["dense"].values()) / min(per_symbol["dense"].values())
    rows: Rows = [(f"time a symbol from {lengths[0]:,} to {lengths[-1]:,}: longest over shortest", flat, "<= 1.2")]
    for length in lengths:
        ratio = per_symbol["dense"][length] / per_symbol["shared"][length]
        rows.append((f"evaluation at length {length:,}: times faster with sharing", ratio, ""))
    return rows, {"seconds_a_symbol": per_symbol}


def forget_peak() -> None:
    """Let the peak begin at what is resident now, where the system can; elsewhere imports count as well."""
    counters = Path("/proc/self/clear_refs")
    if counters.exists():
        counters.write_text("5", encoding="utf-8")


def peak_memory() -> int:
    """Return the peak resident memory in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if platform.system() == "Darwin" else 1024)


@torch.inference_mode()
def peak_of_one_evaluation(kind: str, length: int) -> float:
    """Megabytes between the memory of a process that holds the unit and a string, and its peak after evaluation."""
    model = unit("fused").eval()
    tokens = torch.randint(2, (1, length), generator=torch.Generator().manual_seed(0))
    model.string_logits(tokens[:, :100])
    baseline = psutil.Process().memory_info().rss
    forget_peak()
    if kind == "shared":
        model.string_logits(tokens)
    else:
        online = OnlineReduction(model.join)
        for piece in tokens.split(CHUNK, 1):
            online.push(model.encoder(piece))
        model.readout(online.reduced())
    return (peak_memory() - baseline) / 1e6


def memory(longest: int) -> tuple[Rows, dict[str, Any]]:
    """Peak memory of one long evaluation, each in a process of its own."""
    rows: Rows = []
    for kind in ("shared", "dense"):
        command = [sys.executable, __file__, "--peak", kind, "--longest", str(longest)]
        measured = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        rows.append((f"peak memory of {longest:,} symbols, {kind}: MB over the baseline", measured, "< 300"))
    return rows, {name: value for name, value, _ in rows}


def main() -> None:
    """Measure everything, print the table, write the record."""
    parser = Options(__file__, __doc__, rounds=1, longest=SYMBOL_LENGTHS[0])
    parser.add_argument("--rounds", type=int, default=15, help="rounds of each comparison")
    parser.add_argument("--longest", type=int, default=SYMBOL_LENGTHS[-1], help="longest string")
    parser.add_argument("--peak", choices=["shared", "dense"], help=argparse.SUPPRESS)
    arguments = parser.read()
    torch.set_num_threads(1)
    if arguments.peak:
        print(peak_of_one_evaluation(arguments.peak, arguments.longest))
        return
    parts = {
        "training": training(arguments.rounds),
        "scans": scans(arguments.rounds),
        "symbols": symbols(arguments.longest),
        "memory": memory(arguments.longest),
    }
    write_parts(arguments.out, parts)


if __name__ == "__main__":
    main()
