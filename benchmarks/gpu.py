"""What a GPU makes of it: the same answers as the CPU, and how much faster, in about ten minutes of one device.

Run ``python benchmarks/gpu.py``; it writes results/benchmarks/gpu.json. Every mixer and the log-depth unit are compared
with themselves on the CPU, values and gradients, and timed beside that and beside the kernels of flash-linear-attention
where these are installed. Then fast/parity is trained and a Mamba-2 is trained and repaired. Without a GPU, or with
--smoke, all of it runs on the CPU in little time, which shows that it runs and measures nothing.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import torch
from record import Options, Rows, write_parts
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lengthwise import LDRUConfig
from lengthwise.models import MIXERS
from lengthwise.models.backbone import BackboneConfig
from lengthwise.models.base import SequenceModel
from lengthwise.runs.rows import read_evaluation
from lengthwise.spaces import Tokens

SYMBOLS, WIDTH, LAYERS = 64, 128, 2
AGREE = 2e-3
"""The farthest that answers and gradients may be apart, in parts of the largest: single precision, in another order."""
FLA = {
    "gla": "GatedLinearAttention",
    "deltanet": "DeltaNet",
    "gated_deltanet": "GatedDeltaNet",
    "kimi_delta": "KimiDeltaAttention",
    "rwkv6": "RWKV6Attention",
}
"""Mixer -> the layer of flash-linear-attention whose kernels do the same."""


def made(name: str) -> SequenceModel:
    """Return a model with its first weights, always the same."""
    torch.manual_seed(0)
    if name == "ldru":
        unit = LDRUConfig(width=WIDTH).build(Tokens(SYMBOLS), Tokens(SYMBOLS))
        return unit.eval()
    settings = {"width": WIDTH, "layers": LAYERS, "mixer": {"name": name}}
    backbone = BackboneConfig.model_validate(settings).build(Tokens(SYMBOLS), Tokens(SYMBOLS))
    return backbone.eval()


def step(model: SequenceModel, answers: Tensor, targets: Tensor) -> Tensor:
    """Go forward and backward; return answers and gradients in one row, on the CPU."""
    model.zero_grad()
    F.cross_entropy(answers.flatten(0, -2), targets.flatten()).backward()
    gradients = [one.grad.flatten() for one in model.parameters() if one.grad is not None]
    return torch.cat([answers.detach().flatten(), *gradients]).cpu()


def seconds(device: torch.device, call: Callable[[], object], rounds: int) -> float:
    """Return the median time of a call, until the device is done with it."""
    taken: list[float] = []
    for _ in range(rounds + 1):
        begin = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - begin)
    return median(taken[1:])


def compare(name: str, device: torch.device, rounds: int, batch: int, length: int) -> tuple[Rows, dict[str, Any]]:
    """Return how far one model's answers and gradients are from those of the CPU, and its speed on both."""
    tokens = torch.randint(SYMBOLS, (batch, length + 1), generator=torch.Generator().manual_seed(0))
    found: dict[str, Tensor] = {}
    spent: dict[str, float] = {}
    for where in dict.fromkeys((torch.device("cpu"), device)):
        model, here = made(name).to(where), tokens.to(where)

        def both_ways(model: SequenceModel = model, here: Tensor = here) -> Tensor:
            answers = model(here[:, :-1]).logits
            return step(model, answers, here[:, 1:] if answers.dim() == 3 else here[:, -1])

        found[where.type] = both_ways()
        spent[where.type] = seconds(where, both_ways, rounds)
    apart = max(float((one - found["cpu"]).abs().max() / found["cpu"].abs().max()) for one in found.values())
    rows: Rows = [(f"{name}: farthest from the CPU", apart, f"<= {AGREE}")]
    rows += [(f"{name}: tokens a second on {where}", batch * length / s, "") for where, s in spent.items()]
    rows += [(f"{name}: times as fast as the CPU", spent["cpu"] / spent["cuda"], "")] if "cuda" in spent else []
    if name in FLA and device.type == "cuda" and find_spec("fla"):
        kernel = LAYERS * _seconds_of_fla(FLA[name], device, rounds, batch, length)
        rows.append((f"{name}: time over that of fla's layers alone", spent["cuda"] / kernel, ""))
    return rows, {"seconds": spent}


def _seconds_of_fla(layer: str, device: torch.device, rounds: int, batch: int, length: int) -> float:
    from fla import layers

    theirs = getattr(layers, layer)(hidden_size=WIDTH, num_heads=4, layer_idx=0).to(device, torch.bfloat16)
    x_BTD = torch.randn(batch, length, WIDTH, device=device, dtype=torch.bfloat16, requires_grad=True)
    return seconds(device, lambda: theirs(x_BTD)[0].sum().backward(), rounds)


def command(*words: str) -> float:
    """Run a command of lengthwise; return its seconds.

    Raises:
        CalledProcessError: it failed.
    """
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-m", "lengthwise", *words], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def stories(device: torch.device, small: bool) -> tuple[Rows, dict[str, Any]]:
    """Train fast/parity, and train and repair a Mamba-2; return what they reach and how long they take."""
    on = ("--set", f"device={device.type}")
    few = ("--set", "training.steps=2") if small else ()
    lengths = ("--set", "task.test.longest=42", "--set", "task.test.samples=8") if small else ()
    brief = [f"evaluation.{part}.rows=2" for part in ("perplexity", "remembrance", "state_statistics")] if small else []
    text = [word for setting in brief for word in ("--set", setting)]
    with tempfile.TemporaryDirectory() as temporary:
        runs = ("--runs", temporary)
        trained = command("train", "fast/parity", "--seed", "0", *runs, *on, *few, *lengths)
        unit = Path(temporary, "fast/parity/seed-0")
        command("evaluate", str(unit))
        base = Path(temporary, "text/mamba2/base/seed-0")
        first = command("train", "text/mamba2/base", "--seed", "0", *runs, *on, *few, *text)
        command("diagnose", str(base))
        repaired = command("post-train", str(base), "--steps", "2" if small else "500")
        accuracies = [row.value for row in read_evaluation(unit / "evaluation.jsonl")[1] if row.metric == "accuracy"]
        after = Path(temporary, "text/mamba2/base.state_passing/seed-0")
        ratios = [
            [row.value for row in read_evaluation(run / "evaluation.jsonl")[1] if row.metric == "ratio"][-1]
            for run in (base, after)
        ]
    rows: Rows = [
        ("fast/parity: seconds of training", trained, ""),
        ("fast/parity: lowest accuracy", min(accuracies), "1"),
    ]
    rows += [
        ("Mamba-2: seconds of training", first, ""),
        ("Mamba-2: seconds of the repair, measured twice", repaired, ""),
    ]
    rows += [("Mamba-2: perplexity far beyond T, over that at T", ratios[0], "falls apart")]
    rows += [("Mamba-2: the same after the repair", ratios[1], "1.0")]
    return rows, {"small": small}


def main() -> None:
    """Measure, print one table, and write the record."""
    options = Options(__file__, __doc__, rounds=1, batch=2, length=32)
    options.add_argument("--rounds", type=int, default=10, help="rounds of which the median counts")
    options.add_argument("--batch", type=int, default=32)
    options.add_argument("--length", type=int, default=512)
    chosen = options.read()
    device = torch.device("cuda" if torch.cuda.is_available() and not chosen.smoke else "cpu")
    if device.type == "cpu" and not chosen.smoke:
        print("no GPU here: all of it at smoke size on the CPU, which measures nothing")
        chosen.rounds, chosen.batch, chosen.length, chosen.out = 1, 2, 32, None
    size = (device, chosen.rounds, chosen.batch, chosen.length)
    parts = {name: compare(name, *size) for name in ("ldru", *MIXERS)}
    parts["stories"] = stories(device, device.type == "cpu")
    write_parts(chosen.out, parts, device=torch.cuda.get_device_name() if device.type == "cuda" else "cpu")
    apart = [name for rows, _ in parts.values() for name, value, _ in rows if "farthest" in name and not value <= AGREE]
    if apart:
        raise SystemExit(f"not as on the CPU: {', '.join(apart)}")


if __name__ == "__main__":
    main()
