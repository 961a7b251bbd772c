"""The log-depth recurrent unit: one learned binary operator, reduced over a balanced tree.

Shape letters: B batch rows, T tokens, M nodes of a level, N prefix lengths, D width, C classes, V symbols.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor, nn

from lengthwise.models.base import Output, SequenceModel, chunk_size
from lengthwise.models.tree.level import Level, Nodes, TreeModel, TreeModelConfig
from lengthwise.scans import (
    Odd,
    OnlineReduction,
    Rounds,
    SharedNodes,
    packed,
    ragged_levels,
    tree_reduce,
    tree_reduce_prefixes,
    tree_scan,
)
from lengthwise.spaces import Space, as_space
from lengthwise.state import Kind, State

_HELD = 2**16
"""Positions of rows of different lengths that are read together: bounds what is held."""


class LDRUConfig(TreeModelConfig):
    """Settings of a log-depth recurrent unit."""

    name: Literal["ldru"] = "ldru"
    odd: Odd = "carry"
    """What becomes of the lone last element of an odd level."""
    readout: Literal["root", "maximum", "prefixes"] = "root"
    """Logits for the whole string, brackets as in `tree_reduce`, from the root or from the largest value that each
    channel has in any node; or for every prefix, brackets as in `tree_scan`."""

    @model_validator(mode="after")
    def _nodes_are_of_the_string(self) -> Self:
        if self.readout == "maximum" and self.odd != "carry":
            raise ValueError(f"readout 'maximum' looks at nodes of the string alone: odd 'carry', not {self.odd!r}")
        return self

    def build(self, inputs: Space | int, outputs: Space | int) -> LDRU:
        """Return a freshly initialised unit."""
        return LDRU(self, as_space(inputs), as_space(outputs))


class LDRU(TreeModel, SequenceModel):
    """Log-depth recurrent unit.

    Its state is the stack of partial reductions of the tokens read so far (see `OnlineReduction`); an entry ``left``
    of a given state is a left operand of everything that follows, and a row of zeros in it is no operand at all.

    Args:
        config: the settings.
        inputs: what it reads: V symbols, or vectors.
        outputs: what it answers: C classes, or vectors of C numbers.

    Source: Pert, Alrajeh, Russo 2026.

    Example:
        >>> model = LDRUConfig(width=16).build(2, 2)
        >>> model(torch.tensor([[0, 1, 1, 0, 1]])).logits.shape
        torch.Size([1, 2])
    """

    def __init__(self, config: LDRUConfig, inputs: Space, outputs: Space) -> None:
        super().__init__(config, inputs, outputs)
        self.config = config

    def initial_state(self, batch_size: int) -> State:
        """Return the empty stack."""
        position = torch.zeros(batch_size, dtype=torch.int64, device=self.classifier.weight.device)
        return State({"position": position}, {"position": Kind.POSITION})

    def start_from(self, final: State) -> State:
        """Fold all that was read into one left operand; a row of zeros where nothing was."""
        start = self.initial_state(final.batch_size)
        return State({**start, "left": self._folded(final)}, start.kinds)

    def forward(self, tokens: Tensor, state: State | None = None) -> Output:
        """Read tokens [B, T] and return logits [B, C] of all that was read, or [B, T, C] of each prefix."""
        before = self.initial_state(tokens.shape[0]) if state is None else state
        started_B = _started(before)
        if started_B is None or started_B.all():
            return self._read(tokens, before)
        return self._read_apart(tokens, before, started_B)

    def prefix_logits(self, tokens: Tensor, lengths: Sequence[int]) -> Tensor:
        """Return the logits of many prefixes at once, [B, N, C]; all share their dyadic blocks.

        The brackets of each prefix are those of `forward` on it alone.
        """
        if self.gives_every_prefix() or self.config.readout == "maximum":
            return super().prefix_logits(tokens, lengths)
        leaves = self._dropped_leaves(tokens)
        values_BND = tree_reduce_prefixes(self.join, leaves, lengths, odd=self.config.odd, pad_D=self.padding())
        return self.readout(values_BND)

    def asked_logits(self, inputs: Tensor, asked: Tensor) -> Tensor:
        """Return the logits [N, C] at the positions where something is asked, rows first.

        Rows that are asked once, at different places, are read in one go, a level of all their trees at a time.
        """
        if not self.reads_whole(asked):
            return super().asked_logits(inputs, asked)
        ends_N, rows = asked.nonzero()[:, 1] + 1, max(1, _HELD // inputs.shape[1])
        pieces = zip(inputs.split(rows), ends_N.split(rows), strict=True)
        return torch.cat([self._ragged_logits(few[:, : int(ends.max())], ends) for few, ends in pieces])

    def reads_whole(self, asked: Tensor) -> bool:
        """Return whether each row is asked once, at different places: `asked_logits` then reads them together."""
        rooted = self.config.readout != "prefixes" and self.config.odd == "carry"
        return rooted and bool((asked.sum(1) == 1).all()) and int(asked.any(0).sum()) > 1

    def _ragged_logits(self, inputs: Tensor, lengths_B: Tensor) -> Tensor:
        """Return the logits [B, C] of rows of different lengths."""
        leaves_ND = self.leaf_dropout(self.encoder(packed(inputs, lengths_B)))
        levels = ragged_levels(self.join, leaves_ND, lengths_B)
        if self.config.readout == "maximum":
            return self.readout(torch.stack([_largest(nodes_ND, counts_B) for nodes_ND, counts_B in levels]).amax(0))
        return self.readout(deque(levels, maxlen=1)[0][0])

    def string_logits(self, tokens: Tensor, chunk: int | None = None) -> Tensor:
        """Return the logits [B, C] of whole strings without holding more than a chunk of them as values.

        Equal to `forward`; equal substrings of a chunk are computed once.

        Args:
            tokens: [B, T] symbols.
            chunk: tokens reduced at a time, a power of two; 4,096 by default.
        """
        if self.gives_every_prefix() or self.config.readout == "maximum":
            return super().string_logits(tokens, chunk)
        online = OnlineReduction(self.join)
        for piece in tokens.split(chunk or 4096, 1):
            for level, block in self.leaves(piece).dyadic_blocks(self.join):
                online.push(block, level)
        return self.readout(online.reduced(self.config.odd, self.padding()))

    def answers(self, inputs: Tensor, asked: Tensor, state: State | None = None) -> Output:
        """Read a batch from a state; where the root is read out, in pieces that end where something is asked."""
        if self.config.readout == "prefixes":
            return super().answers(inputs, asked, state)
        return self._answers_in_pieces(inputs, asked, state)

    def leaves(self, tokens: Tensor) -> SharedNodes:
        """Encode tokens [B, T], each distinct symbol once, or values [B, T, F], each by itself."""
        if tokens.is_floating_point():
            rows, length = tokens.shape[:2]
            index_BT = torch.arange(rows * length, device=tokens.device).view(rows, length)
            return SharedNodes(self.encoder(tokens.flatten(0, 1)), index_BT)
        symbols, index_BT = torch.unique(tokens, return_inverse=True)
        return SharedNodes(self.encoder(symbols), index_BT)

    def padding(self) -> Tensor | None:
        """Return the [D] element that pads to a power of two where odd levels are read that way."""
        return self.encoder.padding() if self.config.odd == "pad" else None

    def roots(self, tokens: Tensor, carry_first: Sequence[bool] = ()) -> Tensor:
        """Return the values [B, D] at the roots of the trees over tokens [B, T], every node computed by itself.

        Args:
            tokens: [B, T] symbols.
            carry_first: for each level whether its first node goes up unpaired.
        """
        leaves_BTD = self.leaf_dropout(self.leaves(tokens).dense())
        return tree_reduce(self.join, leaves_BTD, odd=self.config.odd, pad_D=self.padding(), carry_first=carry_first)

    def prefixes(self, tokens: Tensor) -> Tensor:
        """Return the values [B, T, D] of all prefixes, with the brackets of `tree_scan`."""
        return tree_scan(self.join, self.leaf_dropout(self.leaves(tokens).dense()))

    def gives_every_prefix(self) -> bool:
        """Return whether logits after every token are had in one go: read out there, or had without the tree."""
        return self.config.readout == "prefixes" or self._skips_tree

    def every_prefix(self, tokens: Tensor) -> Tensor:
        """Return the logits [B, T, C] after every token of [B, T], by the operator's shorter way if it has one."""
        return self.classifier(self._run(tokens)) if self._skips_tree else self(tokens).logits

    @property
    def _skips_tree(self) -> bool:
        """Whether the operator has a shorter way to the root, and symbols and operator are all that makes up a root."""
        config = self.config
        if type(self.encoder.embedding) is not nn.Embedding:
            return False
        bare = (
            config.level == "plain"
            and config.odd == "carry"
            and not self.leaf_dropout.p
            and not config.dropout
            and not config.noise
        )
        return config.readout == "root" and bare and self.join.operator.skips_values

    def _run(self, tokens: Tensor, before_BF: Tensor | None = None) -> Tensor:
        """Return what is read out of every prefix, [B, T, F], by the operator's shorter way."""
        weights = self.encoder.embedding.weight
        leaf_VD = self.encoder(torch.arange(len(weights), device=weights.device))
        return self.join.operator.prefix_features(leaf_VD, tokens, before_BF)

    def _chunks(self, tokens: Tensor, chunk: int | None = None) -> Iterator[tuple[int, Tensor]]:
        """Read tokens [B, T] in chunks; yield where each starts, and its logits."""
        if not self._skips_tree:
            yield from super()._chunks(tokens, chunk)
            return
        start, before_BF = 0, None
        for piece in tokens.split(chunk_size(tokens, chunk), 1):
            features_BTF = self._run(piece, before_BF)
            yield start, self.classifier(features_BTF)
            start, before_BF = start + piece.shape[1], features_BTF[:, -1]

    def nodes(self, tokens: Tensor, rounds: Rounds) -> list[Nodes]:
        """Compute every node of the trees over tokens [B, T], equal substrings once, from the leaves to the root.

        Dropout and noise are drawn once for each distinct substring.

        Args:
            tokens: [B, T] symbols.
            rounds: which neighbours each round joins.

        Returns:
            The nodes before the first round and after each.
        """
        starts = list(range(tokens.shape[1]))
        leaves = Nodes(self._dropped_leaves(tokens), starts, [start + 1 for start in starts])
        return list(accumulate(rounds, lambda level, lefts: level.join(self.join, lefts), initial=leaves))

    def _dropped_leaves(self, tokens: Tensor) -> SharedNodes:
        """Encode tokens [B, T], with dropout drawn once for each distinct symbol."""
        leaves = self.leaves(tokens)
        return SharedNodes(self.leaf_dropout(leaves.table_UD), leaves.index_BM)

    def _read(self, tokens: Tensor, state: State) -> Output:
        """Read tokens [B, T] from a state whose rows all have a left operand, or all have none."""
        online = self._online(state)
        leaves_BTD = self.leaf_dropout(self.leaves(tokens).dense())
        if self.config.readout == "prefixes":
            values = online.scan(leaves_BTD)
            return Output(self.readout(values), self._state(online, tokens.shape[0]))
        if self.config.readout == "root":
            online.push(leaves_BTD)
            return Output(self.readout(self._value(online)), self._state(online, tokens.shape[0]))
        online.operator = seen = _Seen(self.join, state.get("largest"))
        seen.look(leaves_BTD)
        online.push(leaves_BTD)
        # What is joined from here on is of this prefix alone.
        after = self._state(online, tokens.shape[0])
        after = State({**after, "largest": seen.largest}, after.kinds)
        seen.look(self._value(online)[:, None])
        return Output(self.readout(seen.largest), after)

    def _read_apart(self, tokens: Tensor, before: State, started_B: Tensor) -> Output:
        """Read the rows that have a left operand, then those that have none."""
        outputs = list[Output]()
        for rows_B, source in ((started_B, before), (~started_B, _without_left(before))):
            if rows_B.any():
                logits, after = self._read(tokens[rows_B], source.rows(rows_B))
                outputs.append(Output(logits, State({"left": before["left"][rows_B], **after}, after.kinds)))
        order_B = torch.cat([started_B.nonzero(), (~started_B).nonzero()])[:, 0].argsort()
        state = State.concat([output.state for output in outputs])
        return Output(torch.cat([output.logits for output in outputs])[order_B], state.rows(order_B))

    def _value(self, online: OnlineReduction) -> Tensor:
        """Return [B, D] what is read out after the last element."""
        return online.value() if self.config.readout == "prefixes" else online.reduced(self.config.odd, self.padding())

    def _folded(self, state: State) -> Tensor:
        """Return [B, D] the value of all that a state has read, its left operand included."""
        online, started_B = self._online(state), _started(state)
        if not online.count:
            zeros_BD = self.classifier.weight.new_zeros(state.batch_size, self.config.width)
            return state.get("left", zeros_BD)
        alone_BD = self._value(self._online(_without_left(state)))
        return alone_BD if started_B is None else torch.where(started_B[:, None], self._value(online), alone_BD)

    def _online(self, state: State) -> OnlineReduction:
        partials = {int(name.removeprefix("partial.")): state[name] for name in state if name.startswith("partial.")}
        return OnlineReduction(self.join, partials, int(state["position"][0]), state.get("left"))

    def _state(self, online: OnlineReduction, batch_size: int) -> State:
        entries = {f"partial.{level}": value for level, value in sorted(online.partials.items())}
        if online.initial_BD is not None:
            entries["left"] = online.initial_BD
        position = torch.full((batch_size,), online.count, device=self.classifier.weight.device)
        return State(entries | {"position": position}, {"position": Kind.POSITION})


def _largest(nodes_ND: Tensor, counts_B: Tensor) -> Tensor:
    """Return the largest value of each channel in the nodes of each row, [B, D]."""
    # Where values are equal, torch.segment_reduce gives each of them the whole gradient.
    rows_N = torch.arange(len(counts_B), device=counts_B.device).repeat_interleave(counts_B)
    none_BD = nodes_ND.new_zeros(len(counts_B), nodes_ND.shape[1])
    return none_BD.scatter_reduce(0, rows_N[:, None].expand_as(nodes_ND), nodes_ND, "amax", include_self=False)


class _Seen:
    """A join that remembers the largest value that each channel had in a node, [B, D]."""

    def __init__(self, join: Level, largest_BD: Tensor | None) -> None:
        self.join, self._largest_BD = join, largest_BD

    def __call__(self, left: Tensor, right: Tensor) -> Tensor:
        return self.look(self.join(left, right))

    def neighbours(self, x_BMD: Tensor) -> Tensor:
        return self.look(self.join.neighbours(x_BMD))

    def look(self, nodes_BMD: Tensor) -> Tensor:
        largest_BD, before_BD = nodes_BMD.max(1).values, self._largest_BD
        if before_BD is not None:
            # Among equal values the first one has the gradient, wherever a string is cut.
            largest_BD = torch.where(largest_BD > before_BD, largest_BD, before_BD)
        self._largest_BD = largest_BD
        return nodes_BMD

    @property
    def largest(self) -> Tensor:
        assert self._largest_BD is not None  # a leaf was seen
        return self._largest_BD


def _started(state: State) -> Tensor | None:
    """Return [B] which rows have a left operand; none where the state has no such entry."""
    return state["left"].any(1) if "left" in state else None


def _without_left(state: State) -> State:
    names = [name for name in state if name != "left"]
    return State({name: state[name] for name in names}, {name: state.kinds[name] for name in names})
