"""Short strings on which a network is wrong, found by reading all of them.

Shape letters: T tokens.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import torch

from lengthwise.certificates.certificate import Counterexample
from lengthwise.models.base import StringModel
from lengthwise.tasks.base import UNLABELLED
from lengthwise.tasks.language import Language

_ROWS = 4_096


@torch.no_grad()
def verify_exhaustively(model: StringModel, task: Language, strings: int) -> tuple[Counterexample | None, int]:
    """Read all strings, the shortest first.

    Args:
        model: the model, in evaluation mode.
        task: what it was trained on.
        strings: the largest number of strings to read.

    Returns:
        The first string on which it is wrong, if there is one, and the length up to which it is right on all.
    """
    device = next(model.parameters()).device
    length, read = 0, 0
    while read + task.vocabulary ** (length + 1) <= strings:
        tokens = np.array(list(product(range(task.vocabulary), repeat=length + 1)))
        read += len(tokens)
        truth = task.label(tokens)
        pieces = torch.from_numpy(tokens).to(device).split(_ROWS)
        answers = torch.cat([model.string_logits(piece).argmax(-1) for piece in pieces]).cpu().numpy()
        wrong = np.flatnonzero((truth != UNLABELLED) & (answers != truth))
        if len(wrong):
            row = int(wrong[0])
            symbols, answer = tokens[row].tolist(), int(answers[row])
            return Counterexample(symbols=symbols, states=[], answer=answer, truth=int(truth[row])), length
        length += 1
    return None, length
