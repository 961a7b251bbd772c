"""torch's own recurrent layers, `nn.LSTM`, `nn.GRU` and `nn.RNN`, as a model whose state has the batch first.

Shape letters: B batch rows, T tokens, L layers, H width of a state, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from lengthwise.errors import InputError
from lengthwise.models.base import Output, SequenceModel
from lengthwise.state import State


class RecurrentModel(SequenceModel):
    """An embedding, recurrent layers of torch and a readout, all trained elsewhere or not at all.

    torch carries the state of all layers as one tensor, [L, B, H]. Here each layer has entries of its own,
    ``layers.0.hidden`` [B, H] and for an LSTM ``layers.0.cell``: what picks rows or fits layers finds them.

    Args:
        embedding: maps tokens [B, T], or values [B, T, F], to the inputs of the layers, [B, T, ...].
        layers: an `nn.LSTM`, `nn.GRU` or `nn.RNN` of any number of layers, batch first or not.
        readout: maps what they give, [B, T, H], to logits [B, T, C].

    Raises:
        InputError: the layers read in both directions, and so have no state after a prefix.

    Example:
        >>> layers = nn.LSTM(8, 16, num_layers=3, batch_first=True)
        >>> model = RecurrentModel(nn.Embedding(5, 8), layers, nn.Linear(16, 5))
        >>> logits, state = model(torch.zeros(2, 7, dtype=torch.int64))
        >>> logits.shape, len(state), state["layers.2.cell"].shape
        (torch.Size([2, 7, 5]), 6, torch.Size([2, 16]))
    """

    def __init__(self, embedding: nn.Module, layers: nn.RNNBase, readout: nn.Module) -> None:
        super().__init__()
        if layers.bidirectional:
            raise InputError(
                f"this {type(layers).__name__} reads in both directions: what it says of a prefix depends on what "
                "follows, so no state carries it on; bidirectional=False would do"
            )
        self.embedding, self.layers, self.readout = embedding, layers, readout
        self._widths = {"hidden": layers.proj_size or layers.hidden_size}
        if isinstance(layers, nn.LSTM):
            self._widths["cell"] = layers.hidden_size

    def initial_state(self, batch_size: int) -> State:
        """Return zeros, as torch starts from."""
        new = next(self.layers.parameters()).new_zeros
        widths = {_entry(n, part): width for n in range(self.layers.num_layers) for part, width in self._widths.items()}
        return State({name: new(batch_size, width) for name, width in widths.items()})

    def forward(self, tokens: Tensor, state: State | None = None) -> Output:
        """Read tokens [B, T], or values [B, T, F], from a state, by default the initial one."""
        before, layers = self.initial_state(len(tokens)) if state is None else state, range(self.layers.num_layers)
        start = [torch.stack([before[_entry(n, part)] for n in layers]) for part in self._widths]
        # The layers read and give either [B, T, ...] or [T, B, ...].
        x = self.embedding(tokens if self.layers.batch_first else tokens.transpose(0, 1))
        y, after = self.layers(x, tuple(start) if len(start) > 1 else start[0])
        y_BTH = y if self.layers.batch_first else y.transpose(0, 1)
        ends = cast("Sequence[Tensor]", after if len(start) > 1 else [after])
        entries = {_entry(n, part): end[n] for n in layers for part, end in zip(self._widths, ends, strict=True)}
        return Output(self.readout(y_BTH), State(entries))

    def gives_every_prefix(self) -> bool:
        """Return true: one call gives logits after every position."""
        return True


def _entry(layer: int, part: str) -> str:
    return f"layers.{layer}.{part}"
