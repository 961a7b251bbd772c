"""A post-training step against the library's own training step on the same model: ratios within one run, on one thread.

The library's step is a forward pass of transformers with labels and the backward pass; ours is the same with a passed
state before it and the final state kept after it. Both end with the same optimiser's step. The two take turns; medians
of processor time are compared. Run ``python benchmarks/pretrained.py``; it writes results/benchmarks/pretrained.json.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import transformers
from record import processor, write_record
from torch.nn import functional as F  # noqa: N812

from lengthwise.experiments.environment import describe_environment
from lengthwise.interventions.passing import StatePassingConfig
from lengthwise.models.huggingface.loading import tiny_model

SYMBOLS = 256
SIZES = {
    "mamba2": {"head_dim": 32, "num_heads": 8, "n_groups": 1, "state_size": 64, "chunk_size": 64},
    "mamba": {"state_size": 16},
}


def steps(family: str, width: int, layers: int, rows: int, length: int) -> dict[str, Callable[[], None]]:
    """Return a training step of the library and one of post-training, on one model."""
    torch.manual_seed(0)
    sizes = SIZES[family] | {"vocab_size": SYMBOLS, "hidden_size": width, "num_hidden_layers": layers}
    model = tiny_model(family, **sizes, initializer_range=0.02).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4)
    rng = torch.Generator().manual_seed(0)
    passing = StatePassingConfig().build()

    def library() -> None:
        tokens_BT = torch.randint(SYMBOLS, (rows, length), generator=rng)
        optimiser.zero_grad()
        model.model(input_ids=tokens_BT, labels=tokens_BT, use_cache=False).loss.backward()
        optimiser.step()

    def post_training() -> None:
        tokens_BS = torch.randint(SYMBOLS, (rows, length + 1), generator=rng)
        optimiser.zero_grad()
        logits_BTV, state = model(tokens_BS[:, :-1], passing.begin(model, rows, rng))
        F.cross_entropy(logits_BTV.flatten(0, 1), tokens_BS[:, 1:].flatten()).backward()
        passing.observe(state)
        optimiser.step()

    return {"library": library, "post_training": post_training}


def measure(family: str, rounds: int, width: int, layers: int, rows: int, length: int) -> dict[str, float]:
    """Let both steps take turns; return their median seconds, without the first round."""
    taken: dict[str, list[float]] = {}
    both = steps(family, width, layers, rows, length)
    for _ in range(rounds + 1):
        for name, step in both.items():
            began = time.process_time()
            step()
            taken.setdefault(name, []).append(time.process_time() - began)
    return {name: statistics.median(times[1:]) for name, times in taken.items()}


def main() -> None:
    """Measure, print the table, write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3, help="steps of each kind")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--families", nargs="+", default=list(SIZES))
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks/pretrained.json"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    sizes = {name: getattr(given, name) for name in ("width", "layers", "rows", "length")}
    seconds = {family: measure(family, given.rounds, **sizes) for family in given.families}
    ratios = dict[str, float]()
    for family, found in seconds.items():
        ratios[f"{family}: times as fast as the library's step"] = round(found["library"] / found["post_training"], 3)
        tokens = {name: given.rows * given.length / value for name, value in found.items()}
        print(f"{family:<10}" + "".join(f"{name:>16} {value:>9,.0f} tokens/s" for name, value in tokens.items()))
    for name, ratio in ratios.items():
        print(f"{name}: {ratio}")
    record = {"ratios": ratios, "seconds": seconds, "sizes": sizes | {"rounds": given.rounds}}
    record |= {"processor": processor(), "transformers": transformers.__version__, **describe_environment(0)}
    write_record(given.out, record)


if __name__ == "__main__":
    main()
