"""Speed and memory of the mixers: ratios within one run, on one thread, beside the fallbacks of transformers.

All models take turns, round by round, and medians of processor time are compared, so that neighbours on the machine
touch all alike. Run ``python benchmarks/mixers.py``; it writes results/benchmarks/mixers.json.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from importlib.metadata import version
from typing import Any

import torch
from record import Options, Rows, write_parts
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.flop_counter import FlopCounterMode
from tree import forget_peak, peak_memory, take_turns

from lengthwise.models import MIXERS
from lengthwise.models.backbone import Backbone, BackboneConfig
from lengthwise.models.base import read

SYMBOLS, WIDTH, LAYERS, BATCH, LENGTH = 256, 128, 4, 8, 256
PIECE = 1_024
"""Tokens read at a time in evaluation, and the length of the short sequences."""
LONGEST = 131_072
EVERY = 8
"""Pieces of the long sequence between two short sequences."""
MATMUL = 1_024
"""Side of the square product that sets the matmul rate."""

MATMUL_BOUND = ("mamba2", "gla", "rwkv6", "deltanet", "gated_deltanet")
"""Those that compute in chunks, with matrix products."""


def model(mixer: str, layers: int = LAYERS) -> Backbone:
    """A language model over bytes around a mixer with its default settings."""
    torch.manual_seed(0)
    settings = {"width": WIDTH, "layers": layers, "mixer": {"name": mixer}}
    return BackboneConfig.model_validate(settings).build(SYMBOLS, SYMBOLS)


class PlainLSTM(nn.Module):
    """The reference: embedding, torch's LSTM, readout, without norms and residuals."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, WIDTH)
        self.recurrence = nn.LSTM(WIDTH, WIDTH, LAYERS, batch_first=True)
        self.readout = nn.Linear(WIDTH, SYMBOLS)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens [B, T] to logits [B, T, C]."""
        return self.readout(self.recurrence(self.embedding(tokens))[0])


def peers() -> dict[str, tuple[nn.Module, str]]:
    """Name -> model of transformers with the sizes of a mixer's defaults, and that mixer."""
    import transformers

    logging.getLogger("transformers").setLevel(logging.ERROR)
    sizes: dict[str, Any] = {"vocab_size": SYMBOLS, "hidden_size": WIDTH, "num_hidden_layers": LAYERS}
    mamba2 = transformers.Mamba2Config(
        **sizes, expand=2, head_dim=64, num_heads=4, state_size=128, n_groups=1, conv_kernel=4
    )
    # The feed-forward layers cannot be left out, so they are one channel wide.
    qwen3_next = transformers.Qwen3NextConfig(
        **sizes,
        layer_types=["linear_attention"] * LAYERS,
        linear_num_key_heads=4,
        linear_num_value_heads=4,
        linear_key_head_dim=32,
        linear_value_head_dim=64,
        linear_conv_kernel_dim=4,
        mlp_only_layers=list(range(LAYERS)),
        intermediate_size=1,
    )
    # Going back through 256 steps of 8 rows takes it ten seconds a layer: one layer, once.
    mamba1 = transformers.MambaConfig(**sizes | {"num_hidden_layers": 1}, expand=2, state_size=16, conv_kernel=4)
    return {
        "transformers Mamba2": (transformers.Mamba2ForCausalLM(mamba2), "mamba2"),
        "transformers Qwen3Next": (transformers.Qwen3NextForCausalLM(qwen3_next), "gated_deltanet"),
        "transformers Mamba, 1 layer": (transformers.MambaForCausalLM(mamba1), "mamba1"),
    }


def train_step(module: nn.Module, logits: Callable[[Tensor], Tensor]) -> Callable[[], None]:
    """Forward and backward over one batch, without the optimiser."""
    tokens = torch.randint(SYMBOLS, (BATCH, LENGTH + 1), generator=torch.Generator().manual_seed(0))

    def step() -> None:
        module.zero_grad()
        F.cross_entropy(logits(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten()).backward()

    return step


def our_step(mixer: str, layers: int = LAYERS) -> Callable[[], None]:
    """A training step of one of our models."""
    ours = model(mixer, layers)
    return train_step(ours, lambda tokens: ours(tokens).logits)


def lstm_flops(x: Any, w_input: Any, w_hidden: Any, *others: Any, **more: Any) -> int:
    """Count those of torch's fused LSTM layer forward, and as much for each of its two products backward."""
    del others, more
    return 2 * x[0] * x[1] * (w_input[0] * w_input[1] + w_hidden[0] * w_hidden[1])


def matmul_flops(step: Callable[[], None]) -> int:
    """Count the floating-point operations of all matrix products that a training step executes."""
    aten = torch.ops.aten
    counted = {
        aten.baddbmm_: lambda _, a, b, **__: 2 * a[0] * a[1] * a[2] * b[2],
        aten.addmm_: lambda _, a, b, **__: 2 * a[0] * a[1] * b[1],
        aten.mkldnn_rnn_layer: lstm_flops,
        aten.mkldnn_rnn_layer_backward: lambda *a, **k: 2 * lstm_flops(*a, **k),
    }
    with FlopCounterMode(display=False, custom_mapping=counted) as counter:
        step()
    return counter.get_total_flops()


def training(rounds: int, mixers: Collection[str]) -> tuple[Rows, dict[str, Any]]:
    """Tokens per second forward and backward, beside the peers and the matmul rate."""
    square = torch.randn(MATMUL, MATMUL)
    out = torch.empty_like(square)
    plain = PlainLSTM()
    calls: dict[str, Callable[[], object]] = {"matmul": lambda: [torch.mm(square, square, out=out) for _ in range(8)]}
    calls |= {mixer: our_step(mixer) for mixer in mixers}
    calls["nn.LSTM"] = train_step(plain, plain)
    beside = {name: (peer, mixer) for name, (peer, mixer) in peers().items() if mixer in mixers}
    slow = "transformers Mamba, 1 layer"
    steps = {
        name: train_step(peer, lambda t, peer=peer: peer(t, use_cache=False).logits)
        for name, (peer, _) in beside.items()
    }
    calls |= {name: step for name, step in steps.items() if name != slow}
    take_turns(calls, 1)
    seconds = take_turns(calls, rounds)
    if slow in steps:
        seconds |= take_turns({"mamba1, 1 layer": our_step("mamba1", 1)}, rounds) | take_turns({slow: steps[slow]}, 1)
    tokens, rate = BATCH * LENGTH, 8 * 2 * MATMUL**3 / seconds["matmul"]
    flops = {mixer: matmul_flops(our_step(mixer)) for mixer in mixers}
    rows: Rows = [
        (f"{name}: tokens a second, both ways", tokens / s, "") for name, s in seconds.items() if name != "matmul"
    ]
    targets = {"mamba2": ">= 2", "gated_deltanet": ">= 2", "mamba1": ">= 40"}
    for name, (_, mixer) in beside.items():
        ours = "mamba1, 1 layer" if name == slow else mixer
        rows.append((f"{ours}: times as fast as {name}", seconds[name] / seconds[ours], targets[mixer]))
    for mixer in mixers:
        fraction = flops[mixer] / seconds[mixer] / rate
        rows.append((f"{mixer}: fraction of the matmul rate", fraction, ">= 0.35" if mixer in MATMUL_BOUND else ""))
    return rows, {"seconds": seconds, "matmul_gflops": rate / 1e9, "matmul_flops": flops}


@torch.inference_mode()
def reading(mixer: str, longest: int) -> dict[str, float]:
    """Seconds a token and megabytes of peak memory, for a sequence of one piece and along one of many.

    The state is carried from piece to piece. Short sequences are read in between, under the same load.
    """
    ours = model(mixer).eval()
    tokens = torch.randint(SYMBOLS, (1, longest), generator=torch.Generator().manual_seed(0))
    short, long = list[float](), list[float]()

    def timed(seconds: list[float], pieces: Iterator[object]) -> None:
        begin = time.process_time()
        next(pieces)
        seconds.append((time.process_time() - begin) / PIECE)

    for _ in range(3):
        timed([], read(ours, tokens, PIECE))
    short_peak = peak_memory() / 1e6
    forget_peak()
    pieces = read(ours, tokens, PIECE)
    for number in range(longest // PIECE):
        if number % EVERY == 0:
            timed(short, read(ours, tokens, PIECE))
        timed(long, pieces)
    return {
        "seconds a token, short": statistics.median(short),
        "seconds a token, last half of the long": statistics.median(long[len(long) // 2 :]),
        "peak MB, short": short_peak,
        "peak MB, long": peak_memory() / 1e6,
    }


def evaluation(mixer: str, longest: int) -> tuple[Rows, dict[str, Any]]:
    """Time a token and peak memory by length, in a process of its own whose memory nothing else has touched."""
    command = [sys.executable, __file__, "--read", mixer, "--longest", str(longest)]
    measured = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    time_ratio = measured["seconds a token, last half of the long"] / measured["seconds a token, short"]
    memory_ratio = measured["peak MB, long"] / measured["peak MB, short"]
    rows: Rows = [
        (f"{mixer}: time a token at {longest:,} over {PIECE:,}", time_ratio, "0.8 to 1.2"),
        (f"{mixer}: peak memory at {longest:,} over {PIECE:,}", memory_ratio, "0.8 to 1.2"),
    ]
    return rows, measured


def main() -> None:
    """Measure everything, print the table, write the record."""
    parser = Options(__file__, __doc__, rounds=1, longest=2 * PIECE, mixers=["mamba2"])
    parser.add_argument("--rounds", type=int, default=7, help="rounds of the training steps")
    parser.add_argument("--longest", type=int, default=LONGEST, help=f"longest sequence, a multiple of {PIECE}")
    parser.add_argument("--mixers", nargs="+", default=list(MIXERS), help="names of mixers")
    parser.add_argument("--read", choices=list(MIXERS), help=argparse.SUPPRESS)
    arguments = parser.read()
    torch.set_num_threads(1)
    if arguments.read:
        print(json.dumps(reading(arguments.read, arguments.longest)))
        return
    parts = {"training": training(arguments.rounds, arguments.mixers)}
    parts |= {f"evaluation of {mixer}": evaluation(mixer, arguments.longest) for mixer in arguments.mixers}
    sizes = {"width": WIDTH, "layers": LAYERS, "batch": BATCH, "length": LENGTH}
    write_parts(arguments.out, parts, transformers=version("transformers"), sizes=sizes)


if __name__ == "__main__":
    main()
