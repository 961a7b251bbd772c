"""RegularGPT: one layer with shared weights, applied as often as it takes to reach every token of a string.

Shape letters: B batch rows, T tokens, N prefix lengths, M elements of a level (the pad, then what is left of the
tokens), Q elements that attend, D width, H heads, K channels of a head, C tokens of a chunk, V symbols.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from lengthwise.errors import InputError
from lengthwise.models.base import StringModel, embed, ends_asked
from lengthwise.models.block import FeedForwardKind, NormKind, ResidualConfig, ResidualLayer
from lengthwise.models.mixers.base import share
from lengthwise.settings import LARGEST, LAYERS
from lengthwise.spaces import Space, as_space


class RegularGPTConfig(ResidualConfig):
    """Settings of RegularGPT."""

    name: Literal["regular_gpt"] = "regular_gpt"
    norm: NormKind = "layer"
    """``rms``: root-mean-square norm; ``layer``: layer norm with a bias."""
    feed_forward: float = Field(default=4.0, ge=0, le=LARGEST)
    """Width of the feed-forward layer as a multiple of D; none at 0."""
    feed_forward_kind: FeedForwardKind = "relu"
    """``gated``: SwiGLU, three matrices without biases; ``relu``: two linear maps around a ReLU."""
    heads: int = Field(default=8, ge=1)
    """H; must divide the width."""
    chunk: int = Field(default=2, ge=2)
    """C, how many elements an element attends to."""
    thickness: int = Field(default=1, ge=1, le=LAYERS)
    """How many layers with weights of their own make up the layer that is repeated."""

    def build(self, inputs: Space | int, outputs: Space | int) -> RegularGPT:
        """Return a freshly initialised model."""
        return RegularGPT(self, as_space(inputs), as_space(outputs))


class Logits(NamedTuple):
    """What the model returns: logits [B, T, C] of every prefix. There is no state."""

    logits: Tensor


class RegularGPT(StringModel):
    """A Transformer whose depth grows with the logarithm of the length.

    In level l, counted from 0, a position attends to itself and to those C**l, 2 C**l, ... (C - 1) C**l before it; all
    levels share their weights. A string of n tokens is read at its last position after ceil(log_C n) levels, the
    fewest that reach its first token. To the left of the string stand pads, as many as any level asks for; they are one
    learned vector, which goes through the levels as well.

    What stands at a position after some level depends on no token to its right and on nothing else than the tokens to
    its left and the level. So the logits of all prefixes, each after as many levels as its length asks for, come from
    one pass (`forward`, `prefix_logits`, `asked_logits`), and equal those of each prefix read by itself
    (`string_logits`), where only the positions that later levels attend to are computed: about n C / (C - 1) instead
    of n log_C n. A string of one token is read after no level at all.

    Where the source is silent we chose: pads are seen wherever a level looks beyond the string, also when a thicker
    layer looks beyond the next power of C; the norm stands before each part; projections have no biases.

    Args:
        config: the settings.
        inputs: what it reads: V symbols, or vectors.
        outputs: what it answers.

    Raises:
        InputError: the heads do not divide the width.

    Source: Chi, Fan, Rudnicky, Ramadge 2023, "Transformer Working Memory Enables Regular Language Reasoning and
    Natural Language Length Extrapolation", section 3.

    Example:
        >>> model = RegularGPTConfig(width=16).build(2, 2)
        >>> model.string_logits(torch.tensor([[0, 1, 1, 0, 1]])).shape
        torch.Size([1, 2])
    """

    def __init__(self, config: RegularGPTConfig, inputs: Space, outputs: Space) -> None:
        super().__init__()
        self.config = config
        self.embedding = embed(inputs, config.width)
        self.pad = nn.Parameter(0.02 * torch.randn(config.width))
        """[D]"""
        self.layers = nn.ModuleList(
            ResidualLayer(config, ChunkAttention(config.width, config.heads, config.chunk))
            for _ in range(config.thickness)
        )
        self.norm = config.final_norm()
        self.classifier = nn.Linear(config.width, outputs.size, bias=False)
        if isinstance(self.embedding, nn.Embedding):
            nn.init.normal_(self.embedding.weight, std=0.02)
        nn.init.normal_(self.classifier.weight, std=0.02)

    def forward(self, tokens: Tensor) -> Logits:
        """Return the logits [B, T, C] of every prefix of tokens [B, T]."""
        return Logits(self.prefix_logits(tokens, range(1, tokens.shape[1] + 1)))

    def gives_every_prefix(self) -> bool:
        """Return true: one call gives logits after every token."""
        return True

    def string_logits(self, tokens: Tensor) -> Tensor:
        """Return the logits [B, C] of whole strings.

        Args:
            tokens: [B, T] symbols, T at least 1.

        Raises:
            InputError: the strings are empty.
        """
        x_BMD, C = self._leaves(tokens), self.config.chunk
        while x_BMD.shape[1] > 2:
            last = x_BMD.shape[1] - 1
            needed = torch.arange(last - (last - 1) // C * C, last + 1, C, device=tokens.device)
            # Positions that are C**l apart lie side by side, since those between them were left out.
            x_BMD = self._level(x_BMD, 1, torch.cat([needed.new_zeros(1), needed]))
        return self._read(x_BMD[:, -1])

    def prefix_logits(self, tokens: Tensor, lengths: Sequence[int]) -> Tensor:
        """Return the logits of many prefixes of the same strings, [B, N, C], from one pass.

        Args:
            tokens: [B, T] symbols.
            lengths: N increasing prefix lengths, each in 1..T.
        """
        read = tokens[:, : lengths[-1]]
        return self.asked_logits(read, ends_asked(read, lengths)).unflatten(0, (len(tokens), -1))

    def asked_logits(self, inputs: Tensor, asked: Tensor) -> Tensor:
        """Return the logits [N, C] at the positions where something is asked, rows first.

        They come from one pass, but where each row is asked once: whole strings take fewer positions.

        Args:
            inputs: [B, T] symbols or [B, T, F] values.
            asked: [B, T] booleans, N of them true.
        """
        if bool((asked.sum(1) == 1).all()):
            return super().asked_logits(inputs, asked)
        rows_N, places_N = asked.nonzero(as_tuple=True)
        lengths_N = places_N + 1
        longest = int(lengths_N.max())
        x_BMD, reach = self._leaves(inputs[:, :longest]), 1
        found_ND = x_BMD[rows_N, lengths_N]
        while reach < longest:
            x_BMD = self._level(x_BMD, reach)
            found_ND = torch.where((lengths_N > reach)[:, None], x_BMD[rows_N, lengths_N], found_ND)
            reach *= self.config.chunk
        return self._read(found_ND)

    def _leaves(self, tokens: Tensor) -> Tensor:
        """Return the pad and the embedded tokens, [B, 1 + T, D]."""
        if not tokens.shape[1]:
            raise InputError("an empty string has no logits")
        return torch.cat([self.pad.expand(len(tokens), 1, -1), self.embedding(tokens)], 1)

    def _level(self, x_BMD: Tensor, distance: int, needed: Tensor | None = None) -> Tensor:
        """Apply the shared layer once.

        Args:
            x_BMD: the pad, then the elements of the level below.
            distance: how far apart those are that attend to each other.
            needed: indices [Q] of the elements to return; all by default.
        """
        layers = [layer for layer in self.layers if isinstance(layer, ResidualLayer)]
        for layer in layers[:-1]:
            x_BMD = layer.after(x_BMD, layer.mixer(layer.before(x_BMD), distance))
        read_BMD = layers[-1].before(x_BMD)
        kept_BQD = x_BMD if needed is None else x_BMD[:, needed]
        return layers[-1].after(kept_BQD, layers[-1].mixer(read_BMD, distance, needed))

    def _read(self, x: Tensor) -> Tensor:
        return self.classifier(self.norm(x))


class ChunkAttention(nn.Module):
    """Attention of each element to itself and the C - 1 elements at multiples of a distance before it.

    Each head adds a learned number to the logit of each place in the chunk. Beyond the first element stands that
    element itself, the pad.

    Args:
        width: D.
        heads: H.
        chunk: C.

    Source: Chi et al. 2023, section 3.1, Sliding-Dilated-Attention.
    """

    def __init__(self, width: int, heads: int, chunk: int) -> None:
        super().__init__()
        share(width, heads, f"width {width}")
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.place = nn.Parameter(torch.zeros(chunk, heads))
        """[C, H], for the element itself first."""

    def forward(self, x_BMD: Tensor, distance: int, needed: Tensor | None = None) -> Tensor:
        """Return what the elements read, [B, Q, D].

        Args:
            x_BMD: the pad, then the elements.
            distance: how far apart those are that attend to each other.
            needed: indices [Q] of the elements that attend; all by default.
        """
        C, H = self.place.shape
        q_BQHK = self.query(x_BMD if needed is None else x_BMD[:, needed]).unflatten(-1, (H, -1))
        both_BMD = self.key_value(x_BMD)
        chunks = [_before(both_BMD, place * distance, needed) for place in range(C)]
        k_BQCHK, v_BQCHK = torch.stack(chunks, 2).unflatten(-1, (2, H, -1)).unbind(3)
        logits_BQCH = (q_BQHK[:, :, None] * k_BQCHK).sum(-1) * k_BQCHK.shape[-1] ** -0.5 + self.place
        return self.output((logits_BQCH.softmax(2)[..., None] * v_BQCHK).sum(2).flatten(2))


def _before(x_BMD: Tensor, places: int, needed: Tensor | None) -> Tensor:
    """Return what stands so many places before each element, or each needed one; the first before the first."""
    places = min(places, x_BMD.shape[1])
    shifted = torch.cat([x_BMD[:, :1].expand(-1, places, -1), x_BMD[:, : x_BMD.shape[1] - places]], 1)
    return shifted if needed is None else shifted[:, needed]
