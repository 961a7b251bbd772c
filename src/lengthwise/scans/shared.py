"""Sharing of equal subtrees: equal strings have equal values, so each distinct one is computed once.

Over a small alphabet the low levels of a batch of trees hold few distinct nodes: 256 binary strings of 40
symbols have 5,120 pairs at the first level, and 4 distinct ones. Computing those, and letting autograd add up
the gradients of their occurrences, gives the same function for a fraction of the applications.

Shape letters: B batch rows, M nodes of a level, U distinct nodes, V symbols, D... any shape of one element.
"""

from __future__ import annotations

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
    """

    table_UD: Tensor  # noqa: N815
    index_BM: Tensor  # noqa: N815

    def dense(self) -> Tensor:
        """Return the values of all nodes, [B, M, D...]."""
        return self.table_UD[self.index_BM]

    def __getitem__(self, key: tuple[slice, slice | Tensor]) -> Tensor:
        """Return the values of the chosen rows and columns, [B, M, D...]."""
        return self.table_UD[self.index_BM[key]]

    def occurrence(self) -> Tensor:
        """Return for each row of the table one place where it stands, [U] indices into flattened B x M."""
        flat = self.index_BM.flatten()
        places = torch.zeros(len(self.table_UD), dtype=torch.int64, device=flat.device)
        return places.scatter_(0, flat, torch.arange(len(flat), device=flat.device))

    def ascend(self, operator: Operator, carry_first: bool = False) -> SharedNodes:
        """Return the next level of `tree_reduce`, a lone last node carried up.

        Args:
            operator: joins left and right values [1, U, D...].
            carry_first: whether the first node goes up unpaired.
        """
        first = int(carry_first)
        nodes = self.index_BM.shape[1]
        paired = first + (nodes - first) // 2 * 2
        joined = self._join(operator, self.index_BM[:, first:paired])
        carried = torch.cat([self.index_BM[:, :first], self.index_BM[:, paired:]], 1)
        if not carried.shape[1]:
            return joined
        kept, place = _distinct(carried, len(self.table_UD))
        place = place + len(joined.table_UD)
        return SharedNodes(
            torch.cat([joined.table_UD, self.table_UD[kept]]),
            torch.cat([place[:, :first], joined.index_BM, place[:, first:]], 1),
        )

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
        while nodes.index_BM.shape[1]:
            if nodes.index_BM.shape[1] % 2:
                found.insert(0, (level, nodes.table_UD[nodes.index_BM[:, -1:]]))
            if nodes.index_BM.shape[1] == 1:
                break
            nodes, level = nodes.blocks(operator), level + 1
        return found

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
