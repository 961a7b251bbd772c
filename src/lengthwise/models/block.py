"""Parts of every residual layer, whatever mixes along time: norms, feed-forward layers, dropout.

Shape letters: B batch rows, T tokens, D width, F width of the feed-forward layer.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lengthwise.models.base import ModelConfig
from lengthwise.settings import LARGEST

NormKind = Literal["rms", "layer"]
FeedForwardKind = Literal["gated", "relu"]


class ResidualConfig(ModelConfig):
    """Settings that models with a residual stream share."""

    width: int = Field(default=128, ge=1)
    """D, the size of the residual stream."""
    # These are left out of resolved recipes at their defaults: the digests of results that are older stay true.
    norm: NormKind = Field(default="rms", exclude_if=lambda norm: norm == "rms")
    """``rms``: root-mean-square norm; ``layer``: layer norm with a bias."""
    norm_epsilon: float | None = Field(default=None, gt=0, le=1, exclude_if=lambda epsilon: epsilon is None)
    """What is added to mean squares before their root is divided by; torch's own by default."""
    norm_place: Literal["pre", "post"] = Field(default="pre", exclude_if=lambda place: place == "pre")
    """``pre``: each part reads a norm of the stream, and so does the readout; ``post``: the stream itself goes through
    a norm after each part, and the readout has none (Vaswani et al. 2017)."""
    feed_forward: float = Field(default=0.0, ge=0, le=LARGEST)
    """Width of the feed-forward layer after each mixer as a multiple of D; none at 0."""
    feed_forward_kind: FeedForwardKind = Field(default="gated", exclude_if=lambda kind: kind == "gated")
    """``gated``: SwiGLU, three matrices without biases; ``relu``: two linear maps around a ReLU."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Chance of zeroing a channel that is added to the residual stream, in training."""

    def final_norm(self) -> nn.Module:
        """Return what stands between the residual stream and the readout."""
        return self.fresh_norm() if self.norm_place == "pre" else nn.Identity()

    def fresh_norm(self) -> nn.Module:
        """Return a norm over the last dimension, as it is before training."""
        return make_norm(self.norm, self.width, self.norm_epsilon)


class ResidualLayer(nn.Module):
    """A mixer and, where asked for, a feed-forward layer, each added to the residual stream.

    Args:
        config: the model's settings.
        mixer: what mixes along time; whoever owns the layer calls it between `before` and `after`.
    """

    def __init__(self, config: ResidualConfig, mixer: nn.Module) -> None:
        super().__init__()
        self.pre = config.norm_place == "pre"
        self.norm = config.fresh_norm()
        self.mixer = mixer
        self.dropout = nn.Dropout(config.dropout)
        if config.feed_forward:
            self.feed_forward_norm = config.fresh_norm()
            hidden = round(config.feed_forward * config.width)
            feed_forward = GatedFeedForward if config.feed_forward_kind == "gated" else ReLUFeedForward
            self.feed_forward = feed_forward(config.width, hidden)

    def before(self, x_BTD: Tensor) -> Tensor:
        """Return what the mixer reads of the residual stream."""
        return self.norm(x_BTD) if self.pre else x_BTD

    def after(self, x_BTD: Tensor, mixed_BTD: Tensor) -> Tensor:
        """Return the residual stream after the layer, from that before it and what the mixer gave."""
        x_BTD = self._add(x_BTD, mixed_BTD, self.norm)
        if not hasattr(self, "feed_forward"):
            return x_BTD
        read_BTD = self.feed_forward_norm(x_BTD) if self.pre else x_BTD
        return self._add(x_BTD, self.feed_forward(read_BTD), self.feed_forward_norm)

    def _add(self, x_BTD: Tensor, part_BTD: Tensor, norm: nn.Module) -> Tensor:
        sum_BTD = x_BTD + self.dropout(part_BTD)
        return sum_BTD if self.pre else norm(sum_BTD)


def make_norm(kind: NormKind, width: int, epsilon: float | None = None) -> nn.Module:
    """Return a fresh norm over the last dimension."""
    if kind == "rms":
        return nn.RMSNorm(width, epsilon)
    return nn.LayerNorm(width) if epsilon is None else nn.LayerNorm(width, epsilon)


class GatedFeedForward(nn.Module):
    """SwiGLU: a linear map of silu(gate) times value.

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


class ReLUFeedForward(nn.Module):
    """Two linear maps with biases around a ReLU.

    Source: Vaswani et al. 2017, equation 2.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Map [B, T, D] to [B, T, D], each token by itself."""
        return self.contract(self.expand(x_BTD).relu())
