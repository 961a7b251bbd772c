"""Finite automata that give every string a class: the ground truth of all regular languages.

Shape letters: A alphabet, S states, B batch rows, T tokens, K symbols of a word, N words.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np

from lengthwise.errors import InputError
from lengthwise.tasks.base import IGNORE, Ints
from lengthwise.tasks.regular.monoid import TransitionMonoid, generate_monoid
from lengthwise.tasks.regular.writing import describe_growth

StateT = TypeVar("StateT", bound=Hashable)

Word = tuple[int, ...]
"""A string, symbol by symbol."""

WORD_TABLE_ENTRIES = 1 << 17
LONGEST_WORD = 12


@dataclass(frozen=True, eq=False)
class Strings:
    """Strings of one length with their classes.

    Args:
        tokens: [B, T] symbols.
        targets: [B] the class of each whole string.
    """

    tokens: Ints
    targets: Ints


@dataclass(frozen=True, eq=False)
class Automaton:
    """A Moore machine: a deterministic automaton whose states carry a class.

    Args:
        transitions_SA: [S, A] the next state.
        start: the state before the first symbol.
        outputs_S: [S] the class of the strings that end there, or `IGNORE` for strings outside the
            domain of the task.

    Raises:
        InputError: a shape, a state or a class is impossible.

    Example:
        >>> import numpy as np
        >>> parity = Automaton(np.array([[0, 1], [1, 0]]), 0, np.array([0, 1]))
        >>> parity.label(np.array([[1, 0, 1], [1, 1, 1]])).tolist()
        [0, 1]
    """

    transitions_SA: Ints
    start: int
    outputs_S: Ints
    _words: dict[int, Ints] = field(default_factory=dict[int, Ints], init=False, repr=False)

    def __post_init__(self) -> None:
        transitions = np.array(self.transitions_SA, dtype=np.int64, order="C")
        outputs = np.array(self.outputs_S, dtype=np.int64)
        if transitions.ndim != 2 or 0 in transitions.shape:
            raise InputError(f"transitions must be a table of states by symbols, not of shape {transitions.shape}")
        states = len(transitions)
        if outputs.shape != (states,):
            raise InputError(f"{states} states need {states} classes, not an array of shape {outputs.shape}")
        if transitions.min() < 0 or transitions.max() >= states:
            raise InputError(f"a transition leads outside the states 0 to {states - 1}")
        if not 0 <= self.start < states:
            raise InputError(f"the start {self.start} is not one of the states 0 to {states - 1}")
        if outputs.min() < IGNORE:
            raise InputError(f"classes are at least 0, or {IGNORE} for no class; got {outputs.min()}")
        transitions.setflags(write=False)
        outputs.setflags(write=False)
        object.__setattr__(self, "transitions_SA", transitions)
        object.__setattr__(self, "outputs_S", outputs)

    @staticmethod
    def explore(
        start: StateT,
        step: Callable[[StateT, int], StateT],
        output: Callable[[StateT], int],
        vocabulary: int,
        limit: int = 1_000_000,
    ) -> Automaton:
        """Build the automaton of a rule by visiting all of its states, breadth first.

        Args:
            start: the state before the first symbol, anything hashable.
            step: the state after a symbol.
            output: the class of a state.
            vocabulary: the number of symbols.
            limit: the largest number of states to visit.

        Returns:
            The automaton.

        Raises:
            InputError: there are more states than the limit; the message says which strings led to the last ones.
        """
        numbers: dict[StateT, int] = {start: 0}
        parents, letters = [-1], [-1]
        queue = deque([start])
        rows: list[list[int]] = []
        while queue:
            state = queue.popleft()
            row: list[int] = []
            for symbol in range(vocabulary):
                successor = step(state, symbol)
                if successor not in numbers:
                    if len(numbers) >= limit:
                        grown = describe_growth(parents, letters)
                        raise InputError(f"the automaton has more than {limit} states: {grown}")
                    numbers[successor] = len(numbers)
                    parents.append(len(rows))
                    letters.append(symbol)
                    queue.append(successor)
                row.append(numbers[successor])
            rows.append(row)
        return Automaton(np.array(rows), 0, np.array([output(state) for state in numbers]))

    @property
    def states(self) -> int:
        """The number of states."""
        return self.transitions_SA.shape[0]

    @property
    def vocabulary(self) -> int:
        """The number of symbols."""
        return self.transitions_SA.shape[1]

    @property
    def classes(self) -> int:
        """One more than the largest class."""
        return int(self.outputs_S.max()) + 1

    @cached_property
    def word_length(self) -> int:
        """How many symbols the tables of words advance at once."""
        length = 1
        while length < LONGEST_WORD and self.states * self.vocabulary ** (length + 1) <= WORD_TABLE_ENTRIES:
            length += 1
        return length

    def words(self, length: int) -> Ints:
        """Return the state after each word, from each state.

        Args:
            length: K, the number of symbols of a word.

        Returns:
            [S, A ** K] the states; a word is its symbols read as a number, the first one most significant.
        """
        if length not in self._words:
            shorter = self.words(length - 1) if length else None
            self._words[length] = (
                np.arange(self.states)[:, None]
                if shorter is None
                else self.transitions_SA[shorter].reshape(self.states, -1)
            )
        return self._words[length]

    def run(self, tokens_BT: Ints, states_B: Ints | None = None) -> Ints:
        """Return the state after the last symbol.

        Args:
            tokens_BT: [B, T] the symbols.
            states_B: [B] the states before the first symbol; the start by default.

        Returns:
            [B] the states.

        Raises:
            InputError: the tokens have another shape, or a symbol is outside the alphabet.
        """
        tokens = self._checked(tokens_BT)
        states = self._initial(len(tokens), states_B)
        codes_NB, rest_BR = self._split(tokens)
        table = self.words(self.word_length)
        flat, width = table.ravel(), table.shape[1]
        for codes_B in codes_NB:
            states = flat[states * width + codes_B]
        for symbols_B in rest_BR.T:
            states = self.transitions_SA[states, symbols_B]
        return states

    def trace(self, tokens_BT: Ints, states_B: Ints | None = None) -> Ints:
        """Return the state after every symbol; arguments and errors as in `run`.

        Returns:
            [B, T] entry t is the state after t + 1 symbols.
        """
        tokens = self._checked(tokens_BT)
        states = self._initial(len(tokens), states_B)
        codes_NB, rest_BR = self._split(tokens)
        table = self.words(self.word_length)
        flat, width = table.ravel(), table.shape[1]
        entered_NB = np.empty_like(codes_NB)
        for block, codes_B in enumerate(codes_NB):
            entered_NB[block] = states
            states = flat[states * width + codes_B]
        traced = np.empty_like(tokens)
        cut = len(codes_NB) * self.word_length
        traced[:, :cut] = self._paths[entered_NB.T, codes_NB.T].reshape(len(tokens), cut)
        for position, symbols_B in enumerate(rest_BR.T, start=cut):
            states = self.transitions_SA[states, symbols_B]
            traced[:, position] = states
        return traced

    def label(self, tokens_BT: Ints) -> Ints:
        """Return the class of each string.

        Args:
            tokens_BT: [B, T] the symbols.

        Returns:
            [B] the classes, `IGNORE` outside the domain.

        Raises:
            InputError: the tokens have another shape, or a symbol is outside the alphabet.
        """
        return self.outputs_S[self.run(tokens_BT)]

    def label_prefixes(self, tokens_BT: Ints) -> Ints:
        """Return the class of every non-empty prefix; arguments and errors as in `label`.

        Returns:
            [B, T] entry t is the class of the first t + 1 symbols.
        """
        return self.outputs_S[self.trace(tokens_BT)]

    def label_spans(self, tokens_BT: Ints) -> Ints:
        """Return the class of every non-empty substring as a string of its own; errors as in `label`.

        Returns:
            [B, T, T + 1] entry [b, i, j] is the class of ``tokens[b, i:j]``, `IGNORE` where j <= i.
        """
        tokens = self._checked(tokens_BT)
        rows, length = tokens.shape
        spans = np.full((length + 1, rows, length), IGNORE, dtype=np.int64)
        states_BT = np.full((rows, length), self.start, dtype=np.int64)
        for end in range(1, length + 1):
            open_BT = states_BT[:, :end]
            open_BT[:] = self.transitions_SA[open_BT, tokens[:, end - 1, None]]
            spans[end, :, :end] = self.outputs_S[open_BT]
        return np.ascontiguousarray(spans.transpose(1, 2, 0))

    def minimal(self) -> Automaton:
        """Return the smallest automaton that gives every string the same class.

        Returns:
            The automaton with its states numbered breadth first, so that automata which agree on all
            strings, the empty one included, have equal arrays.
        """
        reached = self._reached()
        _, blocks = np.unique(reached.outputs_S, return_inverse=True)
        count = int(blocks.max()) + 1
        while True:
            signatures = np.column_stack([blocks, blocks[reached.transitions_SA]])
            _, refined = np.unique(signatures, axis=0, return_inverse=True)
            refined = refined.reshape(-1)
            refined_count = int(refined.max()) + 1
            if refined_count == count:
                break
            blocks, count = refined, refined_count
        _, members = np.unique(blocks, return_index=True)
        merged = Automaton(
            blocks[reached.transitions_SA[members]], int(blocks[reached.start]), reached.outputs_S[members]
        )
        return merged._reached()

    def shortest_difference(self, other: Automaton) -> list[int] | None:
        """Return the shortest string to which two automata give different classes.

        Args:
            other: an automaton over the same alphabet.

        Returns:
            The string, first in the order of the alphabet among the shortest, or None when they agree.

        Raises:
            InputError: the alphabets differ in size.
        """
        if self.vocabulary != other.vocabulary:
            raise InputError(f"automata over {self.vocabulary} and {other.vocabulary} symbols cannot be compared")
        start = (self.start, other.start)
        origins: dict[tuple[int, int], tuple[tuple[int, int], int] | None] = {start: None}
        queue = deque([start])
        mine, theirs = self.transitions_SA.tolist(), other.transitions_SA.tolist()
        while queue:
            pair = queue.popleft()
            if self.outputs_S[pair[0]] != other.outputs_S[pair[1]]:
                return _trace_back(origins, pair)
            for symbol in range(self.vocabulary):
                successor = (mine[pair[0]][symbol], theirs[pair[1]][symbol])
                if successor not in origins:
                    origins[successor] = (pair, symbol)
                    queue.append(successor)
        return None

    def equivalent(self, other: Automaton) -> bool:
        """Return whether two automata agree on all strings; errors as in `shortest_difference`."""
        return self.shortest_difference(other) is None

    def transition_monoid(self, limit: int = 100_000) -> TransitionMonoid:
        """Return all maps of this automaton's states that strings perform.

        Args:
            limit: the largest number of elements to list.

        Returns:
            The monoid, the identity first. Of the minimal automaton it is the syntactic monoid.

        Raises:
            InputError: there are more elements than the limit.
        """
        return generate_monoid(self.transitions_SA, limit)

    @cached_property
    def _paths(self) -> Ints:
        """[S, A ** K, K] the states after each symbol of each word of the usual length."""
        length = self.word_length
        width = self.vocabulary**length
        return np.stack(
            [np.repeat(self.words(k), width // self.vocabulary**k, axis=1) for k in range(1, length + 1)],
            axis=-1,
        )

    def _split(self, tokens_BT: Ints) -> tuple[Ints, Ints]:
        """Return the whole words of the strings as numbers [N, B], and the symbols left over [B, R]."""
        length = self.word_length
        blocks = tokens_BT.shape[1] // length
        cut = blocks * length
        codes_BN = np.zeros((len(tokens_BT), blocks), dtype=np.int64)
        for offset in range(length):
            codes_BN *= self.vocabulary
            codes_BN += tokens_BT[:, offset:cut:length]
        return np.ascontiguousarray(codes_BN.T), tokens_BT[:, cut:]

    def _initial(self, rows: int, states_B: Ints | None) -> Ints:
        if states_B is None:
            return np.full(rows, self.start, dtype=np.int64)
        return np.asarray(states_B, dtype=np.int64)

    def _checked(self, tokens_BT: Ints) -> Ints:
        tokens = np.asarray(tokens_BT)
        if tokens.ndim != 2:
            raise InputError(f"tokens must be rows of symbols [B, T], not of shape {tokens.shape}")
        if tokens.size and (tokens.min() < 0 or tokens.max() >= self.vocabulary):
            row, position = np.argwhere((tokens < 0) | (tokens >= self.vocabulary))[0]
            raise InputError(
                f"symbol {tokens[row, position]} at position {position} of string {row} is outside the "
                f"alphabet 0 to {self.vocabulary - 1}"
            )
        return tokens.astype(np.int64, copy=False)

    def _order(self) -> Ints:
        """Return the place of each state in breadth-first order, -1 for those never reached."""
        order = np.full(self.states, -1, dtype=np.int64)
        order[self.start] = 0
        queue = deque([self.start])
        count = 1
        while queue:
            for successor in self.transitions_SA[queue.popleft()].tolist():
                if order[successor] < 0:
                    order[successor] = count
                    count += 1
                    queue.append(successor)
        return order

    def _reached(self) -> Automaton:
        """Return the reachable part, numbered breadth first."""
        order = self._order()
        kept = np.argsort(order)[int((order < 0).sum()) :]
        return Automaton(order[self.transitions_SA[kept]], 0, self.outputs_S[kept])


def _trace_back(origins: dict[tuple[int, int], tuple[tuple[int, int], int] | None], pair: tuple[int, int]) -> list[int]:
    symbols: list[int] = []
    origin = origins[pair]
    while origin is not None:
        pair, symbol = origin
        symbols.append(symbol)
        origin = origins[pair]
    return symbols[::-1]
