"""Recurrent mixers over torch's own kernels: Elman's network, the gated recurrent unit, long short-term memory.

Shape letters: B batch rows, T tokens, D width, H hidden size.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from lengthwise.models.mixers.base import Mixer, MixerConfig
from lengthwise.state import State


class RecurrentConfig(MixerConfig):
    """Settings that these mixers share."""

    hidden_size: int = Field(default=128, ge=1)
    """H, the size of the state."""


class ElmanConfig(RecurrentConfig):
    """Settings of Elman's network.

    Source: Elman 1990.
    """

    name: Literal["elman"] = "elman"
    nonlinearity: Literal["tanh", "relu"] = "tanh"
    """What the new state goes through."""

    def build(self, width: int) -> TorchRecurrence:
        """Return a freshly initialised mixer."""
        layer = nn.RNN(width, self.hidden_size, nonlinearity=self.nonlinearity, batch_first=True)
        return TorchRecurrence(layer, width)


class GatedConfig(RecurrentConfig):
    """Settings that the gated mixers share."""

    longest_memory: int | None = Field(default=None, ge=2)
    """The longest time in tokens that a unit should remember at first: times are spread evenly up to it.

    Chrono initialisation (Tallec and Ollivier 2018, section 2); torch's own by default, about two tokens.
    """


class GRUConfig(GatedConfig):
    """Settings of a gated recurrent unit.

    Source: Cho et al. 2014, in the form of cuDNN (reset gate after the recurrent product).
    """

    name: Literal["gru"] = "gru"

    def build(self, width: int) -> TorchRecurrence:
        """Return a freshly initialised mixer."""
        mixer = TorchRecurrence(nn.GRU(width, self.hidden_size, batch_first=True), width)
        if self.longest_memory is not None:
            # The second gate, the update gate, multiplies the old state, as the forget gate of an LSTM does.
            _set_bias(mixer.recurrence, 1, _spread_memories(self.hidden_size, self.longest_memory))
        return mixer


class LSTMConfig(GatedConfig):
    """Settings of long short-term memory.

    Source: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000.
    """

    name: Literal["lstm"] = "lstm"
    # Left out of resolved recipes where there is none: the digests of results that are older than it stay true.
    initial_forget_bias: float | None = Field(default=None, exclude_if=lambda bias: bias is None)
    """Bias of every forget gate at first, commonly 1 (Jozefowicz et al. 2015, section 2.2); torch's own by default."""

    @model_validator(mode="after")
    def _refuse_two_initialisations(self) -> LSTMConfig:
        if self.longest_memory is not None and self.initial_forget_bias is not None:
            raise ValueError("longest_memory and initial_forget_bias both set the forget gates: give one of them")
        return self

    def build(self, width: int) -> TorchRecurrence:
        """Return a freshly initialised mixer."""
        mixer = TorchRecurrence(nn.LSTM(width, self.hidden_size, batch_first=True), width)
        if self.longest_memory is not None:
            forget_H = _spread_memories(self.hidden_size, self.longest_memory)
            _set_bias(mixer.recurrence, 0, -forget_H)
            _set_bias(mixer.recurrence, 1, forget_H)
        if self.initial_forget_bias is not None:
            _set_bias(mixer.recurrence, 1, torch.full((self.hidden_size,), self.initial_forget_bias))
        return mixer


class TorchRecurrence(Mixer):
    """One of torch's recurrences, and an output projection.

    Its state has `hidden` [B, H], and of an LSTM `cell` [B, H].

    Args:
        recurrence: the recurrence, batch first.
        width: D, the size of outputs.
    """

    def __init__(self, recurrence: nn.RNNBase, width: int) -> None:
        super().__init__()
        self.recurrence = recurrence
        self.entries = ["hidden", "cell"] if isinstance(recurrence, nn.LSTM) else ["hidden"]
        self.output = nn.Linear(recurrence.hidden_size, width, bias=False)

    def initial_state(self, batch_size: int) -> State:
        """Return zeros."""
        weight = self.output.weight
        return State({name: weight.new_zeros(batch_size, weight.shape[1]) for name in self.entries})

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Mix along time."""
        # As torch's recurrences take them: [1, B, H], and one alone not in a tuple.
        first, *others = (state[name][None].contiguous() for name in self.entries)
        hidden_BTH, last = self.recurrence(x_BTD, (first, *others) if others else first)
        last = last if others else (last,)
        return self.output(hidden_BTH), State({name: entry[0] for name, entry in zip(self.entries, last, strict=True)})


def _spread_memories(hidden_size: int, longest_memory: int) -> Tensor:
    """Draw the bias [H] of gates that keep the state, so that memories last up to the longest."""
    return torch.empty(hidden_size).uniform_(1, longest_memory - 1).log()


@torch.no_grad()
def _set_bias(recurrence: nn.RNNBase, gate: int, bias_H: Tensor) -> None:
    """Set what a gate of torch's kernel adds: it has two biases, and the second one is left at zero."""
    rows = slice(gate * len(bias_H), (gate + 1) * len(bias_H))
    for name, value in (("bias_ih_l0", bias_H), ("bias_hh_l0", torch.zeros_like(bias_H))):
        recurrence.get_parameter(name)[rows] = value
