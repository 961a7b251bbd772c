"""Sharing of equal subtrees: equal strings have equal values, so each distinct one is computed once.

Over a small alphabet the low levels of a batch of trees hold few distinct nodes: 256 binary strings of 40
symbols have 5,120 pairs at the first level, and 4 distinct ones. Computing those, and letting autograd add up
the gradients of their occurrences, gives the same function for a fraction of the applications.

Shape letters: B batch rows, M nodes of a level, U distinct nodes, V symbols, D... any shape of one element.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lengthwise.scans.tree import Operator, join_neighbours


@dataclass(frozen=True)
class SharedNodes:
    """One level of a batch of trees: the distinct values, and which of them stands where.

    Args:
        table_UD: [U, D...] the distinct nodes' values.
        index_BM: [B, M] for each node its row in the table.
        fresh: how many of the table's first rows are new in this round; the others were carried up. All by default.
    """

    table_UD: Tensor
    index_BM: Tensor
    fresh: int | None = None

    @property
    def shape(self) -> torch.Size:
        """Rows and nodes, [B, M]."""
        return self.index_BM.shape

    def dense(self) -> Tensor:
        """Return the values of all nodes, [B, M, D...]."""
        return self.table_UD[self.index_BM]

    def __getitem__(self, key: tuple[slice, slice | Tensor]) -> Tensor:
        """Return the values of the chosen rows and columns, [B, M, D...]."""
        return self.table_UD[self.index_BM[key]]

    def occurrence(self) -> Tensor:
        """Return for each fresh row of the table one place where it stands, indices into flattened B x M."""
        flat = self.index_BM.flatten()
        places = torch.zeros(len(self.table_UD), dtype=torch.int64, device=flat.device)
        return places.scatter_(0, flat, torch.arange(len(flat), device=flat.device))[: self.fresh]

    def join(self, operator: Operator, lefts: Sequence[int]) -> SharedNodes:
        """Return the next round of a tree: the chosen neighbours joined, all others carried up.

        Args:
            operator: joins left and right values [1, U, D...].
            lefts: increasing places of left operands, each joined with the node after it; at least one.

        Returns:
            The next nodes in order. The distinct joined values come first in the table, then those carried.
        """
        pairs_P = torch.as_tensor(lefts, device=self.index_BM.device)
        joined = self._join(operator, self.index_BM[:, torch.stack([pairs_P, pairs_P + 1], 1).flatten()])
        nodes = self.index_BM.shape[1]
        alone = torch.ones(nodes, dtype=torch.bool, device=pairs_P.device)
        alone[pairs_P] = alone[pairs_P + 1] = False
        if not alone.any():
            return joined
        kept, place = _distinct(self.index_BM[:, alone], len(self.table_UD))
        order = torch.argsort(torch.cat([pairs_P, alone.nonzero().flatten()]))
        index_BM = torch.cat([joined.index_BM, place + len(joined.table_UD)], 1)[:, order]
        return SharedNodes(torch.cat([joined.table_UD, self.table_UD[kept]]), index_BM, len(joined.table_UD))

    def blocks(self, operator: Operator) -> SharedNodes:
        """Return the dyadic blocks of the next level; a lone last node is left out."""
        return self._join(operator, self.index_BM[:, : self.index_BM.shape[1] // 2 * 2])

    def dyadic_blocks(self, operator: Operator) -> list[tuple[int, Tensor]]:
        """Return the values that the binary digits of the row's length cut it into, the first in time first.

        Args:
            operator: joins left and right values [1, U, D...].

        Returns:
            (level, [B, 1, D...]) of each block of ``2^level`` elements, ready for `OnlineReduction.push`.
        """
        nodes, level, found = self, 0, list[tuple[int, Tensor]]()
        while nodes.shape[1] > 1:
            if nodes.shape[1] % 2:
                found.insert(0, (level, nodes[:, -1:]))
            nodes, level = nodes.blocks(operator), level + 1
        return [(level, nodes[:, -1:]), *found] if nodes.shape[1] else found

    def _join(self, operator: Operator, index_BM: Tensor) -> SharedNodes:
        distinct = len(self.table_UD)
        keys = index_BM[:, 0::2] * distinct + index_BM[:, 1::2]
        pairs, index = _distinct(keys, distinct * distinct)
        sides = torch.stack([pairs // distinct, pairs % distinct], 1).flatten()
        return SharedNodes(join_neighbours(operator, self.table_UD[sides][None])[0], index)


def _distinct(keys: Tensor, bound: int) -> tuple[Tensor, Tensor]:
    """Return the sorted distinct keys, and each key's place among them; keys lie in 0..bound-1."""
    if bound > 4 * keys.numel():
        return torch.unique(keys, return_inverse=True)
    present = torch.zeros(bound, dtype=torch.bool, device=keys.device)
    present[keys.flatten()] = True
    place = torch.cumsum(present, 0) - 1
    return present.nonzero().flatten(), place[keys]
