"""The contract of a model: it maps tokens and a state to logits and a state.

Shape letters: B batch rows, T tokens, C classes or symbols, N prefix lengths.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from lengthwise.errors import InputError
from lengthwise.state import Kind, State


class Output(NamedTuple):
    """What a model returns: logits [B, C] for a string or [B, T, C] for every prefix, and the state after it."""

    logits: Tensor
    state: State


class ModelConfig(BaseModel, ABC):
    """Settings of a model; `build` makes it."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @abstractmethod
    def build(self, vocabulary: int, classes: int) -> SequenceModel:
        """Return a freshly initialised model.

        Args:
            vocabulary: number of different symbols.
            classes: number of classes of the readout.
        """


class SequenceModel(nn.Module, ABC):
    """A model whose state carries all that later tokens need.

    Reading a sequence in one call gives the same outputs, final state and gradients as reading it in pieces.
    """

    @abstractmethod
    def initial_state(self, batch_size: int) -> State:
        """Return the state before any token."""

    @abstractmethod
    def forward(self, tokens: Tensor, state: State | None = None) -> Output:
        """Read tokens [B, T] from a state, by default the initial one."""

    def start_from(self, final: State) -> State:
        """Return the state of a new sequence that starts from the recurrent memory of another.

        Recurrent entries are kept, all others are those of the initial state. A model whose recurrent entries change
        with the position overrides it: the entries and shapes of a start are always the same.

        Args:
            final: a state of this model after any number of tokens.
        """
        start = self.initial_state(final.batch_size)
        kept = {name: final[name] for name, kind in start.kinds.items() if kind is Kind.RECURRENT}
        return State({**start, **kept}, start.kinds)

    def prefix_logits(self, tokens: Tensor, lengths: Sequence[int]) -> Tensor:
        """Return the logits of many prefixes of the same strings, [B, N, C].

        Args:
            tokens: [B, T] symbols.
            lengths: N increasing prefix lengths, each in 1..T.
        """
        state, read, logits = self.initial_state(tokens.shape[0]), 0, []
        for length in lengths:
            output = self(tokens[:, read:length], state)
            state, read = output.state, length
            logits.append(output.logits[:, -1] if output.logits.ndim == 3 else output.logits)
        return torch.stack(logits, 1)

    def string_logits(self, tokens: Tensor, chunk: int = 4096) -> Tensor:
        """Return the logits [B, C] of whole strings, read in chunks with the state carried.

        Args:
            tokens: [B, T] symbols.
            chunk: tokens read at a time.

        Raises:
            InputError: the strings are empty.
        """
        if not tokens.shape[1]:
            raise InputError("an empty string has no logits")
        state, logits = self.initial_state(tokens.shape[0]), torch.empty(0)
        for piece in tokens.split(chunk, 1):
            logits, state = self(piece, state)
        return logits[:, -1] if logits.ndim == 3 else logits

    def anneal(self, progress: float) -> None:
        """Follow a schedule over training; `progress` runs from 0 to 1. Nothing by default."""
        del progress
