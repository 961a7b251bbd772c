"""Readings of a trained unit: the values of its symbols and strings, how they are joined, their classes.

Shape letters: N values, D width, V symbols, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from lengthwise.errors import InputError
from lengthwise.models.base import largest
from lengthwise.models.tree.ldru import LDRU
from lengthwise.scans import OnlineReduction, SharedNodes
from lengthwise.tasks.regular.automaton import Word

Join = Callable[[Tensor, Tensor], Tensor]
"""Joins left and right values [..., D] to [..., D]."""

_ROWS = 16_384
"""Values at a time: bounds the memory, whatever the number of elements."""


class Reading:
    """A unit as a certificate sees it.

    Args:
        join: the operator.
        leaves_VD: [V, D] the value of each symbol.
        readout: maps values [N, D] to logits [N, C].
    """

    def __init__(self, join: Join, leaves_VD: Tensor, readout: Callable[[Tensor], Tensor]) -> None:
        self.leaves_VD = leaves_VD
        self._join, self._readout = join, readout

    @staticmethod
    @torch.no_grad()
    def of(unit: LDRU) -> Reading:
        """Return the reading of a trained unit.

        Raises:
            InputError: the unit joins a lone element with padding, which is no element of its algebra, reads out
                every prefix, or is still in training mode.
        """
        if unit.config.odd != "carry" or unit.config.readout != "root":
            raise InputError(
                "an algebra is extracted from units with odd 'carry' and readout 'root', not "
                f"{unit.config.odd!r} and {unit.config.readout!r}: padding joins values that stand for no string"
            )
        if unit.training:
            raise InputError("a unit in training mode is random; call eval() first")
        if not isinstance(unit.encoder.embedding, nn.Embedding):
            raise InputError("an algebra is extracted from units that read symbols, and this one reads values")
        symbols = torch.arange(unit.encoder.embedding.num_embeddings, device=unit.classifier.weight.device)
        return Reading(unit.join, unit.encoder(symbols), unit.readout)

    @property
    def vocabulary(self) -> int:
        """V, the number of symbols."""
        return len(self.leaves_VD)

    def join(self, left_ND: Tensor, right_ND: Tensor) -> Tensor:
        """Join values [N, D] and [N, D] to [N, D]."""
        pieces = zip(left_ND.split(_ROWS), right_ND.split(_ROWS), strict=True)
        return torch.cat([self._join(left, right) for left, right in pieces])

    def logits(self, values_ND: Tensor) -> Tensor:
        """Return [N, C] what is read off each value."""
        return torch.cat([self._readout(piece) for piece in values_ND.split(_ROWS)])

    def classes(self, values_ND: Tensor) -> Tensor:
        """Return [N] the class of each value."""
        return largest(self.logits(values_ND))

    def values(self, words: Sequence[Word]) -> Tensor:
        """Return the values [N, D] of strings of at least one symbol, with the brackets of `tree_reduce`."""
        places = dict[int, list[int]]()
        for place, word in enumerate(words):
            places.setdefault(len(word), []).append(place)
        values_ND = self.leaves_VD.new_empty(len(words), self.leaves_VD.shape[1])
        for rows in places.values():
            tokens = torch.tensor([words[row] for row in rows], device=self.leaves_VD.device)
            values_ND[rows] = reduce_shared(self._join, self.leaves_VD, tokens, chunk=tokens.shape[1])
        return values_ND


def reduce_shared(join: Join, leaves_V: Tensor, tokens_BT: Tensor, chunk: int) -> Tensor:
    """Return the values [B, ...] of strings with the brackets of `tree_reduce`, equal pieces of a chunk joined once."""
    online = OnlineReduction(join)
    for piece in tokens_BT.split(chunk, 1):
        for level, block in SharedNodes(leaves_V, piece).dyadic_blocks(join):
            online.push(block, level)
    return online.reduced()
