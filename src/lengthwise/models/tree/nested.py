"""The nested unit: the operator of a log-depth unit, joined along the brackets of a string.

Shape letters: B batch rows, T tokens, D width, C classes, V symbols.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from lengthwise.errors import InputError
from lengthwise.models.tree.brackets import find_brackets
from lengthwise.models.tree.level import TreeModel, TreeModelConfig
from lengthwise.scans import Inside, nested_reduce
from lengthwise.settings import Settings
from lengthwise.spaces import Space, Tokens, as_space

Symbol = Annotated[int, Field(ge=0)]


HELD = 2**20
"""Elements of rows that are reduced together: bounds what is held, whatever the length."""


class Given(Settings):
    """Brackets that are told: which symbols open a pair, and which close one."""

    opening: tuple[Symbol, ...] = Field(min_length=1)
    closing: tuple[Symbol, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if both := sorted(set(self.opening) & set(self.closing)):
            raise ValueError(f"symbol {both[0]} cannot both open and close a pair")
        return self


class Found(Settings):
    """Brackets that are found from strings without labels, once before training."""

    strings: int = Field(default=2000, ge=10, le=100_000)
    """How many are looked at."""
    noise: float = Field(default=0.0, ge=0, lt=0.5)
    """The fraction of strings whose brackets may not match."""


class NestedConfig(TreeModelConfig):
    """Settings of a nested unit."""

    name: Literal["nested"] = "nested"
    brackets: Given | Found = Found()
    """Which symbols open and close a pair: told, or found from strings without labels."""
    inside: Inside = "left"
    """Order inside a pair: a left fold, or a balanced tree, whose depth is the logarithm of the number of items."""

    @property
    def told(self) -> str:
        """The brackets, where they are not found."""
        return "brackets told" if isinstance(self.brackets, Given) else ""

    def build(self, inputs: Space | int, outputs: Space | int) -> Nested:
        """Return a freshly initialised unit.

        Raises:
            InputError: it reads vectors, or a bracket is no symbol.
        """
        return Nested(self, as_space(inputs), as_space(outputs))


class Nested(TreeModel):
    """A log-depth unit that never joins across an unmatched bracket.

    The items of a bracket pair, values of inner pairs among them, are joined among themselves, then the pair is one
    item of what is around it: T - 1 joins a string of T symbols, as in the flat unit.

    Args:
        config: the settings.
        inputs: the symbols that it reads.
        outputs: what it answers: C classes, or vectors of C numbers.

    Raises:
        InputError: it reads vectors, or a bracket is no symbol.

    Source: the operator is that of Pert, Alrajeh, Russo 2026; these brackets are ours.

    Example:
        >>> config = NestedConfig(width=8, brackets=Given(opening=(0,), closing=(1,)))
        >>> config.build(3, 2).string_logits(torch.tensor([[0, 2, 0, 2, 1, 1]])).shape
        torch.Size([1, 2])
    """

    turn_V: Tensor

    def __init__(self, config: NestedConfig, inputs: Space, outputs: Space) -> None:
        super().__init__(config, inputs, outputs)
        if not isinstance(inputs, Tokens):
            raise InputError("model 'nested' reads symbols, some of which are brackets; this task gives vectors")
        self.config = config
        self.register_buffer("turn_V", torch.zeros(inputs.size, dtype=torch.int64))
        if isinstance(config.brackets, Given):
            opening, closing = config.brackets.opening, config.brackets.closing
            if wrong := [symbol for symbol in (*opening, *closing) if symbol >= inputs.size]:
                raise InputError(
                    f"bracket {wrong[0]} (model.brackets) is no symbol: this task has those from 0 to {inputs.size - 1}"
                )
            self._turn(opening, closing)

    @property
    def unlabelled(self) -> int:
        """Strings that are looked at before training, without their labels."""
        return max(super().unlabelled, self.config.brackets.strings if isinstance(self.config.brackets, Found) else 0)

    def look(self, strings: Sequence[Tensor]) -> None:
        """Find which symbols are brackets.

        Raises:
            InputError: no symbols open and close pairs.
        """
        super().look(strings)
        if isinstance(self.config.brackets, Found):
            pairs = find_brackets(strings, len(self.turn_V), noise=self.config.brackets.noise)
            self._turn([one for pair in pairs for one in pair.opening], [one for pair in pairs for one in pair.closing])

    def string_logits(self, tokens: Tensor) -> Tensor:
        """Return the logits [B, C] of whole strings [B, T], T at least 1."""
        return self.readout(torch.cat([self.roots(few) for few in tokens.split(max(1, HELD // tokens.shape[1]))]))

    def roots(self, tokens: Tensor) -> Tensor:
        """Return the values [B, D] of whole strings [B, T], T at least 1."""
        symbols, index_BT = torch.unique(tokens, return_inverse=True)
        leaves_BTD = self.leaf_dropout(self.encoder(symbols)[index_BT])
        return nested_reduce(self.join, leaves_BTD, self.turn_V[tokens], self.config.inside)

    def _turn(self, opening: Sequence[int], closing: Sequence[int]) -> None:
        self.turn_V[list(opening)], self.turn_V[list(closing)] = 1, -1
