"""The network as it is: whether every cell of its algebra is mapped into a cell, so that no length leaves them.

A cell is a ball around a value of the network; each element of the algebra has one or more. If for all pairs of cells
the operator takes every pair of points into a cell of their product, then by induction over the tree the value of every
string lies in a cell of its element, and is read off right where the readout is constant on each cell.

Shape letters: N pairs, P cells, D width, V symbols, C classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lengthwise.certificates.affine import OUTWARD, image_radius
from lengthwise.certificates.algebra import Budget, extract_algebra
from lengthwise.certificates.answers import verify_exhaustively
from lengthwise.certificates.finding import LARGEST, Finding
from lengthwise.certificates.limits import Limits
from lengthwise.certificates.reading import Reading
from lengthwise.certificates.stochastic import UNIT_ROUNDOFF
from lengthwise.certificates.table import FREE, MultiplicationTable
from lengthwise.errors import InputError
from lengthwise.models.tree.ldru import LDRU
from lengthwise.models.tree.operators import MLPOperator
from lengthwise.tasks.base import IGNORE, Ints
from lengthwise.tasks.regular.language import Language

_PAIRS = 256
"""Pairs bounded at a time."""
_SAME = 1e-3
"""Values so near to a centre need no cell of their own."""


@dataclass(frozen=True)
class CellBudget:
    """How much is tried before the bound counts as open.

    Args:
        cells: the largest number of cells.
        steps: the largest number of iterations.
        strings: so many strings, at most, are read to find the length that was verified exhaustively.
    """

    cells: int = 16
    steps: int = 12
    strings: int = 40_000


@dataclass(frozen=True)
class Cells:
    """Balls around values, in float64.

    Args:
        centres_PD: [P, D] the values; those of the symbols come first.
        elements_P: [P] the element that each belongs to.
        radii_P: [P] the radii.
    """

    centres_PD: Tensor
    elements_P: Ints
    radii_P: Tensor


@dataclass(frozen=True)
class Closure:
    """What bounding the cells found.

    Args:
        cells: the cells at the end.
        closed: whether every pair of cells is mapped into a cell, and each is read off right as a whole.
        depth: trees of so many levels are right by the bound, whatever their brackets.
        margin: the least difference of logits, over all cells, between the right class and another.
    """

    cells: Cells
    closed: bool
    depth: int
    margin: float


@torch.no_grad()
def bound_cells(unit: LDRU, table: MultiplicationTable, budget: CellBudget | None = None) -> Closure:
    """Look for cells that the network maps into one another.

    Radii grow from zero: after k steps they hold the values of all trees of k levels. Once they hardly grow, a little
    larger ones are tried as a closed set.
    """
    if not isinstance(unit.join.operator, MLPOperator) or unit.join.plain:
        raise InputError(
            "cells are bounded for residual levels with the operator 'mlp', not for "
            f"{type(unit.join.operator).__name__}; --method snapped takes any operator"
        )
    limits = budget or CellBudget()
    cells = _cover(unit, table, limits.cells)
    pairs_3N = _targets(unit, table, cells)
    depth, margin = 0, _margin(unit, table, cells)
    for _ in range(limits.steps):
        if not margin > 0:
            return Closure(cells, False, max(depth - 1, 0), margin)
        grown = _grow(unit, cells, pairs_3N)
        if not bool(torch.isfinite(grown.radii_P).all()):
            return Closure(cells, False, depth, margin)
        trial = Cells(cells.centres_PD, cells.elements_P, grown.radii_P * 1.1 + 1e-6)
        again = _grow(unit, trial, pairs_3N)
        if bool((again.radii_P <= trial.radii_P).all()) and _margin(unit, table, trial) > 0:
            return Closure(trial, True, depth, _margin(unit, table, trial))
        cells, depth = grown, depth + 1
        margin = _margin(unit, table, cells)
    return Closure(cells, False, depth if margin > 0 else depth - 1, margin)


def certify_bounded(
    model: LDRU, task: Language, limits: Limits | None = None, budget: CellBudget | None = None
) -> Finding:
    """Find out whether the network is right as it is: at every length, or up to one."""
    trials, goal = budget or CellBudget(), task.automaton.minimal()
    failure, length = verify_exhaustively(model, task, trials.strings)
    if failure is not None:
        return Finding("raw", goal, counterexample=failure)
    algebra = extract_algebra(model, task.automaton, limits and limits.within(Budget()))
    closure = bound_cells(model, algebra.table, trials)
    radius, cells = float(closure.cells.radii_P.max()), float(len(closure.cells.elements_P))
    margins = {"margin": closure.margin, "cells": cells}
    if math.isfinite(radius):
        margins["radius"] = radius
    found = Finding("raw", goal, table=algebra.table, margins=margins)
    found = replace(found, counterexample=found.difference)
    if closure.closed and algebra.table.homomorphism(goal) is not None:
        return found
    return replace(found, length=length or None, margins=margins | {"levels": closure.depth + 1.0})


def _cover(unit: LDRU, table: MultiplicationTable, limit: int) -> Cells:
    """Return centres so that products of centres are as near to one of their element as the limit allows.

    The centres are values of the network. At each step the product that is farthest from all centres of its element
    becomes one.
    """
    leaves = Reading.of(unit).leaves_VD
    kept = torch.from_numpy(table.leaves_V != FREE)
    centres, elements = leaves[kept], table.leaves_V[table.leaves_V != FREE]
    while True:
        _, values, owners, distances_NP = _products(unit, table, centres, elements)
        near = distances_NP.min(1).values
        farthest = int(near.argmax())
        enough = len(centres) >= limit and bool(torch.isfinite(near).all())
        if enough or float(near[farthest]) <= _SAME:
            break
        centres = torch.cat([centres, values[farthest : farthest + 1]])
        elements = np.append(elements, owners[farthest])
    return Cells(centres.double(), elements, centres.new_zeros(len(centres), dtype=torch.float64))


def _products(
    unit: LDRU, table: MultiplicationTable, centres: Tensor, elements: Ints
) -> tuple[Tensor, Tensor, Ints, Tensor]:
    """Join all centres that can stand side by side.

    Returns:
        [2, N] the pairs, [N, D] their products, [N] the elements of these, and [N, P] the distances of the products
        from the centres of their own elements; infinite from the others.
    """
    left, right = np.nonzero(table.products_EE[np.ix_(elements, elements)] != FREE)
    pairs_2N = torch.from_numpy(np.stack([left, right]))
    values = Reading.of(unit).join(centres[pairs_2N[0]], centres[pairs_2N[1]])
    owners = table.products_EE[elements[left], elements[right]]
    apart = torch.from_numpy(owners[:, None] != elements).to(values.device)
    return pairs_2N, values, owners, torch.cdist(values, centres).masked_fill(apart, torch.inf)


def _targets(unit: LDRU, table: MultiplicationTable, cells: Cells) -> Tensor:
    """Return [3, N] the pairs of cells that can stand side by side and the cell in which their product should lie."""
    centres = cells.centres_PD.to(unit.classifier.weight.dtype)
    pairs_2N, _, _, distances_NP = _products(unit, table, centres, cells.elements_P)
    return torch.cat([pairs_2N, distances_NP.argmin(1).cpu()[None]])


def _grow(unit: LDRU, cells: Cells, pairs_3N: Tensor) -> Cells:
    """Return the cells with radii that hold all products of the given ones, and the symbols' values."""
    radii = torch.full_like(cells.radii_P, OUTWARD)
    for left, right, target in (piece.unbind() for piece in pairs_3N.split(_PAIRS, 1)):
        bound = image_radius(
            unit.join,
            cells.centres_PD[left],
            cells.radii_P[left],
            cells.centres_PD[right],
            cells.radii_P[right],
            cells.centres_PD[target],
        )
        radii = radii.scatter_reduce(0, target.to(radii.device), bound, "amax")
    return Cells(cells.centres_PD, cells.elements_P, radii)


def _margin(unit: LDRU, table: MultiplicationTable, cells: Cells) -> float:
    """Return the least difference between the logit of the right class and another, over all points of all cells."""
    weight, bias = unit.classifier.weight.double(), unit.classifier.bias.double()
    classes = torch.from_numpy(table.classes_E[cells.elements_P])
    counted = classes != IGNORE
    centres, radii, classes = cells.centres_PD[counted], cells.radii_P[counted], classes[counted]
    apart_PCD = weight[classes][:, None] - weight
    gap_PC = (apart_PCD @ centres[..., None])[..., 0] + bias[classes][:, None] - bias
    size_PC = (centres.norm(dim=1) + radii)[:, None] * (weight.norm(dim=1).max() * 2) + 2 * bias.abs().max()
    allowance_PC = 4 * (weight.shape[1] + 2) * UNIT_ROUNDOFF * size_PC
    least_PC = gap_PC - apart_PCD.norm(dim=-1) * radii[:, None] - allowance_PC
    least_PC = least_PC.scatter(1, classes[:, None], torch.inf)
    return float(least_PC.cpu().numpy().min(initial=LARGEST))
