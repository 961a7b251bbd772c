"""Finite automata that give every string a class: the ground truth of all regular languages.

Shape letters: A alphabet, S states, B batch rows, T tokens, K symbols of a word, N words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lengthwise.errors import InputError
from lengthwise.tasks.base import IGNORE, Bools, Ints
from lengthwise.tasks.regular.merging import merge_alike
from lengthwise.tasks.regular.monoid import TransitionMonoid, generate_monoid
from lengthwise.tasks.regular.search import Search, StateT

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
    _powers: list[NDArray[np.float32]] = field(default_factory=list[NDArray[np.float32]], init=False, repr=False)

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
        for name, array in (("transitions_SA", transitions), ("outputs_S", outputs)):
            array.setflags(write=False)
            object.__setattr__(self, name, array)

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
        search = Search(
            start,
            lambda state: (step(state, symbol) for symbol in range(vocabulary)),
            limit,
            "the automaton has more than {} states: {}",
        )
        outputs = [output(state) for state in list(search)]
        return Automaton(np.array(search.rows), 0, np.array(outputs))

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
        return self.fitting_length(WORD_TABLE_ENTRIES, LONGEST_WORD)

    def fitting_length(self, entries: int, longest: int) -> int:
        """Return the length of the longest words of which a table with an entry a state and word has so many."""
        lengths = range(2, longest + 1)
        return sum((self.states * self.vocabulary**length <= entries for length in lengths), start=1)

    def words(self, length: int) -> Ints:
        """Return the state after each word, from each state.

        Args:
            length: K, the number of symbols of a word.

        Returns:
            [S, A ** K] the states; a word is its symbols read as a number, the first one most significant.
        """
        if length not in self._words:
            self._words[length] = (
                self.transitions_SA[self.words(length - 1)].reshape(self.states, -1)
                if length
                else np.arange(self.states)[:, None]
            )
        return self._words[length]

    def leads(self, wanted: Bools, length: int) -> Bools:
        """Return from where some string of a length leads to a wanted state.

        Args:
            wanted: [S], or [S, K] for K kinds of states at once.
            length: the number of symbols.

        Returns:
            As `wanted`, for each state before the first symbol.
        """
        found = wanted.astype(np.float32)
        for bit in range(length.bit_length()):
            if bit == len(self._powers):
                self._powers.append(self._power(bit))
            if length >> bit & 1:
                found = np.minimum(self._powers[bit] @ found, 1)
        return found.astype(np.bool_)

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
        _, entered_NB, rest_BR = self._by_words(self._checked(tokens_BT), states_B)
        states = entered_NB[-1]
        for symbols_B in rest_BR.T:
            states = self.transitions_SA[states, symbols_B]
        return states

    def trace(self, tokens_BT: Ints, states_B: Ints | None = None) -> Ints:
        """Return the state after every symbol; arguments and errors as in `run`.

        Returns:
            [B, T] entry t is the state after t + 1 symbols.
        """
        tokens = self._checked(tokens_BT)
        codes_NB, entered_NB, rest_BR = self._by_words(tokens, states_B)
        traced, states = np.empty_like(tokens), entered_NB[-1]
        cut = len(codes_NB) * self.word_length
        traced[:, :cut] = self._paths[entered_NB[:-1].T, codes_NB.T].reshape(len(tokens), cut)
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
        blocks = merge_alike(reached.transitions_SA, reached.outputs_S)
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
        mine, theirs = self.transitions_SA.tolist(), other.transitions_SA.tolist()
        search = Search(
            (self.start, other.start),
            lambda pair: zip(mine[pair[0]], theirs[pair[1]], strict=True),
            self.states * other.states,
        )
        for place, (state, of_other) in enumerate(search):
            if self.outputs_S[state] != other.outputs_S[of_other]:
                return search.path(place)
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

    def _power(self, bit: int) -> NDArray[np.float32]:
        """Return [S, S] whether some string, two to a power of symbols long, leads from one state to another."""
        if bit:
            return (self._powers[bit - 1] @ self._powers[bit - 1] > 0).astype(np.float32)
        steps_SS = np.zeros((self.states,) * 2, dtype=np.float32)
        np.put_along_axis(steps_SS, self.transitions_SA, 1, axis=1)
        return steps_SS

    @cached_property
    def _paths(self) -> Ints:
        """[S, A ** K, K] the states after each symbol of each word of the usual length."""
        length = self.word_length
        width = self.vocabulary**length
        return np.stack(
            [np.repeat(self.words(k), width // self.vocabulary**k, axis=1) for k in range(1, length + 1)],
            axis=-1,
        )

    def _by_words(self, tokens_BT: Ints, states_B: Ints | None) -> tuple[Ints, Ints, Ints]:
        """Return strings as numbers of whole words [N, B], the states before each and after all, and what is left."""
        length = self.word_length
        (rows, symbols), table = tokens_BT.shape, self.words(length)
        blocks = symbols // length
        codes_BN = np.zeros((rows, blocks), dtype=np.int64)
        for offset in range(length):
            codes_BN *= self.vocabulary
            codes_BN += tokens_BT[:, offset : blocks * length : length]
        codes_NB = np.ascontiguousarray(codes_BN.T)
        entered_NB = np.empty((blocks + 1, rows), dtype=np.int64)
        entered_NB[0] = self.start if states_B is None else states_B
        for block, codes_B in enumerate(codes_NB):
            entered_NB[block + 1] = table.ravel()[entered_NB[block] * table.shape[1] + codes_B]
        return codes_NB, entered_NB, tokens_BT[:, blocks * length :]

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

    def _reached(self) -> Automaton:
        """Return the reachable part, numbered breadth first."""
        search = Search(self.start, self.transitions_SA.tolist().__getitem__, self.states)
        kept = list(search)
        return Automaton(np.array(search.rows), 0, self.outputs_S[kept])
