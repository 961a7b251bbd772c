"""MiniMax, whose cache has matrices of lightning attention beside the keys of softmax attention.

Shape letters: B batch rows, T tokens, H heads, D width, K channels of a head.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from transformers.cache_utils import DummyLayer

from lengthwise.pretrained.cache_adapters import DynamicCacheAdapter, fill_layer, state_of
from lengthwise.pretrained.patches import CHUNK, replaced
from lengthwise.scans.mamba2 import linear_scan
from lengthwise.state import State


class MiniMaxAdapter(DynamicCacheAdapter):
    """Carries a `MiniMaxCache`: ``layers.0.recurrent`` beside ``layers.1.keys`` and ``layers.1.values``.

    The library's attention mask leaves out the cached tokens where more than one is read. It reads a state only token
    by token, which is slow; here lightning attention reads it in chunks, whatever the number of tokens.
    """

    @contextmanager
    def _patches(self, cache: Any) -> Generator[None]:
        layers = self.model.model.layers if self.patched and cache.linear_cache else []
        linear = [layer.self_attn for layer in layers if hasattr(layer.self_attn, "slope_rate")]
        with replaced((attention, "forward", _lightning(attention, cache)) for attention in linear):
            yield

    def _new_cache(self, patched: bool, mask_BT: Tensor | None) -> Any:
        del patched, mask_BT
        return self._module.MiniMaxCache()

    def _load(self, cache: Any, state: State) -> None:
        for number, kind in enumerate(self.model.config.layer_types):
            entries, linear = state.section(f"layers.{number}"), kind == "linear_attention"
            # The library measures its mask on the first layer, which holds no keys where that one is linear.
            cache.layers.append(DummyLayer() if self.patched and linear else cache.layer_class_to_replicate())
            fill_layer(cache.layers[-1], entries)
            cache.set_linear_cache(number, entries["recurrent"] if linear else [])

    def state_in(self, cache: Any, position: Mapping[str, Tensor]) -> State:
        """Return the keys and values of a cache, and its matrices."""
        matrices = {
            f"layers.{number}.recurrent": matrix
            for number, matrix in enumerate(cache.linear_cache)
            if isinstance(matrix, Tensor)
        }
        return state_of({**super().state_in(cache, position), **matrices})


def _lightning(attention: Any, cache: Any) -> Callable[..., Any]:
    """Return the forward pass of lightning attention, with its recurrence as our scan."""

    def forward(hidden_states: Tensor, *, attention_mask: Tensor | None = None, **_: Any) -> tuple[Tensor, Tensor]:
        state_BHKK: Tensor = cache.get_linear_cache(attention.layer_idx)
        qkv_BTX = attention.act_fn(attention.qkv_proj(hidden_states))
        if attention_mask is not None:
            qkv_BTX = (qkv_BTX * attention_mask[:, :, None]).to(qkv_BTX.dtype)
        heads = attention.num_attention_heads
        q_BTHK, k_BTHK, v_BTHK = qkv_BTX.unflatten(-1, (heads, -1)).chunk(3, -1)
        log_decay_BTH = -attention.slope_rate.view(heads).expand(*hidden_states.shape[:2], heads)
        y_BTHK, after_BHKK = linear_scan(q_BTHK, k_BTHK, v_BTHK, log_decay_BTH, state_BHKK, chunk=CHUNK)
        cache.set_linear_cache(attention.layer_idx, after_BHKK.to(state_BHKK.dtype))
        y_BTD = attention.output_gate(hidden_states).sigmoid() * attention.norm(y_BTHK.flatten(2))
        return attention.out_proj(y_BTD), after_BHKK

    return forward
