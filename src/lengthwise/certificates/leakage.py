"""Leakage bounds: up to which length a soft automaton answers as the rounded one, from what its rows leak.

The derivation is in the documentation under certificates; the names are those used there.

Shape letters: N cells, E edges, L labelled cells, R rows that the readout sees, K states of a head, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lengthwise.certificates.cells import Cells
from lengthwise.certificates.finding import LARGEST, LONGEST
from lengthwise.certificates.stochastic import UNIT_ROUNDOFF, Doubles, SoftAutomaton, gamma
from lengthwise.tasks.base import Ints

PATHS_LIMIT = 128
"""Up to so many cells the bound follows the leakiest path; beyond, every symbol counts as the leakiest."""
LEAST = 2.0**-126
"""The least normal number of float32: what falls below may become 0."""


@dataclass(frozen=True)
class LeakageBound:
    """The worst that leaking rows can do to the answers of a unit.

    Args:
        unit: the soft automaton.
        cells: where its mass may lie without harm.
    """

    unit: SoftAutomaton
    cells: Cells

    @cached_property
    def leak(self) -> float:
        """The largest part of the mass that leaves the cells at one symbol."""
        return float(-np.expm1(-self._costs.max(initial=0.0)))

    @cached_property
    def margin(self) -> float:
        """The least distance between the logit of the right class and the next while all mass is in the cells."""
        return float((self._bias + self._own.sum(1)).min(initial=LARGEST))

    @property
    def row_error(self) -> float:
        """Largest relative error that a symbol adds to the sum and the largest entry of a row: softmax and product."""
        return 1.01 * ((self.unit.size + 2) * UNIT_ROUNDOFF + gamma(self.unit.size))

    @cached_property
    def readout_error(self) -> float:
        """Twice the largest rounding error of a logit, for rows that sum to at most e."""
        terms = self.unit.weight_CRK[0].size + 2
        weights_C = 3.0 * np.abs(self.unit.weight_CRK).max(-1).sum(-1) + np.abs(self.unit.bias_C)
        return float(2.0 * gamma(terms) * weights_C.max())

    def longest(self, floating: bool) -> int:
        """Return N: on strings of at most N symbols that count, the unit's answer is the task's."""
        powers = [self._steps]
        while 2 ** len(powers) < LONGEST:
            powers.append(_max_plus(powers[-1], powers[-1]))
        losses_RN = np.full(self._steps.shape[:2], -np.inf)
        losses_RN[:, self.cells.start % self._steps.shape[1]] = 0.0
        length = 0
        for exponent in reversed(range(len(powers))):
            trial_RN = _max_plus(losses_RN[:, None], powers[exponent])[:, 0]
            if self._holds(trial_RN, length + 2**exponent, floating):
                losses_RN, length = trial_RN, length + 2**exponent
        return length

    def leakiest(self, length: int) -> list[int]:
        """Return the string that counts, of this many symbols, whose rows leak most in all."""
        if not len(self.cells.edges_E3):
            return []
        source_E, symbol_E, target_E = self.cells.edges_E3.T
        cost_E = self._costs.max(-1)
        leaked_N = np.full(len(self.cells.trusted_NRK), -np.inf)
        leaked_N[self.cells.start] = 0.0
        taken = list[Ints]()
        for _ in range(length):
            through_E = leaked_N[source_E] + cost_E
            order_E = np.argsort(through_E, kind="stable")
            # The last of several writes stays: the leakiest edge into each cell.
            edge_N = np.full(len(leaked_N), -1)
            edge_N[target_E[order_E]] = order_E
            leaked_N = np.where(edge_N >= 0, through_E[edge_N], -np.inf)
            if not np.isfinite(leaked_N).any():
                break
            taken.append(edge_N)
        cell = int(leaked_N.argmax())
        symbols: list[int] = []
        for edge_N in reversed(taken):
            edge = int(edge_N[cell])
            symbols.append(int(symbol_E[edge]))
            cell = int(source_E[edge])
        return symbols[::-1]

    def _holds(self, losses_RN: Doubles, length: int, floating: bool) -> bool:
        """Return whether the right class has the largest logit wherever rows have kept at least exp(-loss)."""
        if not len(self.cells.labelled_L2):
            return True
        losses_LR = losses_RN[:, self.cells.labelled_L2[:, 0] % losses_RN.shape[1]].T
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
    def _costs(self) -> Doubles:
        """[E, R] what each edge costs each row: -log of the mass that stays."""
        rows = np.arange(len(self.unit.heads_R))
        costs = np.empty((len(self.cells.edges_E3), len(rows)))
        for cost_R, (source, symbol, target) in zip(costs, self.cells.edges_E3.tolist(), strict=True):
            most_RKK = self.unit.most[symbol, self.unit.heads_R]
            outside_RK = (most_RKK * ~self.cells.trusted_NRK[target][:, None]).sum(-1)
            outside_R = (outside_RK * self.cells.trusted_NRK[source]).max(-1)
            cost_R[:] = -np.log1p(-np.minimum(outside_R, 1.0 - 2.0**-52))
        return costs

    @cached_property
    def _steps(self) -> Doubles:
        """[R, N, N] the largest cost of a symbol between two cells, 0 for waiting; all in one where that is too big."""
        cells, rows = self.cells.trusted_NRK.shape[:2]
        if cells > PATHS_LIMIT or cells**3 * rows > PATHS_LIMIT**3:
            cells = 1
        steps_RNN = np.full((rows, cells, cells), -np.inf)
        steps_RNN[:, np.arange(cells), np.arange(cells)] = 0.0
        for (source, _, target), cost_R in zip(self.cells.edges_E3 % cells, self._costs, strict=True):
            steps_RNN[:, source, target] = np.maximum(steps_RNN[:, source, target], cost_R)
        return steps_RNN

    @cached_property
    def _differences(self) -> Doubles:
        """[L, R, C, K] the weights of the right class minus those of each class."""
        weight_RCK = self.unit.weight_CRK.transpose(1, 0, 2)
        right_LRK = weight_RCK[:, self.cells.labelled_L2[:, 1]].transpose(1, 0, 2)
        return right_LRK[:, :, None] - weight_RCK

    @cached_property
    def _own(self) -> Doubles:
        """[L, R, C] the differences at the state of the cell that is worst for each class."""
        trusted_LRK = self.cells.trusted_NRK[self.cells.labelled_L2[:, 0]]
        return np.where(trusted_LRK[:, :, None], self._differences, np.inf).min(-1)

    @cached_property
    def _worst(self) -> Doubles:
        """[L, R, C] the differences where leaked mass does the most harm."""
        return self._differences.min(-1)

    @cached_property
    def _bias(self) -> Doubles:
        """[L, C] the differences of biases; infinite for the right class, which does not compete with itself."""
        right_L = self.cells.labelled_L2[:, 1]
        bias_LC = self.unit.bias_C[right_L][:, None] - self.unit.bias_C
        bias_LC[np.arange(len(right_L)), right_L] = np.inf
        return bias_LC

    @cached_property
    def _reach(self) -> float:
        """How much the difference of two logits can change for each unit of error of all features."""
        return float(np.abs(self._differences).max(-1).sum(1).max(initial=0.0))


def _max_plus(one_RIM: Doubles, other_RMN: Doubles) -> Doubles:
    """Return the costs of the leakiest paths of two parts: [R, I, M] and [R, M, N] to [R, I, N]."""
    return np.stack([(row_RM[..., None] + other_RMN).max(1) for row_RM in one_RIM.transpose(1, 0, 2)], 1)
