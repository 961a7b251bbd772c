"""Perplexity by position in one pass of 4,096 tokens, by transformers alone.

``python examples/library_alone.py FOLDER...``: passes begin anywhere, at even distances. The text is Python's own
modules which lengthwise holds out: those whose names have the smallest hashes.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
import sysconfig
from pathlib import Path

import torch
from torch.nn import functional as F  # noqa: N812
from transformers import AutoModelForCausalLM, AutoTokenizer

LENGTH, ROWS, HELD_OUT = 4096, 16, 0.1
LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}
SPANS = [(0, 64), (32, 64), (128, 256), (512, 1024), (2048, 4096)]


def held_out() -> list[str]:
    root = Path(sysconfig.get_paths()["stdlib"])
    texts = dict[int, str]()
    for file in sorted(root.rglob("*.py")):
        name = file.relative_to(root)
        place = int.from_bytes(hashlib.blake2b(f"0:{name.as_posix()}".encode(), digest_size=6).digest(), "big")
        if place < HELD_OUT * 2**48 and not LEFT_OUT & set(name.parts):
            texts[place] = file.read_bytes().decode(errors="replace")
    return [texts[place] for place in sorted(texts)]


def measure(folder: str) -> dict[str, float]:
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()
    read = [tokenizer(tokenizer.eos_token + text, add_special_tokens=False)["input_ids"] for text in held_out()]
    tokens = torch.tensor([token for text in read for token in text])
    starts = torch.linspace(0, len(tokens) - LENGTH - 1, ROWS).long()
    rows = torch.stack([tokens[start : start + LENGTH + 1] for start in starts])
    with torch.no_grad():
        logits = [model(input_ids=row[None, :-1], use_cache=False).logits[0] for row in rows]
    losses = torch.stack(
        [F.cross_entropy(one, row[1:], reduction="none") for one, row in zip(logits, rows, strict=True)]
    )
    found = {f"perplexity_{start}_{end}": math.exp(losses[:, start:end].mean()) for start, end in SPANS}
    return {"rows": len(rows), **{name: round(value, 4) for name, value in found.items()}}


if __name__ == "__main__":
    torch.set_num_threads(1)
    for argument in sys.argv[1:]:
        print(json.dumps({"checkpoint": argument, **measure(argument)}), flush=True)
