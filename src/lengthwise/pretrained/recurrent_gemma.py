"""RecurrentGemma, which keeps its state in attributes of its modules.

Shape letters: B batch rows, T tokens, D channels, K taps of a convolution.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from transformers import DynamicCache

from lengthwise.models.base import Output
from lengthwise.pretrained.cache_adapters import CacheAdapter, fill_layer, state_of
from lengthwise.pretrained.patches import replaced
from lengthwise.scans.elementwise import elementwise_scan
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
        cache = DynamicCache(config=self.model.config)
        options = {"position_ids": self._position_ids(tokens_BT, state, None)} if self.patched else {}
        with self._inside(state, cache), self._patches(state) as inputs:
            logits = self.model(input_ids=tokens_BT, past_key_values=cache, use_cache=True, **options).logits
            entries: dict[str, Any] = {
                f"layers.{number}.{name}": entry
                for number, block in self._recurrent().items()
                for name, entry in (
                    ("conv", inputs.get(number, block.conv1d_state)),
                    ("recurrent", block.rg_lru.recurrent_states),
                )
            }
        for number in self._attending():
            layer: Any = cache.layers[number]
            entries |= {f"layers.{number}.keys": layer.keys, f"layers.{number}.values": layer.values}
        return Output(logits, state_of(entries | self._next_position(tokens_BT, state)))

    def _fill(self, cache: Any, state: State) -> None:
        seen = None if self.patched else int(state["position"][0])
        for number in self._attending():
            fill_layer(cache.layers[number], state.section(f"layers.{number}"), seen)

    def _recurrent(self) -> dict[int, Any]:
        blocks = {number: layer.temporal_block for number, layer in enumerate(self.model.model.layers)}
        return {number: block for number, block in blocks.items() if hasattr(block, "rg_lru")}

    def _attending(self) -> list[int]:
        return [number for number in range(self.model.config.num_hidden_layers) if number not in self._recurrent()]

    @contextmanager
    def _inside(self, state: State | None, cache: Any) -> Generator[None]:
        """Put the state where the library looks for it; afterwards its modules are as they were."""
        blocks = self._recurrent()
        before = [(b, b.conv1d_state, b.rg_lru.recurrent_states) for b in blocks.values()]
        try:
            for number, block in blocks.items():
                entries = State({}) if state is None else state.section(f"layers.{number}")
                block.conv1d_state, block.rg_lru.recurrent_states = entries.get("conv"), entries.get("recurrent")
            if state is not None:
                self._fill(cache, state)
            yield
        finally:
            for block, conv, memory in before:
                block.conv1d_state, block.rg_lru.recurrent_states = conv, memory

    @contextmanager
    def _patches(self, state: State | None) -> Generator[dict[int, Tensor]]:
        """Let the convolutions read the inputs before a chunk, and our scan run the recurrence.

        Yields:
            The next inputs of the convolutions, by layer.
        """
        inputs: dict[int, Tensor] = {}
        if not self.patched or state is None:
            yield inputs
            return
        blocks = self._recurrent().items()
        convolutions = [
            (block.conv_1d, "forward", _after(block.conv_1d, state[f"layers.{number}.conv"], inputs, number))
            for number, block in blocks
        ]
        with replaced([*convolutions, *((block.rg_lru, "_rnn_scan", _scan) for _, block in blocks)]):
            yield inputs


def _scan(
    hidden_states: Tensor, recurrent_gate: Tensor, reset: Tensor, recurrent_states: Tensor, **_: Any
) -> tuple[Tensor, Tensor]:
    """Run the recurrence of the library, which takes a few operations of autograd a token, in one function."""
    dtype = recurrent_states.dtype
    decay_BTD = (recurrent_gate * ~reset).to(dtype)
    states_BTD = elementwise_scan(decay_BTD, hidden_states.to(dtype), recurrent_states)
    # A copy, because a view would keep the states of all tokens alive.
    return states_BTD.to(hidden_states.dtype), states_BTD[:, -1].clone()


def _after(convolution: Any, before_BDK: Tensor, inputs: dict[int, Tensor], number: int) -> Any:
    def forward(x_BDT: Tensor) -> Tensor:
        full = torch.cat([before_BDK, x_BDT], -1)
        inputs[number] = full[..., -before_BDK.shape[-1] :].clone()
        return F.conv1d(full, convolution.weight, convolution.bias, groups=convolution.groups)

    return forward
