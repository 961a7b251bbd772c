"""RWKV-4 and xLSTM, which pass their states outside of transformers' caches.

Shape letters: B batch rows, T tokens, D width, L layers, H heads, V symbols.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from sys import modules
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lengthwise.errors import InputError
from lengthwise.models.base import Output
from lengthwise.models.huggingface.carriers import Carrier, keeping_modes
from lengthwise.models.huggingface.mends import CHUNK, overridden, replaced
from lengthwise.scans.rwkv4 import WeightedMemory, weighted_scan
from lengthwise.scans.xlstm import EPSILON, MatrixMemory, mlstm_scan
from lengthwise.state import Kind, State

_RWKV = {
    "shift.feed_forward": Kind.CONV,
    "shift.attention": Kind.CONV,
    "recurrent.numerator": Kind.RECURRENT,
    "recurrent.denominator": Kind.RECURRENT,
    "recurrent.maximum": Kind.RECURRENT,
}
"""The five states of RWKV-4 in the library's order; numerator and denominator are divided by exp(maximum)."""


class RWKVCarrier(Carrier):
    """Carries the five states of RWKV-4, a tensor for each layer: ``layers.0.recurrent.numerator`` and so on.

    The library stacks layers in one tensor and writes each layer's part in place; its token shift mixes the rows of a
    batch when it reads a single token. The mend gives it a list of layers that can be indexed alike, and our scan in
    place of its loop over tokens.
    """

    def blank(self) -> State:
        """Return zeros, and the library's number for the maximum over no token."""
        config, weight = self.model.config, self.model.get_input_embeddings().weight
        sizes = {Kind.CONV: (config.hidden_size, weight.dtype)}
        sizes[Kind.RECURRENT] = (config.attention_hidden_size, torch.promote_types(weight.dtype, torch.float32))
        entries: dict[str, Tensor] = {}
        for name, kind in self._names():
            size, dtype = sizes[kind]
            value = -1e30 if name.endswith("maximum") else 0.0
            entries[name] = torch.full((1, size), value, dtype=dtype, device=weight.device)
        return State(entries, dict(self._names()))

    def read(self, tokens_BT: Tensor, state: State | None, mask_BT: Tensor | None = None) -> Output:
        """Read tokens from a state."""
        del mask_BT
        given = None if state is None else self._as_layers(state, tokens_BT) if self.mended else self._stacked(state)
        with replaced(
            modules[type(self.model).__module__], {"rwkv_linear_attention": _weighted} if self.mended else {}
        ):
            output = self.model(input_ids=tokens_BT, state=given, use_cache=True)
        kinds = dict(self._names())
        entries = dict(zip(kinds, self._split(output.state), strict=True))
        return Output(output.logits, State(entries, kinds))

    @contextmanager
    def saving(self) -> Generator[None]:
        """Undo the halving of weights that the library does in evaluation mode and would save."""
        with keeping_modes(self.model):
            self.model.train()
            self.model.rwkv._rescale_layers()
            yield

    def _names(self) -> list[tuple[str, Kind]]:
        layers = range(self.model.config.num_hidden_layers)
        return [(f"layers.{layer}.{name}", kind) for name, kind in _RWKV.items() for layer in layers]

    def _stacked(self, state: State) -> list[Tensor]:
        layers = range(self.model.config.num_hidden_layers)
        return [torch.stack([state[f"layers.{layer}.{name}"] for layer in layers], -1) for name in _RWKV]

    def _as_layers(self, state: State, tokens_BT: Tensor) -> list[_Layers]:
        layers = range(self.model.config.num_hidden_layers)
        single = tokens_BT.shape[1] == 1
        return [
            _Layers([state[f"layers.{layer}.{name}"] for layer in layers], single and kind is Kind.CONV)
            for name, kind in _RWKV.items()
        ]

    def _split(self, states: list[Tensor] | list[_Layers]) -> list[Tensor]:
        layers = range(self.model.config.num_hidden_layers)
        return [s.entries[n] if isinstance(s, _Layers) else s[:, :, n] for s in states for n in layers]


class _Layers:
    """What stands in for a tensor [B, D, L]: setting a layer assigns, so that nothing is written in place.

    Args:
        entries: [B, D] for each layer.
        as_token: whether a layer is read as [B, 1, D].
    """

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


_XLSTM = ("recurrent.matrix", "recurrent.normaliser", "recurrent.maximum")


class XLSTMCarrier(Carrier):
    """Carries matrix, normaliser and maximum of every mLSTM: ``layers.0.recurrent.matrix`` and so on.

    The library's model writes them in place, and beyond ``max_inference_chunksize`` tokens reads without gradients; the
    mend calls its blocks one after the other, with our scan in place of its chunks and its loop over the tokens that
    are left of them.
    """

    def blank(self) -> State:
        """Return zeros of the shapes that the blocks return, not of those of the library's cache."""
        weight = self.model.get_input_embeddings().weight
        with torch.no_grad():
            state = self._read_blocks(torch.zeros(1, 1, dtype=torch.long, device=weight.device), None).state
        return state.map(torch.zeros_like)

    def read(self, tokens_BT: Tensor, state: State | None, mask_BT: Tensor | None = None) -> Output:
        """Read tokens from a state."""
        del mask_BT
        return self._read_blocks(tokens_BT, state) if self.mended else self._read_model(tokens_BT, state)

    def _read_blocks(self, tokens_BT: Tensor, state: State | None) -> Output:
        model = self.model
        if model.config.mode != "inference":
            raise InputError(
                f"xlstm with mode {model.config.mode!r} returns no state; "
                "set mode to 'inference' in config.json, which has gradients as well"
            )
        x_BTD, after = model.backbone.embeddings(tokens_BT), list[Any]()
        with overridden(self._scans() if state is not None else []):
            for number, block in enumerate(model.backbone.blocks):
                x_BTD, entries = block(x_BTD, None if state is None else _xlstm_layer(state, number))
                after.append(entries)
        x_BTD = model.backbone.out_norm(x_BTD)
        logits_BTV = model.lm_head(x_BTD.to(model.lm_head.weight.dtype))
        logits_BTV = logits_BTV.to(torch.promote_types(logits_BTV.dtype, torch.float32))
        cap = model.config.output_logit_soft_cap
        return Output(logits_BTV if cap is None else cap * torch.tanh(logits_BTV / cap), _xlstm_state(after))

    def _scans(self) -> list[tuple[nn.Module, str, Any]]:
        """Return where our scan goes: nowhere with the package xlstm, whose kernels read a state as well."""
        config, backends = self.model.config, [block.mlstm_layer.mlstm_backend for block in self.model.backbone.blocks]
        own = all(type(backend).__module__ == type(self.model).__module__ for backend in backends)
        return [(backend, "forward", _matrix_memories) for backend in backends] if own and config.eps == EPSILON else []

    def _read_model(self, tokens_BT: Tensor, state: State | None) -> Output:
        from transformers.models.xlstm.modeling_xlstm import xLSTMCache

        cache: Any = None
        if state is not None:
            weight = self.model.get_input_embeddings().weight
            cache = xLSTMCache(self.model.config, len(tokens_BT), dtype=weight.dtype, device=weight.device)
            layers = range(self.model.config.num_blocks)
            cache.rnn_state = {layer: _xlstm_layer(state.map(Tensor.clone), layer) for layer in layers}
        output = self.model(input_ids=tokens_BT, cache_params=cache, use_cache=True)
        return Output(output.logits, _xlstm_state(list(output.cache_params.rnn_state.values())))


def _matrix_memories(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    igate: Tensor,
    fgate: Tensor,
    c_initial: Tensor,
    n_initial: Tensor,
    m_initial: Tensor,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Stand in for the forward pass of the library's ``xLSTMBackend``, whose tensors have heads before tokens."""
    q_BTHK, k_BTHK, v_BTHV, input_BTH, forget_BTH = (x.transpose(1, 2) for x in (query, key, value, igate, fgate))
    start = MatrixMemory(c_initial, n_initial, m_initial[..., 0])
    q_BTHK = q_BTHK * q_BTHK.shape[-1] ** -0.5
    y_BTHV, after = mlstm_scan(q_BTHK, k_BTHK, v_BTHV, input_BTH, F.logsigmoid(forget_BTH.float()), start, chunk=CHUNK)
    return y_BTHV.transpose(1, 2), (after.matrix_BHKV, after.normaliser_BHK, after.stabiliser_BH[..., None])


def _xlstm_layer(state: State, layer: int) -> tuple[Tensor, ...]:
    return tuple(state[f"layers.{layer}.{name}"] for name in _XLSTM)


def _xlstm_state(layers: list[tuple[Tensor, ...]]) -> State:
    return State(
        {
            f"layers.{number}.{name}": entry
            for number, entries in enumerate(layers)
            for name, entry in zip(_XLSTM, entries, strict=True)
        }
    )
