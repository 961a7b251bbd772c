"""The backbone: embedding, residual layers around a mixer, norm and readout, the same for every mixer.

Shape letters: B batch rows, T tokens, D width, F width of the feed-forward layer, C classes, V symbols.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field, SerializeAsAny
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lengthwise.models import MIXERS
from lengthwise.models.base import ModelConfig, Output, SequenceModel
from lengthwise.models.mixer import MixerConfig
from lengthwise.models.recurrent import GRUConfig
from lengthwise.registry import OneOf
from lengthwise.state import State


class BackboneConfig(ModelConfig):
    """Settings of a stack of layers around one kind of mixer."""

    name: Literal["backbone"] = "backbone"
    width: int = Field(default=128, ge=1)
    """D, the size of the residual stream."""
    layers: int = Field(default=2, ge=1)
    """How many layers there are."""
    mixer: Annotated[SerializeAsAny[MixerConfig], OneOf(MIXERS)] = GRUConfig()
    """What mixes along time in every layer."""
    feed_forward: float = Field(default=0.0, ge=0)
    """Width of the gated feed-forward layer after each mixer as a multiple of D; none at 0."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Chance of zeroing a channel that is added to the residual stream, in training."""
    tied: bool = False
    """Whether the readout shares the embedding's weights; needs as many classes as symbols."""

    def build(self, vocabulary: int, classes: int) -> Backbone:
        """Return a freshly initialised model."""
        return Backbone(self, vocabulary, classes)


class Backbone(SequenceModel):
    """A recurrent model with logits for every prefix: pre-norm residual layers around a mixer.

    Its state has the entries of each layer's mixer, named ``layers.0.matrix`` and so on.

    Args:
        config: the settings.
        vocabulary: V, number of different symbols.
        classes: C, number of classes; the number of symbols for a language model.

    Raises:
        InputError: the mixer's settings do not go with the width.

    Example:
        >>> model = BackboneConfig(width=16).build(vocabulary=5, classes=5)
        >>> model(torch.tensor([[0, 1, 4]])).logits.shape
        torch.Size([1, 3, 5])
    """

    def __init__(self, config: BackboneConfig, vocabulary: int, classes: int) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(vocabulary, config.width)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.width)
        self.classifier = nn.Linear(config.width, classes, bias=False)
        nn.init.normal_(self.embedding.weight, std=0.02)
        nn.init.normal_(self.classifier.weight, std=0.02)
        if config.tied:
            self.classifier.weight = self.embedding.weight

    def initial_state(self, batch_size: int) -> State:
        """Return the state before any token."""
        return State.nested({_layer(i): layer.mixer.initial_state(batch_size) for i, layer in enumerate(self._stack)})

    def forward(self, tokens: Tensor, state: State | None = None) -> Output:
        """Read tokens [B, T] from a state and return logits [B, T, C]."""
        before = self.initial_state(len(tokens)) if state is None else state
        x_BTD, after = self.embedding(tokens), dict[str, State]()
        for number, layer in enumerate(self._stack):
            x_BTD, after[_layer(number)] = layer(x_BTD, before.section(_layer(number)))
        return Output(self.classifier(self.norm(x_BTD)), State.nested(after))

    @property
    def _stack(self) -> list[Layer]:
        return [layer for layer in self.layers if isinstance(layer, Layer)]


def _layer(number: int) -> str:
    return f"layers.{number}"


class Layer(nn.Module):
    """A mixer and, where asked for, a feed-forward layer, each on a norm of the residual stream and added to it.

    Args:
        config: the backbone's settings.
    """

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(config.width)
        self.mixer = config.mixer.build(config.width)
        self.dropout = nn.Dropout(config.dropout)
        if config.feed_forward:
            self.feed_forward_norm = nn.RMSNorm(config.width)
            self.feed_forward = GatedFeedForward(config.width, round(config.feed_forward * config.width))

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the residual stream after the layer, and the mixer's state."""
        mixed_BTD, state = self.mixer(self.norm(x_BTD), state)
        x_BTD = x_BTD + self.dropout(mixed_BTD)
        if hasattr(self, "feed_forward"):
            x_BTD = x_BTD + self.dropout(self.feed_forward(self.feed_forward_norm(x_BTD)))
        return x_BTD, state


class GatedFeedForward(nn.Module):
    """SwiGLU: a linear map of silu(gate) times value.

    Args:
        width: D.
        hidden: F.

    Source: Shazeer 2020, equation 6.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.expand = nn.Linear(width, 2 * hidden, bias=False)
        self.contract = nn.Linear(hidden, width, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Map [B, T, D] to [B, T, D], each token by itself."""
        gate, value = torch.chunk(self.expand(x_BTD), 2, -1)
        return self.contract(F.silu(gate) * value)
