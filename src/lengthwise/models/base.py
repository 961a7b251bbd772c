"""The contracts of models: one that classifies strings, and one whose state carries all that later tokens need.

Shape letters: B batch rows, T tokens, C classes or symbols, N prefix lengths.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lengthwise.errors import InputError, RunError
from lengthwise.settings import Settings
from lengthwise.spaces import Space, Tokens
from lengthwise.state import Kind, State


class Output(NamedTuple):
    """What a model returns: logits [B, C] for a string or [B, T, C] for every prefix, and the state after it."""

    logits: Tensor
    state: State


def embed(inputs: Space, width: int) -> nn.Embedding | nn.Linear:
    """Return what maps inputs to vectors of a width: a table of symbols, or a linear map of values."""
    if not isinstance(inputs, Tokens):
        return nn.Linear(inputs.size, width)
    return nn.Embedding(inputs.size, width) if inputs.kinds == 1 else SummedEmbedding(inputs, width)


class SummedEmbedding(nn.Embedding):
    """The embedding of symbols that are words of several kinds: one vector a word, and one a kind, which are added.

    Args:
        inputs: the symbols.
        width: of the vectors.
    """

    def __init__(self, inputs: Tokens, width: int) -> None:
        self.words = inputs.size // inputs.kinds
        super().__init__(self.words + inputs.kinds, width)

    def forward(self, input: Tensor) -> Tensor:
        """Map symbols [...] to vectors [..., D]."""
        return super().forward(input % self.words) + super().forward(self.words + input // self.words)


SYMBOLS = 16_384
"""Symbols that a model with a state reads at a time, over all rows: bounds what it holds, whatever the length."""


class ModelConfig(Settings, ABC):
    """Settings of a model; `build` makes it."""

    @abstractmethod
    def build(self, inputs: Space | int, outputs: Space | int) -> StringModel:
        """Return a freshly initialised model.

        Args:
            inputs: what it reads; a number is that of the different symbols.
            outputs: what it answers; a number is that of the classes.

        Raises:
            InputError: the settings do not go with them.
        """

    @property
    def told(self) -> str:
        """What the model knows of its task before training that others do not, in words; nothing by default."""
        return ""

    def identity(self) -> str:
        """Return a hash of what names in the settings stand for, such as a checkpoint; empty by default."""
        return ""

    def paths(self) -> tuple[str, ...]:
        """Return the settings that say where something lies and not what it is; none by default."""
        return ()


class StringModel(nn.Module, ABC):
    """A model that gives the class of a string: all that training and evaluation on languages need."""

    @abstractmethod
    def string_logits(self, tokens: Tensor) -> Tensor:
        """Return the logits [B, C] of whole strings.

        Args:
            tokens: [B, T] symbols, T at least 1.
        """

    def prefix_logits(self, tokens: Tensor, lengths: Sequence[int]) -> Tensor:
        """Return the logits of many prefixes of the same strings, [B, N, C]; by default each is read by itself.

        Args:
            tokens: [B, T] symbols.
            lengths: N increasing prefix lengths, each in 1..T.
        """
        return torch.stack([self.string_logits(tokens[:, :length]) for length in lengths], 1)

    def asked_logits(self, inputs: Tensor, asked: Tensor) -> Tensor:
        """Return the logits [N, C] at the positions where something is asked, rows first.

        What stands to the right of a position changes nothing, so rows may be padded there. By default prefixes of
        one length are read together, once each.

        Args:
            inputs: [B, T] symbols or [B, T, F] values.
            asked: [B, T] booleans, N of them true.
        """
        rows_N, places_N = asked.nonzero(as_tuple=True)
        if bool((asked.sum(1) == 1).all()):
            found = [(places_N == place).nonzero()[:, 0] for place in places_N.unique()]
            logits = [self.string_logits(inputs[rows_N[few], : int(places_N[few[0]]) + 1]) for few in found]
            return torch.cat(logits)[torch.cat(found).argsort()]
        places = places_N.unique()
        logits_BNC = self.prefix_logits(inputs, [int(place) + 1 for place in places])
        return logits_BNC[rows_N, torch.searchsorted(places, places_N)]

    def reads_whole(self, asked: Tensor) -> bool:
        """Return whether `asked_logits` is the way to train on rows that are asked there [B, T], and not a state's.

        False by default: rows are read from a state where a model has one.
        """
        del asked
        return False

    def gives_every_prefix(self) -> bool:
        """Return whether one call gives logits after every token, [B, T, C], and not after the last alone."""
        return False

    def every_prefix(self, tokens: Tensor) -> Tensor:
        """Return the logits [B, T, C] after every token of [B, T], for a model that gives them in one call."""
        return self(tokens).logits

    @property
    def unlabelled(self) -> int:
        """Sequences without answers that the model looks at before it is trained; none by default."""
        return 0

    def look(self, strings: Sequence[Tensor]) -> None:
        """Take what the settings ask for from sequences without answers, once before training; nothing by default.

        Args:
            strings: as many as `unlabelled` says, [T] symbols or [T, F] values each. What is found is kept in
                parameters or buffers, so that a checkpoint has it.
        """

    def penalty(self) -> Tensor | None:
        """Return what the model adds to its training loss for its own sake; nothing by default."""
        return None

    def anneal(self, progress: float) -> None:
        """Follow a schedule over training; `progress` runs from 0 to 1. Nothing by default."""


class SequenceModel(StringModel):
    """A model whose state carries all that later tokens need.

    Reading a sequence in one call gives the same outputs, final state and gradients as reading it in pieces.
    """

    @abstractmethod
    def initial_state(self, batch_size: int) -> State:
        """Return the state before any token."""

    @abstractmethod
    def forward(self, tokens: Tensor, state: State | None = None) -> Output:
        """Read tokens [B, T] from a state, by default the initial one."""

    def start_from(self, final: State) -> State:
        """Return the state of a new sequence that starts from the recurrent memory of another.

        Recurrent entries are kept, all others are those of the initial state. A model whose recurrent entries change
        with the position overrides it: the entries and shapes of a start are always the same.

        Args:
            final: a state of this model after any number of tokens.
        """
        start = self.initial_state(final.batch_size)
        kept = {name: final[name] for name, kind in start.kinds.items() if kind is Kind.RECURRENT}
        return State({**start, **kept}, start.kinds)

    def gives_every_prefix(self) -> bool:
        """Return whether one call gives logits after every token, [B, T, C]: asked of one symbol.

        A model that reads values overrides it.
        """
        parameter = next(self.parameters())
        with torch.no_grad():
            return self(torch.zeros(1, 1, dtype=torch.int64, device=parameter.device)).logits.ndim == 3

    def string_logits(self, tokens: Tensor, chunk: int | None = None) -> Tensor:
        """Return the logits [B, C] of whole strings, read in chunks with the state carried.

        Args:
            tokens: [B, T] symbols.
            chunk: tokens read at a time; by default as many as make `SYMBOLS` over all rows.

        Raises:
            InputError: the strings are empty.
        """
        if not tokens.shape[1]:
            raise InputError("an empty string has no logits")
        ((_, logits),) = deque(self._chunks(tokens, chunk), maxlen=1)
        return last_logits(logits)

    def prefix_logits(self, tokens: Tensor, lengths: Sequence[int]) -> Tensor:
        """Return the logits of many prefixes of the same strings, [B, N, C], all read in one go.

        Args:
            tokens: [B, T] symbols.
            lengths: N increasing prefix lengths, each in 1..T.
        """
        read = tokens[:, : lengths[-1]]
        asked = ends_asked(read, lengths)
        every = self.gives_every_prefix()
        found = self._asked_in_chunks(read, asked) if every else self._answers_in_pieces(read, asked, None).logits
        return found.unflatten(0, (len(tokens), -1))

    def asked_logits(self, inputs: Tensor, asked: Tensor) -> Tensor:
        """Return the logits [N, C] at the positions where something is asked, rows first, read in chunks.

        Args:
            inputs: [B, T] symbols or [B, T, F] values.
            asked: [B, T] booleans, N of them true.
        """
        return (
            self._asked_in_chunks(inputs, asked) if self.gives_every_prefix() else super().asked_logits(inputs, asked)
        )

    def _asked_in_chunks(self, inputs: Tensor, asked: Tensor) -> Tensor:
        """Return what `asked_logits` does, of a model that gives logits after every token."""
        last = int(asked.any(0).nonzero()[-1]) + 1
        found, rows = list[Tensor](), list[Tensor]()
        for start, logits_BTC in self._chunks(inputs[:, :last]):
            rows_N, places_N = asked[:, start : start + logits_BTC.shape[1]].nonzero(as_tuple=True)
            found.append(logits_BTC[rows_N, places_N])
            rows.append(rows_N)
        # Chunks are in the order of positions, and the sort is stable.
        return torch.cat(found)[torch.cat(rows).argsort(stable=True)]

    def answers(self, inputs: Tensor, asked: Tensor, state: State | None = None) -> Output:
        """Read a batch from a state: the logits [N, C] where something is asked, rows first, and the state after it.

        A model that answers at its end alone is read in pieces that end where something is asked.

        Args:
            inputs: [B, T] symbols or [B, T, F] values.
            asked: [B, T] booleans, N of them true.
            state: of B rows; the initial one by default.
        """
        logits, after = self(inputs, state)
        if logits.ndim == 3:
            return Output(logits.flatten(0, 1) if asked.all() else logits[asked], after)
        if not asked[:, :-1].any():
            return Output(logits[asked[:, -1]], after)
        return self._answers_in_pieces(inputs, asked, state)

    def _answers_in_pieces(self, inputs: Tensor, asked: Tensor, state: State | None) -> Output:
        """Return what `answers` does, of a model that answers at the end of what it reads alone."""
        after = self.initial_state(len(inputs)) if state is None else state
        ends_N, found = asked.any(0).nonzero()[:, 0], list[Tensor]()
        for piece in read(self, inputs, inputs.shape[1], (ends_N + 1).tolist(), after):
            logits, after = piece.output
            found.append(logits)
        if not len(ends_N):
            return Output(found[-1][:0], after)
        logits_BNC = torch.stack(found[: len(ends_N)], 1)
        return Output(logits_BNC[asked[:, ends_N]], after)

    def _chunks(self, tokens: Tensor, chunk: int | None = None) -> Iterator[tuple[int, Tensor]]:
        """Read tokens [B, T] in chunks with the state carried; yield where each starts, and its logits."""
        for piece in read(self, tokens, chunk_size(tokens, chunk)):
            yield piece.begin, piece.output.logits


class Piece(NamedTuple):
    """One call of the model within a longer reading."""

    begin: int
    """How many tokens were read before."""
    end: int
    """How many tokens have been read after it."""
    before: State
    output: Output


def read(
    model: SequenceModel, tokens_BT: Tensor, chunk: int, cuts: Iterable[int] = (), state: State | None = None
) -> Iterator[Piece]:
    """Read tokens, a piece at a time.

    Args:
        model: the model, in the mode it is in.
        tokens_BT: [B, T] symbols or [B, T, F] values.
        chunk: tokens read at a time, at most.
        cuts: numbers of tokens, each in 1..T, after which a piece must end as well.
        state: before the first token; by default the initial one.

    Yields:
        The pieces in order; together they are all T tokens.
    """
    before = model.initial_state(len(tokens_BT)) if state is None else state
    for begin, end in spans(tokens_BT.shape[1], chunk, cuts):
        output = model(tokens_BT[:, begin:end], before)
        yield Piece(begin, end, before, output)
        before = output.state


def spans(length: int, chunk: int, cuts: Iterable[int] = ()) -> list[tuple[int, int]]:
    """Return begin and end of the pieces of a sequence.

    Args:
        length: number of tokens.
        chunk: tokens in a piece, at most.
        cuts: numbers of tokens, each in 0..length, after which a piece must end as well.

    Raises:
        InputError: the chunk is empty.
    """
    if chunk < 1:
        raise InputError(f"a chunk holds at least 1 token, not {chunk}")
    ends = sorted({*range(chunk, length, chunk), *cuts, length} - {0})
    return list(zip([0, *ends[:-1]], ends, strict=True))


def last_logits(logits: Tensor) -> Tensor:
    """Return the logits [B, C] after the last token, from those or from the logits of every prefix."""
    return logits[:, -1] if logits.ndim == 3 else logits


def largest(logits: Tensor) -> Tensor:
    """Return the class with the largest logit along the last dimension.

    Raises:
        RunError: a logit is NaN, which argmax would take for the largest.
    """
    if bool(logits.isnan().any()):
        wrong = int(logits.isnan().any(-1).sum())
        raise RunError(f"{wrong} of {logits[..., 0].numel()} answers hold logits that are not a number")
    return logits.argmax(-1)


def ends_asked(tokens: Tensor, lengths: Sequence[int]) -> Tensor:
    """Return [B, T], true at the ends of prefixes of these lengths."""
    asked_BT = torch.zeros(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
    asked_BT[:, [length - 1 for length in lengths]] = True
    return asked_BT


def chunk_size(tokens: Tensor, chunk: int | None = None) -> int:
    """Return how many of the tokens [B, T] are read at a time: as asked, or as many as make `SYMBOLS` over all rows."""
    return max(1, SYMBOLS // tokens.shape[0]) if chunk is None else chunk


def with_state(model: StringModel, purpose: str) -> SequenceModel:
    """Return a model that carries state as what it is.

    Args:
        model: any model.
        purpose: what needs the state, as the error message says it.

    Raises:
        InputError: the model carries no state; the message names both.
    """
    if not isinstance(model, SequenceModel):
        raise InputError(
            f"{purpose} needs a model that carries state from token to token (a SequenceModel); "
            f"{type(model).__name__} reads whole strings only"
        )
    return model
