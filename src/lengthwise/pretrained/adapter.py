"""A causal language model of transformers as a sequence model, whatever its family.

Shape letters: B batch rows, T tokens, V symbols.
"""

from __future__ import annotations

import copy
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lengthwise.errors import InputError
from lengthwise.models.base import Output
from lengthwise.pretrained.cache_adapters import CacheAdapter
from lengthwise.pretrained.families import family_of
from lengthwise.pretrained.model import PretrainedModel
from lengthwise.state import Kind, State

if TYPE_CHECKING:
    from lengthwise.pretrained.formats import Format


class HuggingFaceModel(PretrainedModel):
    """A causal language model of transformers, read from a state and to a state, with gradients through both.

    Entries are named ``layers.3.recurrent`` (recurrent), ``layers.3.conv`` (tail), ``layers.3.keys`` and
    ``layers.3.values`` (cache) and, where the model has positions, ``position``. What the library does wrong with a
    carried state is put right while `forward` runs; the model itself, `model`, is never changed.

    Args:
        model: a causal language model of one of the supported families.
        source: the checkpoint it came from, of which `save` keeps all but the weights.
        patched: whether to put right what the library does wrong. Without, ``forward`` shows what a user of the library
            gets; only `lengthwise check` wants that.

    Raises:
        InputError: the architecture is not supported, or the installed version of transformers lacks what the
            patches of its family replace.

    Example:
        >>> from lengthwise.pretrained import HuggingFaceConfig
        >>> model = HuggingFaceConfig(family="mamba2").build(48, 48)
        >>> logits, state = model(torch.tensor([[3, 4, 5]]))
        >>> logits.shape, sorted(state)[:2]
        (torch.Size([1, 3, 48]), ['layers.0.conv', 'layers.0.recurrent'])
    """

    def __init__(self, model: nn.Module, source: Format | None = None, *, patched: bool = True) -> None:
        super().__init__(model, source)
        self.patched = patched
        self.family = self.model.config.model_type
        self.vocabulary = self.model.config.get_text_config(decoder=True).vocab_size
        family = family_of(self.family)
        kind: type[CacheAdapter] = pkgutil.resolve_name(f"lengthwise.pretrained.{family.cache}")
        self.cache_adapter = kind(model, family, patched)
        self._blanks: dict[torch.dtype, State] = {}

        self.register_state_dict_post_hook(_as_trained)

    def __deepcopy__(self, memo: dict[int, Any]) -> HuggingFaceModel:
        # Made anew, because adapters hold modules of the library, and hooks the model they belong to.
        return type(self)(copy.deepcopy(self.model, memo), self.source, patched=self.patched)

    def initial_state(self, batch_size: int) -> State:
        """Return the state before any token."""
        weight: Tensor = self.model.get_input_embeddings().weight
        if weight.dtype not in self._blanks:
            self._blanks[weight.dtype] = self.cache_adapter.blank()
        blank = self._blanks[weight.dtype].to(weight.device)
        return blank.map(lambda entry: entry.repeat(batch_size, *[1] * (entry.ndim - 1)))

    def forward(self, tokens: Tensor, state: State | None = None) -> Output:
        """Read tokens [B, T] from a state, by default the initial one.

        Raises:
            InputError: there are no tokens, or the library's gradient checkpointing is on, which drops the state or
                reads it again after it has changed.
        """
        if not tokens.shape[1]:
            raise InputError("transformers reads at least one token at a time, got none")
        if self.model.training and any(getattr(part, "gradient_checkpointing", False) for part in self.model.modules()):
            raise InputError(
                "the gradient checkpointing of transformers does not carry a state; "
                "turn it off and checkpoint chunks of tokens instead: "
                "torch.utils.checkpoint.checkpoint(model, tokens, state, use_reentrant=False)"
            )
        if state is None and self.patched:
            state = self.initial_state(len(tokens))
        return self.cache_adapter.read(tokens, state)

    def start_from(self, final: State) -> State:
        """Return the state of a new sequence that starts from the recurrent memory of another."""
        return self.cache_adapter.start(super().start_from(final))

    def to_cache(self, state: State) -> Any:
        """Return what the library's own calls take for a state, such as a `DynamicCache` for ``past_key_values``.

        Args:
            state: of this model; it keeps its memory, and the library may write into the cache.

        Raises:
            InputError: the library has no such thing for this family, or counts positions by the keys in its cache,
                and those of a row are others.
        """
        keys = next((state[name] for name in state if name.endswith(".keys")), None)
        if keys is not None and bool((state["position"] != keys.shape[-2]).any()):
            raise InputError(
                f"the library counts positions by the {keys.shape[-2]} keys in its cache, and the rows of this state "
                f"are at {state['position'].tolist()}"
            )
        return self._of_library().cache_of(state)

    def from_cache(self, cache: Any, tokens_read: int) -> State:
        """Return the state that a call of the library left in its cache.

        Args:
            cache: what the call returned, which the library may write into afterwards.
            tokens_read: the tokens that were read up to there, in every row.

        Raises:
            InputError: the library has no such thing for this family.
        """
        adapter = self._of_library()
        state = adapter.state_in(cache, {}).map(Tensor.clone)
        if not adapter.positions:
            return state
        rows = next(iter(state.values())).new_full((state.batch_size,), tokens_read, dtype=torch.int64)
        return State({**state, "position": rows}, {**state.kinds, "position": Kind.POSITION})

    def _of_library(self) -> CacheAdapter:
        """Return the adapter that patches nothing."""
        return type(self.cache_adapter)(self.model, family_of(self.family), False)

    def left_padded_logits(self, tokens_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """Return the logits [B, T, V] of rows that are padded on the left; those of padding mean nothing.

        Args:
            tokens_BT: [B, T] symbols.
            mask_BT: [B, T] ones for tokens, zeros for padding before them.

        Raises:
            InputError: padding leaks into the recurrent state of this family, or stands behind tokens.
        """
        if mask_BT.shape != tokens_BT.shape or bool((mask_BT[:, 1:] < mask_BT[:, :-1]).any()):
            raise InputError("the mask should have the shape of the tokens, and zeros only before the ones of a row")
        if not family_of(self.family).masks:
            raise InputError(f"{self.family} has no attention_mask that keeps padding out of its recurrent state")
        state = self.initial_state(len(tokens_BT)) if self.patched else None
        return self.cache_adapter.read(tokens_BT, state, mask_BT).logits

    def _save_new(self, folder: Path) -> None:
        weights = {name.removeprefix("model."): weight for name, weight in self.state_dict().items()}
        self.model.save_pretrained(folder, state_dict=weights)


def _as_trained(model: HuggingFaceModel, weights: dict[str, Any], prefix: str, _: object) -> None:
    """Give the weights of the model that was asked for them, which may be a copy of the one that this was set for."""
    model.cache_adapter.as_trained(weights, f"{prefix}model.")
