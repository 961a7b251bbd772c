"""Up to which length a soft automaton answers as the rounded one does, from what its rows leak.

The derivation is in the documentation under certificates; the names are those used there.

Shape letters: E edges, S states of the extracted automaton, R rows that the readout sees, K states of a head,
C classes, L labelled states.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lengthwise.certificates.equivalence import Meetings
from lengthwise.certificates.stochastic import UNIT_ROUNDOFF, Doubles, Extracted, SoftAutomaton
from lengthwise.tasks.base import Ints

Number = TypeVar("Number", bound=np.generic)

LONGEST = 2**40
"""No bound is looked for beyond this length."""
PATHS_LIMIT = 128
"""Up to so many states the bound follows the leakiest path; beyond, every symbol counts as the leakiest."""
LEAST = 2.0**-126
"""The least normal number of float32: what falls below may become 0."""


@dataclass(frozen=True)
class LeakageBound:
    """The worst that leaking rows can do to the answers of a unit.

    Args:
        unit: the soft automaton.
        extracted: the automaton of its rounded rows; it is right on every string.
        played: where that automaton is on strings that count.
    """

    unit: SoftAutomaton
    extracted: Extracted
    played: Meetings

    @cached_property
    def leak(self) -> float:
        """The largest leak of a row that a string that counts visits."""
        return float(-np.expm1(-self._costs.max(initial=0.0)))

    @cached_property
    def margin(self) -> float:
        """The least distance between the logit of the right class and the next, over all states, without leaks."""
        return float((self._bias + self._own.sum(1)).min(initial=np.inf))

    @cached_property
    def row_gap(self) -> float:
        """The least distance between the two largest logits of a visited row."""
        return float(self._of_edges(self.unit.gaps).min(initial=np.inf))

    @property
    def exact(self) -> bool:
        """Whether the unit's products are exact in float32: each visited row is one-hot as computed."""
        if self.unit.rounds:
            # A tie within the error of the softmax could be rounded to either side.
            return self.row_gap > 4.0 * self.unit.leaf_error
        return bool(self._of_edges(self.unit.saturated).all())

    @property
    def row_error(self) -> float:
        """Largest relative error that a symbol adds to the sum and the largest entry of a row: softmax and product."""
        return 1.01 * ((self.unit.size + 2) * UNIT_ROUNDOFF + _gamma(self.unit.size))

    @cached_property
    def readout_error(self) -> float:
        """Twice the largest rounding error of a logit, for rows that sum to at most e."""
        terms = self.unit.weight_CRK[0].size + 2
        weights_C = 3.0 * np.abs(self.unit.weight_CRK).max(-1).sum(-1) + np.abs(self.unit.bias_C)
        return float(2.0 * _gamma(terms) * weights_C.max())

    def longest(self, floating: bool) -> int:
        """Return N: on strings of at most N symbols that count, the unit's answer is the task's.

        Args:
            floating: whether the rounding errors of float32 are counted; otherwise arithmetic is exact.

        Returns:
            N, at most `LONGEST`.
        """
        if floating and not self.unit.rounds and self.row_gap <= 4.0 * self.unit.leaf_error:
            return 0
        steps = self._steps
        if steps is None:
            return self._search_uniform(floating)
        powers = [steps]
        while 2 ** len(powers) < LONGEST and len(powers) < 64:
            powers.append(_max_plus(powers[-1], powers[-1]))
        losses_RS = np.full(steps.shape[:2], -np.inf)
        losses_RS[:, self.extracted.automaton.start] = 0.0
        length = 0
        for exponent in reversed(range(len(powers))):
            trial_RS = _max_plus(losses_RS[:, None], powers[exponent])[:, 0]
            if self._holds(trial_RS, length + 2**exponent, floating):
                losses_RS, length = trial_RS, length + 2**exponent
        return length

    def _search_uniform(self, floating: bool) -> int:
        worst_R = self._costs.max(0, initial=0.0)
        length, states = 0, self.extracted.automaton.states
        step = LONGEST
        while step:
            trial_RS = np.repeat(worst_R[:, None] * (length + step), states, 1)
            if self._holds(trial_RS, length + step, floating):
                length += step
            step //= 2
        return min(length, LONGEST)

    def _holds(self, losses_RS: Doubles, length: int, floating: bool) -> bool:
        """Return whether the right class has the largest logit wherever rows have kept at least exp(-loss)."""
        if not len(self._labelled):
            return True
        losses_LR = losses_RS[:, self._labelled[:, 0]].T
        reached_L = np.isfinite(losses_LR).all(1)
        drift = length * self.row_error if floating else 0.0
        if drift > 1.0:
            return False
        kept_LR1 = np.exp(-losses_LR[reached_L] - drift)[..., None]
        own_LRC, worst_LRC = self._own[reached_L], self._worst[reached_L]
        # What is not kept lies where it does most harm; how much there is of it, too, is what does most harm.
        rest_LR1 = np.where(worst_LRC < 0, np.exp(drift), np.exp(-drift)) - kept_LR1
        gaps_LC = self._bias[reached_L] + (kept_LR1 * own_LRC + rest_LR1 * worst_LRC).sum(1)
        lost = self.readout_error + length * self.unit.size**2 * LEAST * self._reach if floating else 0.0
        return bool((gaps_LC > lost).all())

    @cached_property
    def _edges(self) -> Ints:
        """[E, 3] each state, symbol and next state on strings that count."""
        return np.array(sorted(self.played.edges), dtype=np.int64).reshape(-1, 3)

    @cached_property
    def _labelled(self) -> Ints:
        """[L, 2] each state in which a string that counts ends, and its class."""
        return np.array(sorted(self.played.labelled), dtype=np.int64).reshape(-1, 2)

    def _of_edges(self, rows_VHK: NDArray[Number]) -> NDArray[Number]:
        """Return [E, R] the entries of the rows that each edge visits."""
        states, symbols = self._edges[:, 0], self._edges[:, 1]
        return rows_VHK[symbols[:, None], self.unit.heads_R, self.extracted.rows_SR[states]]

    @cached_property
    def _costs(self) -> Doubles:
        """[E, R] what each edge costs each row: -log of the mass that stays."""
        return -np.log1p(-self._of_edges(self.unit.leaks))

    @cached_property
    def _steps(self) -> Doubles | None:
        """[R, S, S] the largest cost of a symbol between two states, 0 for waiting; None where it would be too big."""
        states, rows = self.extracted.rows_SR.shape
        if states > PATHS_LIMIT or states**3 * rows > PATHS_LIMIT**3:
            return None
        steps_RSS = np.full((rows, states, states), -np.inf)
        steps_RSS[:, np.arange(states), np.arange(states)] = 0.0
        for (source, _, target), cost_R in zip(self._edges.tolist(), self._costs, strict=True):
            steps_RSS[:, source, target] = np.maximum(steps_RSS[:, source, target], cost_R)
        return steps_RSS

    @cached_property
    def _differences(self) -> Doubles:
        """[L, R, C, K] the weights of the right class minus those of each class."""
        weight_RCK = self.unit.weight_CRK.transpose(1, 0, 2)
        right_LRK = weight_RCK[:, self._labelled[:, 1]].transpose(1, 0, 2)
        return right_LRK[:, :, None] - weight_RCK

    @cached_property
    def _own(self) -> Doubles:
        """[L, R, C] the differences at the state where each row is."""
        rows_LR = self.extracted.rows_SR[self._labelled[:, 0]]
        return np.take_along_axis(self._differences, rows_LR[:, :, None, None], -1)[..., 0]

    @cached_property
    def _worst(self) -> Doubles:
        """[L, R, C] the differences where leaked mass does the most harm."""
        return self._differences.min(-1)

    @cached_property
    def _bias(self) -> Doubles:
        """[L, C] the differences of biases; infinite for the right class, which does not compete with itself."""
        right_L = self._labelled[:, 1]
        bias_LC = self.unit.bias_C[right_L][:, None] - self.unit.bias_C
        bias_LC[np.arange(len(right_L)), right_L] = np.inf
        return bias_LC

    @cached_property
    def _reach(self) -> float:
        """How much the difference of two logits can change for each unit of error of all features."""
        return float(np.abs(self._differences).max(-1).sum(1).max(initial=0.0))


def _max_plus(one_RIS: Doubles, other_RST: Doubles) -> Doubles:
    """Return the costs of the leakiest paths of two parts: [R, I, S] and [R, S, T] to [R, I, T]."""
    return np.stack([(row_RS[..., None] + other_RST).max(1) for row_RS in one_RIS.transpose(1, 0, 2)], 1)


def _gamma(terms: int) -> float:
    """Return the relative error of a sum of this many products of float32, whatever their order."""
    return terms * UNIT_ROUNDOFF / (1.0 - terms * UNIT_ROUNDOFF)
