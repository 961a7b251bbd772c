"""The automaton inside a unit whose operator multiplies row-stochastic matrices.

Rounded to one-hot rows the leaf matrices are the moves of deterministic automata side by side, and what the readout
sees of their product are the states that some of these automata have come to. The unit is read from a checkpoint in
numpy, so that a certificate can be checked without torch.

Shape letters: V symbols, H heads, K states of a head, R rows that the readout sees, C classes, S states of the
extracted automaton.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lengthwise.certificates.product import Product
from lengthwise.errors import InputError
from lengthwise.tasks.base import Ints
from lengthwise.tasks.regular.automaton import Automaton

Doubles = NDArray[np.float64]

UNIT_ROUNDOFF = 2.0**-24
"""Of float32, in which units compute."""
SATURATION = 106.0
"""From this difference of logits on, the softmax of float32 gives exactly 0: exp(-104) is below its least number."""
STATES = 100_000
"""Of the automaton with rounded rows, at most."""


@dataclass(frozen=True)
class SoftAutomaton:
    """A unit whose values are products of row-stochastic matrices, read exactly from its tensors.

    Args:
        logits_VHKK: what the softmax of each row is taken of.
        rounds: whether the unit itself rounds every row to one-hot.
        heads_R: the head of each row that the readout sees.
        starts_R: the index of each such row in its matrix: the state from which it moves.
        weight_CRK: the readout's weights.
        bias_C: the readout's biases.
    """

    logits_VHKK: Doubles
    rounds: bool
    heads_R: Ints
    starts_R: Ints
    weight_CRK: Doubles
    bias_C: Doubles

    @property
    def size(self) -> int:
        """K, the states of a head."""
        return self.logits_VHKK.shape[-1]

    @cached_property
    def moves(self) -> Ints:
        """[V, H, K] the state that each state moves to once rows are rounded."""
        return self.logits_VHKK.argmax(-1)

    @cached_property
    def leaves(self) -> Doubles:
        """[V, H, K, K] the softmax of each row; one-hot rows where the unit rounds."""
        if self.rounds:
            return (self.moves[..., None] == np.arange(self.size)).astype(np.float64)
        entries = np.exp(self.logits_VHKK - self.logits_VHKK.max(-1, keepdims=True))
        return entries / entries.sum(-1, keepdims=True)

    @cached_property
    def most(self) -> Doubles:
        """[V, H, K, K] at least what float32 makes of each entry of the leaves."""
        error = 0.0 if self.rounds else self.leaf_error
        return self.leaves * (1.0 + error) / (1.0 - error)

    @cached_property
    def gaps(self) -> Doubles:
        """[V, H, K] the largest logit of each row minus the second largest."""
        if self.size == 1:
            return np.full(self.logits_VHKK.shape[:-1], np.inf)
        top = np.partition(self.logits_VHKK, -2, -1)[..., -2:]
        return top[..., 1] - top[..., 0]

    @property
    def leaf_error(self) -> float:
        """Largest relative error of the softmax in float32 of an entry against the exact one.

        Scaling the logits, subtracting the largest, an exponential exact to 4 units in the last place, a sum of K
        terms and a division.
        """
        largest = float(np.abs(self.logits_VHKK).max())
        return float(np.expm1(UNIT_ROUNDOFF * (5.0 * largest + self.size + 16.0)))

    def scores(self, rows: Ints) -> Doubles:
        """Return the logits [S, C] of states given by their rows [S, R], in exact arithmetic but for the sum."""
        scores_CS = np.repeat(self.bias_C[:, None], len(rows), axis=1)
        for place, row_S in enumerate(rows.T):
            scores_CS += self.weight_CRK[:, place, row_S]
        return scores_CS.T

    def answers(self, symbols: Sequence[int]) -> Ints:
        """Return the class [T] that the unit, in float64, gives each prefix of a string of T symbols."""
        answers = [int(self._logits(rows_RK).argmax()) for rows_RK in self._rows(symbols)]
        return np.array(answers, dtype=np.int64)

    def possible_answers(self, symbols: Sequence[int]) -> set[int]:
        """Return the classes that the unit, in float32, may give a string: several where logits lie close."""
        if not symbols or min(symbols) < 0 or max(symbols) >= len(self.logits_VHKK):
            raise InputError(f"a string needs symbols, each of 0 to {len(self.logits_VHKK) - 1}")
        *_, rows_RK = self._rows(symbols)
        logits_C = self._logits(rows_RK)
        # A symbol adds the errors of an entry of its leaf and of a sum of products; the readout adds those of a sum.
        drift = (
            0.0 if self.rounds else float(np.expm1(len(symbols) * (self.leaf_error + 2 * self.size * UNIT_ROUNDOFF)))
        )
        terms = self.weight_CRK[0].size + 2
        sizes_C = np.einsum("crk,rk->c", np.abs(self.weight_CRK), rows_RK) + np.abs(self.bias_C)
        errors_C = sizes_C * (drift + 2 * terms * UNIT_ROUNDOFF * (1.0 + drift))
        return set(np.flatnonzero(logits_C + errors_C >= (logits_C - errors_C).max()).tolist())

    def _rows(self, symbols: Sequence[int]) -> Iterator[Doubles]:
        """Yield the rows [R, K] that the readout sees of the product after each symbol."""
        leaves_VRKK = self.leaves[:, self.heads_R]
        rows_RK = (self.starts_R[:, None] == np.arange(self.size)).astype(np.float64)
        for symbol in symbols:
            rows_RK = np.einsum("rk,rkj->rj", rows_RK, leaves_VRKK[symbol])
            yield rows_RK

    def _logits(self, rows_RK: Doubles) -> Doubles:
        """Return the logits [C] of what the readout sees."""
        return np.einsum("crk,rk->c", self.weight_CRK, rows_RK) + self.bias_C

    def product(self, task: Automaton, limit: int = STATES) -> Product[tuple[int, ...]]:
        """Return the product of a task and the automaton of the unit with rounded rows.

        The states of that are what the readout can see after some string: the state of each automaton that starts in a
        row the readout reads. Rows that no string visits do not enter.

        Raises:
            InputError: the alphabets differ in size.
        """
        moves_VRK = self.moves[:, self.heads_R]
        if len(moves_VRK) != task.vocabulary:
            raise InputError(f"a unit of {len(moves_VRK)} symbols cannot solve a task over {task.vocabulary} symbols")
        ordered = np.arange(len(self.heads_R))

        def followers(state: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
            return map(tuple, moves_VRK[:, ordered, list(state)].tolist())

        def output(state: tuple[int, ...]) -> int:
            return int(self.scores(np.array([state]))[0].argmax())

        start = tuple(self.starts_R.tolist())
        too_many = "with its rows rounded, the automaton has more than {} states: {}; --states allows more"
        return Product(start, followers, output, task, limit, too_many)


def gamma(terms: int) -> float:
    """Return the relative error of a sum of this many products of float32, whatever their order."""
    return terms * UNIT_ROUNDOFF / (1.0 - terms * UNIT_ROUNDOFF)


def read_unit(tensors: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> SoftAutomaton:
    """Return the soft automaton of a checkpoint.

    Args:
        tensors: of the model by name, such as `lengthwise.certificates.certificate.arrays` returns them.
        settings: the resolved section ``model`` of the recipe.

    Raises:
        InputError: the unit is not a plain product of row-stochastic matrices, or tensors are missing.
    """
    operator = settings.get("operator", {})
    if settings.get("name") != "ldru" or operator.get("name") != "stochastic":
        raise InputError(
            f"only the operator 'stochastic' is proved as it is or rounded, not {operator.get('name')!r}; "
            "--method snapped takes any operator"
        )
    if settings["level"] != "plain":
        raise InputError(
            f"level {settings['level']!r} adds a layer after each product; only 'plain' is proved as it is or rounded, "
            "--method snapped takes any level"
        )
    if settings["odd"] != "carry":
        raise InputError(f"odd {settings['odd']!r} puts other elements between the symbols; only 'carry' can be proved")
    heads = int(operator["heads"])
    embedding_VD = _array(tensors, "encoder.embedding.weight")
    size = round((embedding_VD.shape[1] / heads) ** 0.5)
    if not heads * size**2 == embedding_VD.shape[1] > 0:
        raise InputError(f"{heads} heads do not make up the width {embedding_VD.shape[1]} of the checkpoint")
    # The unit scales its logits in float32; the exact product differs by less than `leaf_error` covers.
    logits = embedding_VD * float(_array(tensors, "join.operator.sharpness"))
    seen = np.array(
        [(head, row) for head in range(heads) for row in range(1 if operator["readout"] == "start" else size)]
    )
    weight_CF = _array(tensors, "classifier.weight")
    return SoftAutomaton(
        logits.reshape(-1, heads, size, size),
        bool(_array(tensors, "join.operator.rounded")),
        seen[:, 0],
        seen[:, 1],
        weight_CF.reshape(len(weight_CF), len(seen), size),
        _array(tensors, "classifier.bias"),
    )


def _array(tensors: Mapping[str, NDArray[Any]], name: str) -> Doubles:
    if name not in tensors:
        raise InputError(f"the checkpoint has no tensor {name!r}; it is not that of a log-depth unit")
    if tensors[name].dtype == np.float16:
        raise InputError(f"tensor {name!r} is of type float16; bounds hold for float32 and float64")
    if not np.isfinite(tensors[name]).all():
        raise InputError(
            f"tensor {name!r} of the checkpoint holds values that are not finite, of which nothing can be proved"
        )
    return tensors[name].astype(np.float64)
