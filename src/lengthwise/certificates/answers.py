"""Answers of a network to strings, and the first of them that is wrong.

Shape letters: B strings, T tokens.
"""

from __future__ import annotations

from itertools import chain, product

import numpy as np
import torch
from numpy.typing import ArrayLike

from lengthwise.certificates.product import Counterexample
from lengthwise.models.base import StringModel, largest
from lengthwise.tasks.base import IGNORE, Ints
from lengthwise.tasks.regular.language import Language

_ROWS = 4_096
_LONGEST = 200
"""Symbols of strings that are read one and all, at most: of one symbol alone there is one of each length."""


@torch.no_grad()
def answers_to(model: StringModel, tokens_BT: ArrayLike) -> Ints:
    """Return the classes [B] that a model, in evaluation mode, gives strings of one length."""
    device = next((tensor.device for tensor in chain(model.parameters(), model.buffers())), None)
    pieces = torch.as_tensor(np.asarray(tokens_BT), device=device).split(_ROWS)
    return torch.cat([largest(model.string_logits(piece)) for piece in pieces]).cpu().numpy()


def first_wrong(tokens_BT: Ints, answers_B: Ints, truth_B: Ints) -> Counterexample | None:
    """Return the first string that has a class and is given another one; None where there is none."""
    wrong = np.flatnonzero((truth_B != IGNORE) & (answers_B != truth_B))
    if not len(wrong):
        return None
    row = int(wrong[0])
    return its_own(tokens_BT[row].tolist(), int(answers_B[row]), int(truth_B[row]))


def its_own(symbols: list[int], answer: int, truth: int) -> Counterexample:
    """Return a string on which the model itself is wrong."""
    return Counterexample(symbols=symbols, answer=answer, truth=truth, model_answer=answer)


def verify_exhaustively(model: StringModel, task: Language, strings: int) -> tuple[Counterexample | None, int]:
    """Read all strings, the shortest first, and at most so many.

    Returns:
        The first string on which the model is wrong, if there is one, and the length up to which it is right on all.
    """
    failure, length = None, 0
    while failure is None and length < _LONGEST and (strings := strings - task.vocabulary ** (length + 1)) >= 0:
        tokens = np.array(list(product(range(task.vocabulary), repeat=length + 1)))
        failure = first_wrong(tokens, answers_to(model, tokens), task.label(tokens))
        length += failure is None
    return failure, length
