"""States that answer alike: Hopcroft's algorithm, for any number of classes.

Shape letters: S states, A alphabet.
"""

from __future__ import annotations

import numpy as np

from lengthwise.tasks.base import Ints


def merge_alike(transitions_SA: Ints, outputs_S: Ints) -> Ints:
    """Return [S] the number of the block of each state: two states share one when every string has one class from both.

    The work grows with the states as a sort does; refining all blocks at once takes a round for each state of a chain.
    """
    sources: list[dict[int, list[int]]] = [{} for _ in transitions_SA.T]
    for into, targets in zip(sources, transitions_SA.T.tolist(), strict=True):
        for state, target in enumerate(targets):
            into.setdefault(target, []).append(state)
    blocks = np.unique(outputs_S, return_inverse=True)[1].tolist()
    members: list[set[int]] = [set() for _ in range(max(blocks) + 1)]
    for state, block in enumerate(blocks):
        members[block].add(state)
    waiting = set(range(len(members)))
    while waiting:
        splitter = list(members[waiting.pop()])
        for into in sources:
            for block, moved in _by_block(blocks, into, splitter).items():
                if len(moved) == len(members[block]):
                    continue
                new = len(members)
                members[block] -= moved
                members.append(moved)
                for state in moved:
                    blocks[state] = new
                # Of two halves one is enough, unless the whole was still to come.
                smaller = new if len(moved) <= len(members[block]) else block
                waiting.add(new if block in waiting else smaller)
    return np.array(blocks)


def _by_block(blocks: list[int], into: dict[int, list[int]], targets: list[int]) -> dict[int, set[int]]:
    """Return the states from which a symbol leads to some states, by their block."""
    found: dict[int, set[int]] = {}
    for target in targets:
        for state in into.get(target, ()):
            found.setdefault(blocks[state], set()).add(state)
    return found
