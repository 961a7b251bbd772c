"""xLSTM, which passes its state outside of transformers' caches.

Shape letters: B batch rows, T tokens, D width, H heads, K and V channels of a head.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lengthwise.errors import InputError
from lengthwise.models.base import Output
from lengthwise.pretrained.cache_adapters import CacheAdapter
from lengthwise.pretrained.patches import CHUNK, replaced
from lengthwise.scans.xlstm import EPSILON, MatrixMemory, mlstm_scan
from lengthwise.state import State

_XLSTM = ("recurrent.matrix", "recurrent.normaliser", "recurrent.maximum")

_KERNELS = {
    "chunkwise_kernel": "chunkwise--native_autograd",
    "sequence_kernel": "native_sequence__native",
    "step_kernel": "native",
}


def configuration(settings: dict[str, Any]) -> Any:
    """Return transformers' configuration of a config.json.

    Published ones choose kernels of the package xlstm, whose names transformers refuses where it is not installed; and
    may name their sizes as that package does, which transformers passes over for its defaults.
    """
    from transformers.models.xlstm.configuration_xlstm import external_xlstm, xLSTMConfig

    sizes = {"hidden_size": "embedding_dim", "num_hidden_layers": "num_blocks"}
    named = {name: settings[other] for name, other in sizes.items() if other in settings}
    return xLSTMConfig.from_dict(named | settings | ({} if external_xlstm else _KERNELS))


class XLSTMAdapter(CacheAdapter):
    """Carries matrix, normaliser and maximum of every mLSTM: ``layers.0.recurrent.matrix`` and so on.

    The library's model writes them in place, and beyond ``max_inference_chunksize`` tokens reads without gradients; the
    patch calls its blocks one after the other, with our scan in place of its chunks and its loop over the tokens that
    are left of them.
    """

    def read(self, tokens_BT: Tensor, state: State | None, mask_BT: Tensor | None = None) -> Output:
        """Read tokens from a state."""
        del mask_BT
        return self._read_blocks(tokens_BT, state) if self.patched else self._read_model(tokens_BT, state)

    def _read_blocks(self, tokens_BT: Tensor, state: State | None) -> Output:
        model = self.model
        if model.config.mode != "inference":
            raise InputError(
                f"xlstm with mode {model.config.mode!r} returns no state; "
                "set mode to 'inference' in config.json, which has gradients as well"
            )
        x_BTD, after = model.backbone.embeddings(tokens_BT), list[Any]()
        with replaced(self._scans() if state is not None else []):
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
        cache = None if state is None else self.cache_of(state)
        output = self.model(input_ids=tokens_BT, cache_params=cache, use_cache=True)
        return Output(output.logits, self.state_in(output.cache_params, {}))

    def cache_of(self, state: State) -> Any:
        """Return an ``xLSTMCache``."""
        from transformers.models.xlstm.modeling_xlstm import xLSTMCache

        weight = self.model.get_input_embeddings().weight
        cache: Any = xLSTMCache(self.model.config, state.batch_size, dtype=weight.dtype, device=weight.device)
        layers = range(self.model.config.num_blocks)
        cache.rnn_state = {layer: _xlstm_layer(state.map(Tensor.clone), layer) for layer in layers}
        return cache

    def state_in(self, cache: Any, position: Mapping[str, Tensor]) -> State:
        """Return the memories in an ``xLSTMCache``."""
        del position
        return _xlstm_state(list(cache.rnn_state.values()))


def _matrix_memories(
    query: Tensor, key: Tensor, value: Tensor, igate: Tensor, fgate: Tensor, **initial: Tensor
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Stand in for the forward pass of the library's ``xLSTMBackend``, whose tensors have heads before tokens."""
    q_BTHK, k_BTHK, v_BTHV, input_BTH, forget_BTH = (x.transpose(1, 2) for x in (query, key, value, igate, fgate))
    start = MatrixMemory(initial["c_initial"], initial["n_initial"], initial["m_initial"][..., 0])
    q_BTHK = q_BTHK * q_BTHK.shape[-1] ** -0.5
    y_BTHV, after = mlstm_scan(q_BTHK, k_BTHK, v_BTHV, input_BTH, F.logsigmoid(forget_BTH.float()), start, chunk=CHUNK)
    return y_BTHV.transpose(1, 2), (after.matrix_BHKV, after.normaliser_BHK, after.stabiliser_BH[..., None])


def _xlstm_layer(state: State, layer: int) -> tuple[Tensor, ...]:
    return tuple(state[f"layers.{layer}.{name}"] for name in _XLSTM)


def _xlstm_state(layers: list[tuple[Tensor, ...]]) -> State:
    memories = [State(dict(zip(_XLSTM, entries, strict=True))) for entries in layers]
    return State.nested({f"layers.{number}": memory for number, memory in enumerate(memories)})
