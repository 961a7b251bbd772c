"""What a checkpoint is asked before it is trusted: that its state is carried, its logits are right, and it comes back.

Shape letters: B batch rows, T tokens, V symbols.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file

from lengthwise.errors import InputError
from lengthwise.evaluation.contract import Finding, check_contract
from lengthwise.pretrained.adapter import HuggingFaceModel
from lengthwise.pretrained.checkpoint import Checkpoint
from lengthwise.pretrained.clauses import FIRST, SECOND
from lengthwise.pretrained.library import check_library

TOLERANCE = 1e-5
"""Largest difference of a logit in float32, where the largest logits are a few units."""


def examine(checkpoint: Checkpoint, expected: Path | None = None, *, seed: int = 0) -> list[Finding]:
    """Return what was found: the clauses of the state contract, and what a format promises.

    Args:
        checkpoint: what is examined.
        expected: safetensors with ``tokens`` [B, T] and the ``logits`` [B, T, V] that its own package gave, or those
            after the last token, [B, V].
        seed: of the tokens that the contract is measured on.

    Raises:
        InputError: it cannot be loaded, or the file holds something else.
    """
    model = checkpoint.model()
    if isinstance(model, HuggingFaceModel):
        findings = [each.patched for each in check_library(model, seed=seed) if each.patched is not None]
    else:
        findings = check_contract(model, model.vocabulary, length=FIRST + SECOND, seed=seed)
    if expected is not None:
        findings.append(_logits(checkpoint, expected))
    return [*findings, _given_back(checkpoint)]


@torch.no_grad()
def _logits(checkpoint: Checkpoint, expected: Path) -> Finding:
    """Compare logits with those of the package that a format comes from."""
    held = load_file(expected)
    if not {"tokens", "logits"} <= held.keys():
        raise InputError(f"{expected} should hold tokens and logits, and holds {', '.join(sorted(held)[:5])}")
    found = checkpoint.model()(held["tokens"].long()).logits
    logits = found if held["logits"].ndim == 3 else found[:, -1]
    if logits.shape != held["logits"].shape:
        raise InputError(f"{expected} holds logits {list(held['logits'].shape)}, and there are {list(logits.shape)}")
    apart = float((logits - held["logits"]).abs().max())
    return Finding("logits as of its own package", apart if math.isfinite(apart) else math.inf, TOLERANCE)


def _given_back(checkpoint: Checkpoint) -> Finding:
    """Write it again with the weights that it was loaded with, and count the files that are not byte for byte alike."""
    folder, files = checkpoint.folder, checkpoint.source.files
    with tempfile.TemporaryDirectory() as there:
        checkpoint.export(checkpoint.model().state_dict(), Path(there))
        other = [file for file in files if (folder / file).read_bytes() != (Path(there) / file).read_bytes()]
    return Finding("given back byte for byte", float(len(other)), 0.0, ", ".join(map(str, other)))
