"""RWKV-4, which passes its state outside of transformers' caches.

Shape letters: B batch rows, T tokens, D width, L layers, H heads, V symbols.
"""

from __future__ import annotations

from collections.abc import Mapping
from sys import modules
from typing import Any

import torch
from torch import Tensor

from lengthwise.models.base import Output
from lengthwise.pretrained.cache_adapters import CacheAdapter, state_of
from lengthwise.pretrained.patches import replaced
from lengthwise.scans.rwkv4 import WeightedMemory, weighted_scan
from lengthwise.state import State

_RWKV = (
    "shift.feed_forward",
    "shift.attention",
    "recurrent.numerator",
    "recurrent.denominator",
    "recurrent.maximum",
)
"""The five states of RWKV-4 in the library's order; numerator and denominator are divided by exp(maximum)."""


class RWKVAdapter(CacheAdapter):
    """Carries the five states of RWKV-4, a tensor for each layer: ``layers.0.recurrent.numerator`` and so on.

    The library stacks layers in one tensor and writes each layer's part in place; its token shift mixes the rows of a
    batch when it reads a single token. The patch gives it a list of layers that can be indexed alike, and our scan in
    place of its loop over tokens.
    """

    def blank(self) -> State:
        """Return zeros, and the library's number for the maximum over no token."""
        config, weight = self.model.config, self.model.get_input_embeddings().weight
        inputs = weight.new_zeros(1, config.hidden_size)
        memory = weight.new_zeros(
            1, config.attention_hidden_size, dtype=torch.promote_types(weight.dtype, torch.float32)
        )
        zeros = {name: inputs if "shift" in name else memory for name in self._names()}
        lowest = {name: torch.full_like(memory, -1e30) for name in zeros if name.endswith("maximum")}
        return state_of(zeros | lowest)

    def read(self, tokens_BT: Tensor, state: State | None, mask_BT: Tensor | None = None) -> Output:
        """Read tokens from a state."""
        del mask_BT
        scan = (modules[type(self.model).__module__], "rwkv_linear_attention", _weighted)
        with replaced([scan] if self.patched else []):
            output = self.model(input_ids=tokens_BT, state=self._given(state, tokens_BT.shape[1] == 1), use_cache=True)
        return Output(output.logits, self.state_in(output.state, {}))

    def cache_of(self, state: State) -> list[Tensor]:
        """Return the five tensors [B, D, L]."""
        return [torch.stack([state[f"layers.{n}.{name}"] for n in self._layers()], -1) for name in _RWKV]

    def state_in(self, cache: Any, position: Mapping[str, Tensor]) -> State:
        """Return the entries of five tensors [B, D, L], or of what stands in for them."""
        del position
        entries = [
            each.entries[n] if isinstance(each, _Layers) else each[:, :, n] for each in cache for n in self._layers()
        ]
        return state_of(dict(zip(self._names(), entries, strict=True)))

    def as_trained(self, weights: dict[str, Any], prefix: str) -> None:
        """Undo the halving of weights that the library does in evaluation mode and would save."""
        every = self.model.config.rescale_every
        if self.model.rwkv.layers_are_rescaled and every:
            for number in range(self.model.config.num_hidden_layers):
                for part in ("attention.output", "feed_forward.value"):
                    name = f"{prefix}rwkv.blocks.{number}.{part}.weight"
                    weights[name] = weights[name] * 2 ** (number // every)

    def _names(self) -> list[str]:
        return [f"layers.{layer}.{name}" for name in _RWKV for layer in self._layers()]

    def _layers(self) -> range:
        return range(self.model.config.num_hidden_layers)

    def _given(self, state: State | None, single: bool) -> list[Tensor] | list[_Layers] | None:
        if state is None or not self.patched:
            return None if state is None else self.cache_of(state)
        return [
            _Layers([state[f"layers.{n}.{name}"] for n in self._layers()], single and "shift" in name) for name in _RWKV
        ]


class _Layers:
    """What stands in for a tensor [B, D, L]: setting a layer assigns, so that nothing is written in place."""

    def __init__(self, entries: list[Tensor], as_token: bool) -> None:
        self.entries = entries
        self._as_token = as_token

    def __getitem__(self, index: tuple[slice, slice, int]) -> Tensor:
        entry = self.entries[index[2]]
        return entry[:, None] if self._as_token else entry

    def __setitem__(self, index: tuple[slice, slice, int], entry: Tensor) -> None:
        self.entries[index[2]] = entry


def _weighted(
    time_decay: Tensor, time_first: Tensor, key: Tensor, value: Tensor, state: tuple[Tensor, ...], **_: Any
) -> tuple[Tensor, list[Tensor]]:
    """Stand in for the library's ``rwkv_linear_attention``."""
    y_BTD, after = weighted_scan(key, value, -time_decay.exp(), time_first, WeightedMemory(*state))
    return y_BTD.to(key.dtype), list(after)
