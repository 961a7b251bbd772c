"""The backbone: embedding, residual layers around a mixer, norm and readout, the same for every mixer.

Shape letters: B batch rows, T tokens, D width, C classes, V symbols.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field, SerializeAsAny
from torch import Tensor, nn

from lengthwise.errors import InputError
from lengthwise.models import MIXERS
from lengthwise.models.base import Output, SequenceModel, embed
from lengthwise.models.block import ResidualConfig, ResidualLayer
from lengthwise.models.mixers.base import Mixer, MixerConfig
from lengthwise.models.mixers.recurrent import GRUConfig
from lengthwise.models.positions import NoPositions, PositionEmbedding, PositionsConfig
from lengthwise.models.vectors import Neighbours, begin_with
from lengthwise.registry import OneOf
from lengthwise.settings import LAYERS
from lengthwise.spaces import Space, Tokens, as_space
from lengthwise.state import State


class BackboneConfig(ResidualConfig):
    """Settings of a stack of layers around one kind of mixer."""

    name: Literal["backbone"] = "backbone"
    layers: int = Field(default=2, ge=1, le=LAYERS)
    """How many layers there are."""
    mixer: Annotated[SerializeAsAny[MixerConfig], OneOf(MIXERS)] = GRUConfig()
    """What mixes along time in every layer."""
    # These two are left out of resolved recipes at their defaults: the digests of results that are older stay true.
    positions: PositionsConfig = Field(default=NoPositions(), exclude_if=lambda own: isinstance(own, NoPositions))
    """What is added to the embedding of a token for its place; attention has positions of its own as well."""
    scaled_embedding: bool = Field(default=False, exclude_if=lambda scaled: not scaled)
    """Whether embeddings are multiplied by the square root of D, as in Vaswani et al. 2017, section 3.4, so that they
    are not small beside their positions."""
    pooling: Literal["last", "maximum"] = Field(default="last", exclude_if=lambda pooling: pooling == "last")
    """What is read out after a token: the stream there, or the largest value that each channel had so far, at least
    0."""
    embedding_dropout: float = Field(default=0.0, ge=0, lt=1, exclude_if=lambda chance: not chance)
    """Chance of zeroing a channel of an embedding, in training."""
    vectors: Neighbours | None = Field(default=None, exclude_if=lambda vectors: vectors is None)
    """What embeddings begin as: vectors of neighbouring symbols; chance by default."""
    tied: bool = False
    """Whether the readout shares the embedding's weights; needs as many classes as symbols."""

    def build(self, inputs: Space | int, outputs: Space | int) -> Backbone:
        """Return a freshly initialised model."""
        return Backbone(self, as_space(inputs), as_space(outputs))


class Backbone(SequenceModel):
    """A model with logits for every prefix: residual layers around a mixer.

    Its state has the entries of each layer's mixer, named ``layers.0.matrix`` and so on, and where the embedding has
    positions, how many tokens were read, as ``positions.next``; where the largest values are read out, these as
    ``pooled.largest``.

    Args:
        config: the settings.
        inputs: what it reads: V symbols, or vectors.
        outputs: what it answers: C classes, or vectors of C numbers.

    Raises:
        InputError: the mixer's settings do not go with the width.

    Example:
        >>> import torch
        >>> model = BackboneConfig(width=16).build(5, 5)
        >>> model(torch.tensor([[0, 1, 4]])).logits.shape
        torch.Size([1, 3, 5])
    """

    def __init__(self, config: BackboneConfig, inputs: Space, outputs: Space) -> None:
        super().__init__()
        self.config = config
        self.embedding = embed(inputs, config.width)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = config.final_norm()
        self.classifier = nn.Linear(config.width, outputs.size, bias=False)
        if isinstance(self.embedding, nn.Embedding):
            nn.init.normal_(self.embedding.weight, std=0.02)
        nn.init.normal_(self.classifier.weight, std=0.02)
        if config.tied:
            if inputs != outputs or not isinstance(inputs, Tokens):
                raise InputError(f"model.tied needs as many classes as symbols, not {inputs} and {outputs}")
            self.classifier.weight = self.embedding.weight
        self.embedding_dropout = nn.Dropout(config.embedding_dropout)
        self.positions = (
            None if isinstance(config.positions, NoPositions) else PositionEmbedding(config.positions, config.width)
        )

    def initial_state(self, batch_size: int) -> State:
        """Return the state before any token."""
        parts = {_layer(i): layer.mixer.initial_state(batch_size) for i, layer in enumerate(self._stack)}
        if self.positions is not None:
            parts[_POSITIONS] = self.positions.initial_state(batch_size, self.embedding.weight.device)
        if self.config.pooling == "maximum":
            parts[_POOLED] = State({"largest": self.embedding.weight.new_zeros(batch_size, self.config.width)})
        return State.nested(parts)

    @property
    def unlabelled(self) -> int:
        """Sequences that are looked at before training, without their answers."""
        return self.config.vectors.strings if self.config.vectors else 0

    def look(self, strings: Sequence[Tensor]) -> None:
        """Let embeddings begin as what is found in sequences."""
        if self.config.vectors:
            begin_with(self.embedding, strings, self.config.vectors)

    def forward(self, tokens: Tensor, state: State | None = None) -> Output:
        """Read tokens [B, T], or values [B, T, F], from a state and return logits [B, T, C]."""
        before = self.initial_state(len(tokens)) if state is None else state
        x_BTD, after = self.embedding_dropout(self.embedding(tokens)), dict[str, State]()
        if self.config.scaled_embedding:
            x_BTD = x_BTD * self.config.width**0.5
        if self.positions is not None:
            x_BTD, after[_POSITIONS] = self.positions(x_BTD, before.section(_POSITIONS))
        for number, layer in enumerate(self._stack):
            x_BTD, after[_layer(number)] = layer(x_BTD, before.section(_layer(number)))
        if self.config.pooling == "maximum":
            earlier_B1D = before.section(_POOLED)["largest"][:, None]
            x_BTD = torch.cat([earlier_B1D, x_BTD], 1).cummax(1).values[:, 1:]
            after[_POOLED] = State({"largest": x_BTD[:, -1]})
        return Output(self.classifier(self.norm(x_BTD)), State.nested(after))

    def gives_every_prefix(self) -> bool:
        """Return true: one call gives logits after every position."""
        return True

    @property
    def _stack(self) -> list[Layer]:
        return [layer for layer in self.layers if isinstance(layer, Layer)]


_POSITIONS, _POOLED = "positions", "pooled"


def _layer(number: int) -> str:
    return f"layers.{number}"


class Layer(ResidualLayer):
    """A mixer and, where asked for, a feed-forward layer, each added to the residual stream.

    Args:
        config: the backbone's settings.
    """

    mixer: Mixer

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__(config, config.mixer.build(config.width))

    def forward(self, x_BTD: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the residual stream after the layer, and the mixer's state."""
        mixed_BTD, state = self.mixer(self.before(x_BTD), state)
        return self.after(x_BTD, mixed_BTD), state
