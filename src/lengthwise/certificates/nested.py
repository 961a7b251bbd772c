"""Nested units: their values snapped to a finite algebra, and what that proves at every depth and length.

Shape letters: E elements, N values, D width, V symbols.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from lengthwise.certificates.answers import answers_to, least_margin
from lengthwise.certificates.finding import LARGEST
from lengthwise.certificates.limits import USUAL, Limits
from lengthwise.certificates.pushdown import JOINS, NestedFinding, NestedTask, whole_strings
from lengthwise.certificates.table import FREE, MultiplicationTable
from lengthwise.errors import InputError
from lengthwise.models.base import StringModel, largest
from lengthwise.models.tree.nested import Nested
from lengthwise.tasks.base import IGNORE, Task
from lengthwise.tasks.nesting import Value

RADII = (1e-5, 0.05, 0.1, 0.2, 0.3)
"""Within which values count as one, as parts of the distance between two symbols: the smallest that closes is taken."""
TIMES = 20
"""As many elements as the task has values, at most, where values are told apart by their distance."""
TRIED = 500
"""Strings that a table gets wrong, at most, on which the network itself is run."""


class _TooManyError(Exception):
    """There are more elements than allowed."""


class _Elements:
    """The values of a unit that are told apart, in the order in which they were met.

    Args:
        unit: in evaluation mode.
        radius: a value this near to that of an element counts as it.
        most: elements, at most.
        known_ED: values of elements to begin with; none by default.
    """

    def __init__(self, unit: Nested, radius: float, most: int, known_ED: Tensor | None = None) -> None:
        self.unit, self.radius, self.most = unit, radius, most
        self.products, self.asked = dict[tuple[int, int], int](), 0
        self.spread = 0.0
        """The farthest that a value was from that of its element."""
        leaves_VD = _leaves(unit)
        self.values_ED = leaves_VD[:0] if known_ED is None else known_ED
        self.leaves = self._place(leaves_VD)

    def join(self, pairs: Sequence[tuple[int, int]]) -> list[int]:
        """Return the elements that pairs of elements are joined to."""
        self.asked += len(pairs)
        if self.asked > self.most * JOINS:
            raise _TooManyError
        if new := list(dict.fromkeys(pair for pair in pairs if pair not in self.products)):
            left_N, right_N = torch.tensor(new, device=self.values_ED.device).T
            joined_ND = self.unit.join(self.values_ED[left_N], self.values_ED[right_N])
            self.products.update(zip(new, self._place(joined_ND), strict=True))
        return [self.products[pair] for pair in pairs]

    def table(self) -> MultiplicationTable:
        """Return the joins, those that were never asked for free."""
        size = len(self.values_ED)
        products_EE = np.full((size, size), FREE)
        for pair, element in self.products.items():
            products_EE[pair] = element
        classes_E = largest(self.unit.readout(self.values_ED)).cpu().numpy()
        return MultiplicationTable(products_EE, np.array(self.leaves), classes_E)

    def margins(self, counted: set[int]) -> dict[str, float]:
        """Return how far apart the logits of some elements and the values of all are."""
        margin = least_margin(self.unit.readout(self.values_ED[sorted(counted)]))
        gap = LARGEST
        if len(self.values_ED) > 1:
            gap = float(torch.pdist(self.values_ED).min())
        radius = {"radius": self.radius} if self.radius < LARGEST else {}
        return {"margin": margin, **radius, "spread": self.spread, "gap": gap}

    def _place(self, values_ND: Tensor) -> list[int]:
        """Return the elements of values; those that are far from all others become elements."""
        found, new = [FREE] * len(values_ND), list[Tensor]()
        known = len(self.values_ED)
        if known:
            distances_NE = torch.cdist(values_ND, self.values_ED, compute_mode="donot_use_mm_for_euclid_dist")
            for row, (distance, element) in enumerate(
                zip(*(part.tolist() for part in distances_NE.min(1)), strict=True)
            ):
                if distance <= self.radius:
                    found[row], self.spread = element, max(self.spread, distance)
        for row in [row for row, element in enumerate(found) if element == FREE]:
            if new:
                distance, place = (torch.stack(new) - values_ND[row]).norm(dim=1).min(0)
                if distance <= self.radius:
                    found[row], self.spread = known + int(place), max(self.spread, float(distance))
                    continue
            if known + len(new) >= self.most:
                raise _TooManyError
            found[row] = known + len(new)
            new.append(values_ND[row])
        self.values_ED = torch.cat([self.values_ED, *(value_D[None] for value_D in new)])
        return found


@torch.no_grad()
def certify_nested(model: StringModel, task: Task, limits: Limits = USUAL) -> NestedFinding:
    """Find out whether a nested unit is right at every depth and length once its values are snapped.

    Values within a radius of each other count as one; of several radii the smallest is taken that leaves finitely many
    values. Where none does, or the unit is wrong with it and the network itself is not, values are snapped to the
    nearest of means: those of the joins of shortest strings that the task takes for the same.

    Args:
        model: a nested unit that joins from the left inside a pair, in evaluation mode.
        task: what it was trained on.
        limits: how many values there may be, and how many arguments are proved where a task asks for a bound.

    Raises:
        InputError: the model is not such a unit, or takes other symbols for brackets than the task does.
    """
    if not isinstance(model, Nested):
        raise InputError(f"a {type(model).__name__} has no nested pairs to be proved; --method black_box asks it")
    if model.config.inside != "left":
        raise InputError("pairs are proved where their items are joined from the left: model.inside is 'balanced' here")
    if model.training:
        raise InputError("a unit in training mode is random; call eval() first")
    nested = NestedTask(settings=task.model_dump(mode="json"), arguments=limits.arguments)
    _refuse_other_brackets(model, nested)
    most = limits.elements
    try:
        means_ED = _means(model, nested, most)
    except _TooManyError:
        return NestedFinding(nested, None, {"values": float(most)})
    scale, few, best = _scale(model), min(most, TIMES * len(means_ED)), None
    apart = [(radius * scale, few, None) for radius in RADII]
    for radius, limit, known_ED in [*apart, (LARGEST, most, means_ED)]:
        with suppress(_TooManyError):
            found = _close(_Elements(model, radius, limit, known_ED), nested)
            best = best or found
            if found.counterexample is None or found.counterexample.fails:
                return found
    return best or NestedFinding(nested, None, {"values": float(most)})


def _means(model: Nested, nested: NestedTask, most: int) -> Tensor:
    """Return [E, D] the mean value of all joins of shortest strings that the task takes for the same."""
    nesting, leaves_VD = nested.nesting, _leaves(model)
    values, first_ED = list[Value](), list[Tensor]()
    numbers, sums, met = dict[Value, int](), list[Tensor](), list[int]()

    def number(value: Value, own_D: Tensor) -> int:
        place = numbers.setdefault(value, len(values))
        if place == len(values):
            if place >= most:
                raise _TooManyError
            values.append(value)
            first_ED.append(own_D)
            sums.append(torch.zeros_like(own_D))
            met.append(0)
        sums[place] += own_D
        met[place] += 1
        return place

    def join(pairs: Sequence[tuple[int, int]]) -> list[int]:
        if not pairs:
            return []
        left_ND, right_ND = (torch.stack([first_ED[one] for one in side]) for side in zip(*pairs, strict=True))
        told = [nesting.join(values[left], values[right]) for left, right in pairs]
        return [number(value, own_D) for value, own_D in zip(told, model.join(left_ND, right_ND), strict=True)]

    known = [nesting.leaf(symbol) for symbol in range(nesting.symbols)]
    leaves = [FREE if value is None else number(value, leaves_VD[symbol]) for symbol, value in enumerate(known)]
    for _ in whole_strings(nesting, leaves, join):
        pass
    return torch.stack([total / count for total, count in zip(sums, met, strict=True)])


def _close(elements: _Elements, nested: NestedTask) -> NestedFinding:
    """Return what is found with the values that are told apart."""
    model, nesting = elements.unit, nested.nesting
    pieces = whole_strings(nesting, elements.leaves, elements.join)
    counted = {element for _, element, value in pieces if nesting.answer(value) != IGNORE}
    if not counted:
        raise InputError(f"{nested.task.label} gives no string a class, so that nothing can be right or wrong")
    found = NestedFinding(nested, elements.table(), elements.margins(counted))
    if not found.errors:
        return found
    shown = found.errors[0]
    for error in found.errors[:TRIED]:
        answer = int(answers_to(model, [error.symbols])[0])
        error = error.model_copy(update={"model_answer": answer})
        shown = error if error.symbols == shown.symbols or error.fails else shown
        if error.fails:
            break
    return replace(found, counterexample=shown)


def _scale(model: Nested) -> float:
    """Return the median distance between the values of two symbols, or the size of the value of one."""
    leaves_VD = _leaves(model)
    distances = torch.pdist(leaves_VD) if len(leaves_VD) > 1 else leaves_VD.norm(dim=1)
    return float(distances.median()) or 1.0


def _leaves(model: Nested) -> Tensor:
    """Return [V, D] the values of symbols."""
    return model.encoder(torch.arange(len(model.turn_V), device=model.turn_V.device))


def _refuse_other_brackets(model: Nested, nested: NestedTask) -> None:
    """Refuse a unit that takes other symbols for brackets than its task; those of no string do not matter."""
    nesting, turns = nested.nesting, model.turn_V.tolist()
    for symbol, turn in enumerate(turns):
        if nesting.leaf(symbol) is None:
            continue
        own = (symbol in nesting.opening) - (symbol in nesting.closing)
        if turn != own:
            said = {1: "opens a pair", -1: "closes one", 0: "is no bracket"}
            raise InputError(
                f"symbol {symbol} {said[turn]} for the unit and {said[own]} for {nested.task.label}; a proof needs "
                f"model.brackets: {{opening: {[*nesting.opening]}, closing: {[*nesting.closing]}}}"
            )
