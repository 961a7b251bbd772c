"""Snapped units: every node of the tree replaced by its element, so that the unit computes exactly its table.

Shape letters: B batch rows, T tokens, E elements, C classes, V symbols.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import islice, takewhile

import numpy as np
import torch
from torch import Tensor

from lengthwise.certificates.algebra import Algebra, extract_algebra
from lengthwise.certificates.answers import answers_to, first_wrong, least_margin
from lengthwise.certificates.finding import Finding
from lengthwise.certificates.learning import short_strings
from lengthwise.certificates.limits import USUAL, Limits
from lengthwise.certificates.methods import is_row_stochastic
from lengthwise.certificates.product import Counterexample
from lengthwise.certificates.reading import reduce_shared
from lengthwise.certificates.trees import shortest_errors
from lengthwise.errors import InputError
from lengthwise.models.base import StringModel
from lengthwise.models.tree.ldru import LDRU
from lengthwise.tasks.regular.language import Language

READ = 1_000
"""Strings of one length, at most, that the network itself has to get right before its algebra is extracted."""
TRIED = 500
"""Strings that a table gets wrong, at most, on which the network itself is run."""


class SnappedUnit(StringModel):
    """A unit whose nodes hold elements of a finite algebra instead of vectors.

    It reads with the brackets of the unit that the algebra was taken from, looks products up, and answers with what
    that unit reads off the vector of the last element.

    Args:
        algebra: the products and the logits.

    Example:
        >>> from lengthwise.models.tree.ldru import LDRUConfig
        >>> _ = torch.manual_seed(1)
        >>> unit = LDRUConfig(width=4).build(2, 2).eval()
        >>> snapped = SnappedUnit(extract_algebra(unit))
        >>> snapped.string_logits(torch.tensor([[0, 1, 1]])).shape
        torch.Size([1, 2])
    """

    products_EE: Tensor
    leaves_V: Tensor
    logits_EC: Tensor

    def __init__(self, algebra: Algebra) -> None:
        super().__init__()
        table, device = algebra.table, algebra.vectors_ED.device
        self.register_buffer("products_EE", torch.from_numpy(table.with_zero()).to(device))
        # What is free, -1, becomes the zero behind the elements.
        self.register_buffer("leaves_V", torch.from_numpy(table.leaves_V % (table.size + 1)).to(device))
        self.register_buffer("logits_EC", algebra.logits_EC)

    def string_logits(self, tokens: Tensor, chunk: int | None = 4096) -> Tensor:
        """Return the logits [B, C] of whole strings; equal pieces of a chunk are looked up once."""
        if not tokens.shape[1]:
            raise InputError("an empty string has no logits")
        return self._logits(reduce_shared(self._join, self.leaves_V, tokens, chunk or tokens.shape[1]))

    def _join(self, left: Tensor, right: Tensor) -> Tensor:
        return self.products_EE[left, right]

    def _logits(self, elements_B: Tensor) -> Tensor:
        outside_B = elements_B == len(self.logits_EC)
        if outside_B.any():
            row = int(outside_B.nonzero()[0])
            raise InputError(f"string {row} is outside the domain of the task: the algebra has no element for it")
        return self.logits_EC[elements_B]


def certify_snapped(model: StringModel, task: Language, limits: Limits = USUAL) -> Finding:
    """Find out whether a unit is right once each of its nodes is replaced by the vector of its element.

    Args:
        model: a unit with a binary operator, in evaluation mode.
        task: what it was trained on.
        limits: how far the extraction of its algebra may grow.

    Raises:
        InputError: the model is not such a unit, or one of row-stochastic products.
        RunError: its algebra does not close within the limits.
    """
    if not isinstance(model, LDRU):
        raise InputError(f"a {type(model).__name__} has no operator to snap; --method black_box asks it questions")
    if is_row_stochastic(model):
        raise InputError(
            "a unit of row-stochastic products is certified as it is or rounded, which its weights can confirm: "
            "--method raw or rounded"
        )
    failure = first_wrong(short_strings(task.vocabulary, READ), partial(answers_to, model), task)
    if failure is not None:
        return Finding("snapped", task.automaton.minimal(), counterexample=failure)
    algebra = extract_algebra(model, task.automaton, limits)
    return judge(algebra, model, task)


def judge(algebra: Algebra, model: StringModel, task: Language) -> Finding:
    """Decide whether the snapped unit of an algebra is right on its task, at every length."""
    counted = torch.from_numpy(algebra.table.classes_E >= 0).to(algebra.logits_EC.device)
    margins = {"margin": least_margin(algebra.logits_EC[counted]), "astray": float(len(algebra.astray))}
    found = Finding("snapped", task.automaton.minimal(), table=algebra.table, margins=margins)
    if found.verdict != "wrong":
        return found
    errors = shortest_errors(algebra.table, found.task)
    shortest = next(errors)
    alike = [shortest, *islice(takewhile(lambda word: len(word) == len(shortest), errors), TRIED)]
    # Of the shortest best one on which the network itself is wrong as well.
    failing = (word for word in alike if answers_to(model, [word]) != task.label(np.array([word])))
    word = next(failing, shortest)
    answer, truth = int(answers_to(SnappedUnit(algebra), [word])[0]), int(task.label(np.array([word]))[0])
    example = Counterexample(symbols=list(word), answer=answer, truth=truth)
    return replace(found, counterexample=example)
