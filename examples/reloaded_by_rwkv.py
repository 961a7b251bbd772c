"""Logits of the package rwkv on checkpoints that lengthwise gave back, beside those of lengthwise.

``python examples/reloaded_by_rwkv.py FILE.pth...``, with ``pip install rwkv`` (Apache-2.0). Each file is read in a
process of its own, because the package is told in its environment whether a file is RWKV-7.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import torch

from lengthwise.pretrained.checkpoint import Checkpoint

TEXT = Path(__file__).read_bytes()[:200]


def compare(file: Path) -> dict[str, object]:
    checkpoint = Checkpoint(file)
    os.environ.update({"RWKV_JIT_ON": "0"} | ({"RWKV_V7_ON": "1"} if checkpoint.family == "rwkv7" else {}))
    from rwkv.model import RWKV

    # The package adds the end of the name by itself where a file is RWKV-7.
    name = str(file.with_suffix("")) if checkpoint.family == "rwkv7" else str(file)
    theirs, _ = RWKV(model=name, strategy="cpu fp32").forward(list(TEXT), None, full_output=True)
    with torch.no_grad():
        ours = checkpoint.model()(torch.tensor([list(TEXT)])).logits[0]
    found = {"largest_difference": float((ours - theirs).abs().max()), "largest_logit": float(theirs.abs().max())}
    return {"file": file.name, "tokens": len(TEXT), **found, "rwkv": version("rwkv")}


if __name__ == "__main__":
    if len(sys.argv) == 2:
        print(json.dumps(compare(Path(sys.argv[1]))))
    for argument in sys.argv[1:] if len(sys.argv) > 2 else []:
        alone = subprocess.run([sys.executable, __file__, argument], capture_output=True, text=True, check=True)
        print(alone.stdout.splitlines()[-1], flush=True)
