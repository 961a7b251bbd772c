"""Cache adapters: how a state goes into a call of transformers and comes out of it.

Shape letters: B batch rows, T tokens, S cached tokens, V symbols.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from sys import modules
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.cache_utils import CacheLayerMixin, LinearAttentionCacheLayerMixin

from lengthwise.errors import InputError
from lengthwise.models.base import Output
from lengthwise.pretrained.families import Family
from lengthwise.pretrained.patches import SCANS, PatchedCache, check_present, replaced
from lengthwise.state import Kind, State

_KINDS = {"conv": Kind.CONV, "shift": Kind.CONV, "keys": Kind.CACHE, "values": Kind.CACHE, "position": Kind.POSITION}


class CacheAdapter(ABC):
    """Reads tokens with a model of transformers, from a state and to a state.

    Args:
        model: a causal language model of transformers.
        family: its family.
        patched: whether to put right what the library does to a carried state; otherwise the model is called as a user
            of the library calls it.

    Raises:
        InputError: the installed version lacks what the patch of this family replaces.
    """

    def __init__(self, model: nn.Module, family: Family, patched: bool) -> None:
        self.model: Any = model
        self.family = family
        self.patched = patched
        takes = inspect.signature(self.model.forward).parameters
        self.positions = "position_ids" in takes
        self.keyword = "cache_params" if "cache_params" in takes else "past_key_values"

    def blank(self) -> State:
        """Return the state of one row before any token: zeros of the shapes after one, and no keys."""
        token = torch.zeros(1, 1, dtype=torch.long, device=next(self.model.parameters()).device)
        with keeping_modes(self.model), torch.no_grad():
            self.model.eval()
            state = self.read(token, None).state
        zeros = state.map(torch.zeros_like)
        return zeros.map(lambda entry: entry[..., :0, :], [Kind.CACHE])

    @abstractmethod
    def read(self, tokens_BT: Tensor, state: State | None, mask_BT: Tensor | None = None) -> Output:
        """Read tokens from a state; from none as the library does it.

        Args:
            tokens_BT: [B, T] symbols.
            state: a state of this model; only an adapter that patches nothing also takes none.
            mask_BT: [B, T] ones for tokens and zeros for padding, only before anything else was read.
        """

    def cache_of(self, state: State) -> Any:
        """Return what a call of the library takes for a state, with memory of its own: the library writes in place.

        Raises:
            InputError: the library has no such thing for this family.
        """
        del state
        raise self._no_cache()

    def state_in(self, cache: Any, position: Mapping[str, Tensor]) -> State:
        """Return the state that a call of the library left in its cache.

        Args:
            cache: it.
            position: what the state has beside what is in the cache.

        Raises:
            InputError: as in `cache_of`.
        """
        del cache, position
        raise self._no_cache()

    def _no_cache(self) -> InputError:
        family = self.model.config.model_type
        return InputError(f"{family} of transformers keeps its state in its modules: there is no cache to convert")

    def start(self, state: State) -> State:
        """Return an initial state with the recurrent memory of another as that of a sequence that starts from it."""
        return state

    def as_trained(self, weights: dict[str, Any], prefix: str) -> None:
        """Undo, in a state dictionary, what the library does to weights that it evaluates with."""
        del weights, prefix

    def _position_ids(self, tokens_BT: Tensor, state: State | None, mask_BT: Tensor | None) -> Tensor:
        if mask_BT is not None:
            return (mask_BT.cumsum(1) - 1).clamp(min=0)
        steps_T = torch.arange(tokens_BT.shape[1], device=tokens_BT.device)
        return steps_T.expand_as(tokens_BT) if state is None else state["position"][:, None] + steps_T

    def _next_position(self, tokens_BT: Tensor, state: State | None) -> dict[str, Tensor]:
        if not self.positions:
            return {}
        start_B = tokens_BT.new_zeros(len(tokens_BT)) if state is None else state["position"]
        return {"position": start_B + tokens_BT.shape[1]}


class DynamicCacheAdapter(CacheAdapter):
    """Carries what a `DynamicCache` holds: ``layers.0.conv``, ``layers.0.recurrent``, ``layers.1.keys`` and so on."""

    def __init__(self, model: nn.Module, family: Family, patched: bool) -> None:
        super().__init__(model, family, patched)
        if patched and family.scan:
            check_present(self._module, family.scan)

    @property
    def _module(self) -> Any:
        """The library's code of this family: no attribute, because a module of Python cannot be copied with a model."""
        return modules[type(self.model).__module__]

    def read(self, tokens_BT: Tensor, state: State | None, mask_BT: Tensor | None = None) -> Output:
        """Read tokens from a state."""
        if state is not None and not self.patched:
            cache = self.cache_of(state)
        else:
            cache = self._new_cache(self.patched and state is not None, mask_BT)
            if state is not None:
                self._load(cache, state)
        options: dict[str, Any] = {self.keyword: cache} | ({} if mask_BT is None else {"attention_mask": mask_BT})
        if self.patched and self.positions:
            options["position_ids"] = self._position_ids(tokens_BT, state, mask_BT)
        with self._patches(cache):
            logits_BTV = self.model(input_ids=tokens_BT, use_cache=True, **options).logits
        return Output(logits_BTV, self.state_in(cache, self._next_position(tokens_BT, state)))

    def cache_of(self, state: State) -> Any:
        """Return a cache with the entries of a state."""
        cache = self._new_cache(False, None)
        self._load(cache, state.map(Tensor.clone))
        return cache

    @contextmanager
    def _patches(self, cache: Any) -> Generator[None]:
        if not isinstance(cache, PatchedCache):
            yield
            return
        scan = self.family.scan
        with replaced([(self._module, scan, SCANS[scan](getattr(self._module, scan), cache))]):
            yield
        cache.check_all_taken()

    def _new_cache(self, patched: bool, mask_BT: Tensor | None) -> Any:
        config = self.model.config
        return PatchedCache(config, mask_BT) if patched else DynamicCache(config=config)

    def _load(self, cache: Any, state: State) -> None:
        for number, layer in enumerate(cache.layers):
            fill_layer(layer, state.section(f"layers.{number}"))

    def state_in(self, cache: Any, position: Mapping[str, Tensor]) -> State:
        """Return what the layers of a cache hold."""
        entries = {
            f"layers.{number}.{name}": entry
            for number, layer in enumerate(cache.layers)
            for name, entry in _layer_entries(layer).items()
            # A layer that no attention wrote to has no keys.
            if entry is not None
        }
        return state_of({**entries, **position})


def state_of(entries: Mapping[str, Tensor]) -> State:
    """Return entries as a state; a word of their names says of which kind they are."""
    kinds = {name: kind for name in entries for word, kind in _KINDS.items() if word in name.split(".")}
    return State(entries, kinds)


def fill_layer(layer: Any, entries: State, seen: int | None = None) -> None:
    """Set what a layer of a cache holds; its sliding window takes `seen` tokens to be before it.

    By default as many as it holds, which is enough for its masks where true positions are given beside them.
    """
    if "keys" in entries:
        layer.keys, layer.values = entries["keys"], entries["values"]
        layer.dtype, layer.device, layer.is_initialized = layer.keys.dtype, layer.keys.device, True
        if hasattr(layer, "cumulative_length"):
            layer.cumulative_length = layer.keys.shape[-2] if seen is None else seen
    for index in range(_recurrent_states(layer)):
        inputs, memory = entries[_numbered("conv", index)], entries[_numbered("recurrent", index)]
        layer.conv_states[index], layer.recurrent_states[index] = inputs, memory
        layer.conv_kernel_size[index] = inputs.shape[-1]
        layer.dtype, layer.device = inputs.dtype, inputs.device
        for flag in (layer.is_conv_states_initialized, layer.is_recurrent_states_initialized, layer.has_previous_state):
            flag[index] = True


def _layer_entries(layer: Any) -> dict[str, Tensor | None]:
    entries: dict[str, Tensor | None] = {}
    for index in range(_recurrent_states(layer)):
        entries[_numbered("conv", index)] = layer.conv_states[index]
        entries[_numbered("recurrent", index)] = layer.recurrent_states[index]
    return entries | ({"keys": layer.keys, "values": layer.values} if isinstance(layer, CacheLayerMixin) else {})


def _recurrent_states(layer: Any) -> int:
    return layer.number_of_states if isinstance(layer, LinearAttentionCacheLayerMixin) else 0


def _numbered(name: str, index: int) -> str:
    return f"{name}.{index}" if index else name


@contextmanager
def keeping_modes(model: nn.Module) -> Generator[None]:
    """Put every module back in its own mode, of training or evaluation, after the context."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
