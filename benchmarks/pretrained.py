"""A post-training step against the library's own training step on the same model: ratios within one run, on one thread.

Both read the same tokens, take the same loss at the same positions and end with the same optimiser's step. The
library's step is its forward pass as a user calls it in training, without a cache; ours begins with a passed state and
keeps the final one. The two take turns, who goes first changes from round to round, and medians of processor time are
compared. Run ``python benchmarks/pretrained.py``; it writes results/benchmarks/pretrained.json.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import transformers
from record import Options, write_record
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lengthwise.interventions.passing import StatePassingConfig
from lengthwise.pretrained.families import FAMILIES
from lengthwise.pretrained.loading import tiny_model

SYMBOLS = 256
WIDTH = 128
SLOW = {"mamba", "falcon_mamba", "jamba", "zamba"}
"""Mamba-1: the library takes seconds a step, so fewer rounds are measured."""
OWN_SPREAD = {"rwkv", "xlstm", "recurrent_gemma"}
"""Families without a setting for the spread of their first weights."""

_ATTENTION = {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 256}
_MAMBA2 = {"mamba_n_heads": 8, "mamba_d_state": 64, "mamba_expand": 2, "mamba_chunk_size": 256}
_DELTA = {
    "linear_key_head_dim": 32,
    "linear_value_head_dim": 32,
    "linear_num_key_heads": 4,
    "linear_num_value_heads": 4,
}
_LATENT = {"kv_lora_rank": 64, "qk_rope_head_dim": 16, "v_head_dim": 32, "qk_nope_head_dim": 32}
SIZES: dict[str, dict[str, Any]] = {
    "mamba": {"state_size": 16},
    "falcon_mamba": {"state_size": 16},
    "jamba": _ATTENTION | {"mamba_d_state": 16},
    "zamba": _ATTENTION | {"num_key_value_heads": 4, "mamba_d_state": 16},
    "mamba2": {"head_dim": 32, "num_heads": 8, "n_groups": 1, "state_size": 64, "chunk_size": 256},
    "bamba": _ATTENTION | _MAMBA2,
    "falcon_h1": _ATTENTION | _MAMBA2 | {"mamba_d_ssm": 256},
    "zamba2": {"intermediate_size": 256, "mamba_d_state": 64, "n_mamba_heads": 8, "chunk_size": 256},
    "nemotron_h": _ATTENTION
    | {"head_dim": 32, "ssm_state_size": 64, "mamba_num_heads": 8, "mamba_head_dim": 32}
    | {"n_groups": 1, "chunk_size": 128},
    "granitemoehybrid": _ATTENTION | _MAMBA2 | {"shared_intermediate_size": 256},
    "qwen3_next": _ATTENTION
    | _DELTA
    | {"head_dim": 32, "moe_intermediate_size": 128, "shared_expert_intermediate_size": 128},
    "qwen3_5": _ATTENTION | _DELTA | {"head_dim": 32},
    "olmo_hybrid": {"intermediate_size": 256, "num_attention_heads": 4},
    "kimi_linear": _ATTENTION
    | _LATENT
    | {"num_key_value_heads": 4, "linear_head_dim": 32, "linear_num_heads": 4, "moe_intermediate_size": 128},
    "bailing_hybrid": _ATTENTION | _LATENT | {"num_key_value_heads": 4, "head_dim": 32, "moe_intermediate_size": 128},
    "rwkv": {"context_length": 256},
    "xlstm": {"num_heads": 4, "chunk_size": 64},
    "minimax": _ATTENTION | {"head_dim": 32, "block_size": 256},
    "recurrent_gemma": _ATTENTION | {"num_key_value_heads": 1, "lru_width": 128, "attention_window_size": 2048},
}
"""Two layers, one of each kind where there are two; three in nemotron_h, four in zamba. Chunks, blocks and windows are
the library's defaults."""


def steps(family: str, rows: int) -> dict[str, Callable[[Tensor], None]]:
    """Return a training step of the library and one of post-training, on one model."""
    torch.manual_seed(0)
    shared = {"hidden_size": WIDTH, "vocab_size": SYMBOLS}
    spread = {} if family in OWN_SPREAD else {"initializer_range": 0.02}
    model = tiny_model(family, **shared | spread | SIZES[family]).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4)
    rng = torch.Generator().manual_seed(0)
    passing = StatePassingConfig().build()

    def learn(logits_BTV: Tensor, tokens_BS: Tensor) -> None:
        F.cross_entropy(logits_BTV.flatten(0, 1), tokens_BS[:, 1:].flatten()).backward()

    def library(tokens_BS: Tensor) -> None:
        optimiser.zero_grad()
        learn(model.model(input_ids=tokens_BS[:, :-1], use_cache=False).logits, tokens_BS)
        optimiser.step()

    def post_training(tokens_BS: Tensor) -> None:
        optimiser.zero_grad()
        logits_BTV, state = model(tokens_BS[:, :-1], passing.begin(model, rows, rng))
        learn(logits_BTV, tokens_BS)
        passing.observe(state)
        optimiser.step()

    return {"library": library, "post_training": post_training}


def measure(family: str, rounds: int, rows: int, length: int) -> dict[str, list[float]]:
    """Let both steps take turns; return their seconds, without the first round."""
    both = steps(family, rows)
    rng = torch.Generator().manual_seed(1)
    taken: dict[str, list[float]] = {name: [] for name in both}
    for number in range(rounds + 1):
        tokens_BS = torch.randint(SYMBOLS, (rows, length + 1), generator=rng)
        for name in list(both)[:: 1 if number % 2 else -1]:
            began = time.process_time()
            both[name](tokens_BS)
            taken[name].append(time.process_time() - began)
    return {name: times[1:] for name, times in taken.items()}


def summary(seconds: dict[str, list[float]], tokens: int) -> dict[str, Any]:
    """Return tokens a second of both, the ratio of medians, and the quartiles of the ratios of single rounds."""
    library, ours = (statistics.median(seconds[name]) for name in ("library", "post_training"))
    single = [a / b for a, b in zip(seconds["library"], seconds["post_training"], strict=True)]
    low, _, high = statistics.quantiles(single, n=4) if len(single) > 1 else [single[0]] * 3
    return {
        "library": round(tokens / library),
        "post_training": round(tokens / ours),
        "ratio": round(library / ours, 3),
        "quartiles": [round(low, 3), round(high, 3)],
        "rounds": len(single),
    }


def main() -> None:
    """Measure, print the table, write the record."""
    parser = Options(__file__, __doc__, rounds=1, slow_rounds=1, rows=2, length=16, families=["mamba2"])
    parser.add_argument("--rounds", type=int, default=15, help="steps of each kind")
    parser.add_argument("--slow-rounds", type=int, default=7, help="the same for the families of Mamba-1")
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=list(FAMILIES))
    given = parser.read()
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    found = dict[str, dict[str, Any]]()
    for family in given.families:
        rounds = given.slow_rounds if family in SLOW else given.rounds
        seconds = measure(family, rounds, given.rows, given.length)
        found[family] = row = summary(seconds, given.rows * given.length)
        print(
            f"| {family} | {row['library']:,} | {row['post_training']:,} | {row['ratio']:.2f} "
            f"| {row['quartiles'][0]:.2f} to {row['quartiles'][1]:.2f} | {row['rounds']} |",
            flush=True,
        )
    record: dict[str, Any] = {
        "ratios": {f"{name}: times as fast as the library's step": row["ratio"] for name, row in found.items()},
        "tokens a second": found,
        "sizes": {"width": WIDTH, "rows": given.rows, "length": given.length},
    }
    write_record(given.out, **record, transformers=transformers.__version__)


if __name__ == "__main__":
    main()
