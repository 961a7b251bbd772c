"""RWKV-6 and RWKV-7 as published: blocks of two residual halves, each with a norm and a token shift of its own.

Shape letters: B batch rows, T tokens, D width, H heads, K channels of a head, C classes.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from lengthwise.models.base import ModelConfig, Output, SequenceModel, embed
from lengthwise.models.mixers import rwkv6, rwkv7
from lengthwise.models.mixers.base import share
from lengthwise.models.mixers.initialisation import precise
from lengthwise.models.mixers.rwkv6 import RWKV6Config
from lengthwise.models.mixers.rwkv7 import RWKV7Config
from lengthwise.settings import LAYERS
from lengthwise.spaces import Space, as_space
from lengthwise.state import Kind, State


class RWKVConfig(ModelConfig):
    """Settings of an RWKV model."""

    name: Literal["rwkv"] = "rwkv"
    width: int = Field(default=128, ge=1)
    """D, the size of the residual stream."""
    layers: int = Field(default=2, ge=1, le=LAYERS)
    """How many blocks there are."""
    block: Annotated[RWKV6Config | RWKV7Config, Field(discriminator="name")] = RWKV7Config()
    """Which version they are of; ``channel_mix`` must not be 0."""
    norm_epsilon: float = Field(default=1e-5, gt=0, le=1)
    """Added to the variances of the residual stream."""

    def build(self, inputs: Space | int, outputs: Space | int) -> RWKV:
        """Return a freshly initialised model."""
        return RWKV(self, as_space(inputs), as_space(outputs))


class RWKV(SequenceModel):
    """An RWKV model, with a norm behind its embedding.

    Its state has, for each block, ``layers.0.matrix`` [B, H, K, K] with keys before values, in float32 at least, and
    the last input of either half, ``layers.0.shift`` and ``layers.0.channel_shift`` [B, 1, D].

    Args:
        config: the settings.
        inputs: what it reads: V symbols, or vectors.
        outputs: what it answers: C classes, or vectors of C numbers.

    Raises:
        InputError: the heads do not divide the width.

    Source: Peng et al. 2024 (Eagle and Finch); Peng et al. 2025 (Goose).

    Example:
        >>> import torch
        >>> model = RWKVConfig(width=16, block=RWKV7Config(head_size=8)).build(5, 5)
        >>> logits, state = model(torch.tensor([[0, 1, 4]]))
        >>> logits.shape, state["layers.0.matrix"].shape
        (torch.Size([1, 3, 5]), torch.Size([1, 2, 8, 8]))
    """

    def __init__(self, config: RWKVConfig, inputs: Space, outputs: Space) -> None:
        super().__init__()
        self.config, size = config, config.block.head_size
        self.heads = share(config.width, size, f"width {config.width}", f"heads of {size} channels")
        self.embedding = embed(inputs, config.width)
        self.embedding_norm = nn.LayerNorm(config.width, config.norm_epsilon)
        self.layers = nn.ModuleList(Block(config, number) for number in range(config.layers))
        self.norm = nn.LayerNorm(config.width, config.norm_epsilon)
        self.classifier = nn.Linear(config.width, outputs.size, bias=False)
        if isinstance(self.embedding, nn.Embedding):
            nn.init.normal_(self.embedding.weight, std=0.02)
        nn.init.normal_(self.classifier.weight, std=0.02)

    def initial_state(self, batch_size: int) -> State:
        """Return the state before any token: zeros."""
        like, size = self.norm.weight, self.config.block.head_size
        matrix = precise(like.new_zeros(batch_size, self.heads, size, size))
        shift = like.new_zeros(batch_size, 1, self.config.width)
        return State.nested({f"layers.{n}": _of_block(matrix, shift, shift) for n in range(self.config.layers)})

    def forward(self, tokens: Tensor, state: State | None = None) -> Output:
        """Read tokens [B, T], or values [B, T, F], from a state and return logits [B, T, C]."""
        before = self.initial_state(len(tokens)) if state is None else state
        x_BTD, first_BTD, after = self.embedding_norm(self.embedding(tokens)), None, dict[str, State]()
        for number, block in enumerate(self.layers):
            name = f"layers.{number}"
            x_BTD, first_BTD, after[name] = block(x_BTD, first_BTD, before.section(name))
        return Output(self.classifier(self.norm(x_BTD)), State.nested(after))

    def gives_every_prefix(self) -> bool:
        """Return true: one call gives logits after every position."""
        return True


class Block(nn.Module):
    """A time mix and a channel mix, each of a norm of the residual stream and added to it.

    Args:
        config: the model's settings.
        number: of the block, from 0.
    """

    def __init__(self, config: RWKVConfig, number: int) -> None:
        super().__init__()
        width, hidden = config.width, round(config.block.channel_mix * config.width)
        self.norm = nn.LayerNorm(width, config.norm_epsilon)
        self.channel_norm = nn.LayerNorm(width, config.norm_epsilon)
        if isinstance(config.block, RWKV7Config):
            depth = number / config.layers
            self.time_mix = rwkv7.TimeMix(config.block, width, depth, first=number == 0)
            self.channel_mix = rwkv7.ChannelMix(width, hidden, depth)
        else:
            self.time_mix = rwkv6.TimeMix(config.block, width)
            self.channel_mix = rwkv6.ChannelMix(width, hidden)

    def forward(self, x_BTD: Tensor, first_BTD: Tensor | None, state: State) -> tuple[Tensor, Tensor | None, State]:
        """Return the residual stream after the block, the values of the first block, and the state."""
        matrix, shift, channel_shift = (state[name] for name in _ENTRIES)
        if isinstance(self.time_mix, rwkv7.TimeMix):
            mixed_BTD, matrix, shift, first_BTD = self.time_mix(self.norm(x_BTD), matrix, shift, first_BTD)
        else:
            mixed_BTD, matrix, shift = self.time_mix(self.norm(x_BTD), matrix, shift)
        x_BTD = x_BTD + mixed_BTD
        mixed_BTD, channel_shift = self.channel_mix(self.channel_norm(x_BTD), channel_shift)
        return x_BTD + mixed_BTD, first_BTD, _of_block(matrix, shift, channel_shift)


_ENTRIES = ("matrix", "shift", "channel_shift")


def _of_block(*entries: Tensor) -> State:
    return State(dict(zip(_ENTRIES, entries, strict=True)), dict.fromkeys(_ENTRIES[1:], Kind.CONV))
