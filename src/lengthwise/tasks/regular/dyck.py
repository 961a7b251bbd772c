"""Balanced strings of bounded depth, with samples on both sides of the bound.

Shape letters: B batch rows, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from lengthwise.errors import InputError
from lengthwise.tasks.base import IGNORE
from lengthwise.tasks.regular.automaton import Automaton, Strings
from lengthwise.tasks.regular.language import Language, Sampling, mix
from lengthwise.tasks.regular.sampling import CountingSampler

BEYOND = 0.1
"""The chance that a walk goes on where it may not be deeper."""


def build_depths(largest: int) -> Automaton:
    """Return the automaton whose class is the depth of a balanced, non-empty string, up to a largest."""
    dead = (-1, 0)

    def step(state: tuple[int, int], symbol: int) -> tuple[int, int]:
        level, deepest = state
        if level < 0:
            return dead
        level += 1 if symbol == 0 else -1
        return (level, max(level, deepest)) if 0 <= level <= largest else dead

    return Automaton.explore(
        (0, 0), step, lambda state: state[1] if state[0] == 0 and state[1] else IGNORE, 2
    ).minimal()


class Dyck(Language):
    """The balanced, non-empty strings of 0 (open) and 1 (close) up to a depth.

    Args:
        name: as messages and result rows say it.
        rule: what decides the class, in words.
        examples: worked examples.
        depth: how deep an accepted string may nest.
    """

    def __init__(self, name: str, rule: str, examples: Mapping[str, int], depth: int) -> None:
        depths = build_depths(depth + 1)
        accepted_S = (depths.outputs_S > 0) & (depths.outputs_S <= depth)
        automaton = Automaton(depths.transitions_SA, depths.start, accepted_S.astype(np.int64)).minimal()
        super().__init__(name, rule, examples, automaton, Sampling.BALANCED)
        self.depth = depth
        self._by_depth = {
            deepest: CountingSampler(depths, depths.outputs_S == deepest, f"has depth {deepest}", "balanced string")
            for deepest in range(1, depth + 2)
        }

    def sample_boundary(self, rng: np.random.Generator, batch_size: int, length: int, depth: int) -> Strings:
        """Draw uniformly among the balanced strings of exactly one depth.

        Args:
            rng: the only source of randomness.
            batch_size: number of strings.
            length: number of symbols, exactly.
            depth: from 1 to one more than the language accepts.

        Returns:
            The strings with their class.

        Raises:
            InputError: the depth is outside its range, or no balanced string of the length has it.
        """
        if not 1 <= depth <= self.depth + 1:
            raise InputError(f"depths for {self.name} go from 1 to {self.depth + 1}, not {depth}")
        tokens_BT = self._by_depth[depth].sample(rng, batch_size, length)
        return Strings(tokens_BT, np.full(batch_size, int(depth <= self.depth), dtype=np.int64))

    def sample_hard(self, rng: np.random.Generator, batch_size: int, length: int) -> Strings:
        """Draw balanced strings, half of them of exactly the largest accepted depth and half one deeper.

        Where a length is too short for a half, or odd, near misses take its place, and the standard
        distribution where there are none either. Arguments and errors as in `sample`.
        """
        length = self.nearest_length(length)
        inside = (batch_size + int(rng.integers(2))) // 2
        otherwise = super().sample_hard
        halves = ((self.depth, inside), (self.depth + 1, batch_size - inside))
        return mix(
            rng,
            [
                self.sample_boundary(rng, count, length, depth)
                if self._by_depth[depth].exists(length)
                else otherwise(rng, count, length)
                for depth, count in halves
            ],
        )

    def sample_walk(self, rng: np.random.Generator, batch_size: int, length: int) -> Strings:
        """Draw random walks from 0 to 0 that turn back at the largest accepted depth, but for some that go beyond.

        Where a string can open or close and still end balanced, it does the same as before with a chance of its own,
        drawn from 1/2 to 1, so that some strings are much deeper than a fair coin makes them; from the largest depth on
        it turns back but for the chance `BEYOND`. So balanced strings that are one too deep are seen, which uniform
        strings hardly ever are. At odd lengths the strings are uniform. Arguments and errors as in `sample`.

        Source: after the noisy walks, labelled by the true rule, of Pert, Alrajeh, Russo 2026; their noise is not
        published, and this one is ours.
        """
        length = self.nearest_length(length)
        if length % 2:
            return self.sample_uniform(rng, batch_size, length)
        tokens_BT = np.empty((batch_size, length), dtype=np.int64)
        level_B, opens_B = np.zeros(batch_size, dtype=np.int64), np.ones(batch_size, dtype=np.bool_)
        same_B = rng.uniform(0.5, 1.0, batch_size)
        for place in range(length):
            chance_2B = rng.random((2, batch_size))
            opens_B = np.where(chance_2B[0] < same_B, opens_B, ~opens_B)
            opens_B = (level_B == 0) | (opens_B & ((level_B < self.depth) | (chance_2B[1] < BEYOND)))
            opens_B &= level_B < length - place
            level_B += np.where(opens_B, 1, -1)
            tokens_BT[:, place] = ~opens_B
        return Strings(tokens_BT, self.label(tokens_BT))

    def _parts(self, length: int) -> dict[str, Callable[[np.random.Generator, int, int], Strings] | None]:
        return {**super()._parts(length), "walk": self.sample_walk}
