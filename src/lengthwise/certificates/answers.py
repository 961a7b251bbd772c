"""Answers of a network to strings: the first of them that is wrong, and how far others are from being given.

Shape letters: B strings, T tokens, N values, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from lengthwise.certificates.finding import LARGEST
from lengthwise.certificates.product import Counterexample
from lengthwise.models.base import StringModel, largest
from lengthwise.tasks.base import IGNORE, Ints
from lengthwise.tasks.regular.language import Language

_ROWS = 4_096


@torch.no_grad()
def answers_to(model: StringModel, tokens_BT: ArrayLike) -> Ints:
    """Return the classes [B] that a model, in evaluation mode, gives strings of one length."""
    device = next((tensor.device for tensor in chain(model.parameters(), model.buffers())), None)
    pieces = torch.as_tensor(np.asarray(tokens_BT), device=device).split(_ROWS)
    return torch.cat([largest(model.string_logits(piece)) for piece in pieces]).cpu().numpy()


def first_wrong(strings: Iterable[Ints], answers: Callable[[Ints], ArrayLike], task: Language) -> Counterexample | None:
    """Return the first string that a model answers wrong; None where there is none.

    Args:
        strings: [B, T] each, strings of one length.
        answers: returns the classes [B] that the model gives them.
        task: what it should say; strings to which it gives no class do not count.
    """
    for tokens_BT in strings:
        answers_B, truth_B = np.asarray(answers(tokens_BT)), task.label(tokens_BT)
        for row in np.flatnonzero((truth_B != IGNORE) & (answers_B != truth_B))[:1]:
            symbols, answer = tokens_BT[row].tolist(), int(answers_B[row])
            return Counterexample(symbols=symbols, answer=answer, truth=int(truth_B[row]), model_answer=answer)
    return None


def least_margin(logits_NC: Tensor) -> float:
    """Return the least difference of the two largest logits of N values; that of one class alone is `LARGEST`."""
    top_N2 = logits_NC.double().sort(-1).values[:, -2:]
    return float((top_N2[:, -1:] - top_N2[:, :-1]).cpu().numpy().min(initial=LARGEST))
