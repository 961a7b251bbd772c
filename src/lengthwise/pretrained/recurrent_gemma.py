"""RecurrentGemma, which keeps its state in attributes of its modules.

Shape letters: B batch rows, T tokens, D channels, K taps of a convolution.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers import DynamicCache

from lengthwise.models.base import Output
from lengthwise.pretrained.cache_adapters import CacheAdapter, fill_layer, state_of
from lengthwise.pretrained.patches import replaced
from lengthwise.scans.rg_lru import elementwise_scan
from lengthwise.state import State


class RecurrentGemmaAdapter(CacheAdapter):
    """Carries ``layers.0.conv`` and ``layers.0.recurrent`` of recurrent blocks, keys and values of the others.

    The library forgets the inputs that the convolution still needs when it reads more than one token. It resets the
    recurrence at position 0, so that a sequence which starts from a memory starts at position 1.
    """

    def start(self, state: State) -> State:
        """Return the state at position 1, where the library does not reset the recurrence."""
        return State({**state, "position": state["position"] + 1}, state.kinds)

    def read(self, tokens_BT: Tensor, state: State | None, mask_BT: Tensor | None = None) -> Output:
        """Read tokens from a state."""
        del mask_BT
        cache, recurrent = DynamicCache(config=self.model.config), self._recurrent()
        layers: dict[int, Any] = {number: layer for number, layer in enumerate(cache.layers) if number not in recurrent}
        if state is not None:
            seen = None if self.patched else int(state["position"][0])
            for number, layer in layers.items():
                fill_layer(layer, state.section(f"layers.{number}"), seen)
        options = {"position_ids": self._position_ids(tokens_BT, state, None)} if self.patched else {}
        entries: dict[str, Any] = {}
        with replaced(self._replacements(state, entries)):
            logits = self.model(input_ids=tokens_BT, past_key_values=cache, use_cache=True, **options).logits
            for number, block in recurrent.items():
                entries.setdefault(f"layers.{number}.conv", block.conv1d_state)
                entries[f"layers.{number}.recurrent"] = block.rg_lru.recurrent_states
        for number, layer in layers.items():
            entries |= {f"layers.{number}.keys": layer.keys, f"layers.{number}.values": layer.values}
        return Output(logits, state_of(entries | self._next_position(tokens_BT, state)))

    def _recurrent(self) -> dict[int, Any]:
        blocks = {number: layer.temporal_block for number, layer in enumerate(self.model.model.layers)}
        return {number: block for number, block in blocks.items() if hasattr(block, "rg_lru")}

    def _replacements(self, state: State | None, after: dict[str, Tensor]) -> Iterator[tuple[nn.Module, str, Any]]:
        """Yield the state where the library looks for it, and what reads it rightly."""
        for number, block in self._recurrent().items():
            before = State({}) if state is None else state.section(f"layers.{number}")
            yield block, "conv1d_state", before.get("conv")
            yield block.rg_lru, "recurrent_states", before.get("recurrent")
            if self.patched and state is not None:
                yield block.conv_1d, "forward", _after(block.conv_1d, before["conv"], after, f"layers.{number}.conv")
                yield block.rg_lru, "_rnn_scan", _scan


def _scan(
    hidden_states: Tensor, recurrent_gate: Tensor, reset: Tensor, recurrent_states: Tensor, **_: Any
) -> tuple[Tensor, Tensor]:
    """Run the recurrence of the library, which takes a few operations of autograd a token, in one function."""
    dtype = recurrent_states.dtype
    decay_BTD = (recurrent_gate * ~reset).to(dtype)
    states_BTD = elementwise_scan(decay_BTD, hidden_states.to(dtype), recurrent_states)
    # A copy, because a view would keep the states of all tokens alive.
    return states_BTD.to(hidden_states.dtype), states_BTD[:, -1].clone()


def _after(convolution: Any, before_BDK: Tensor, after: dict[str, Tensor], name: str) -> Any:
    def forward(x_BDT: Tensor) -> Tensor:
        full = torch.cat([before_BDK, x_BDT], -1)
        after[name] = full[..., -before_BDK.shape[-1] :].clone()
        return F.conv1d(full, convolution.weight, convolution.bias, groups=convolution.groups)

    return forward
