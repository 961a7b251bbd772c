"""Products of a task's transition monoid: what a binary operator must make of any two elements.

Strings that are drawn at random hold few of the pairs of elements that long strings are made of. Here every pair is
drawn as often as the others.

Shape letters: N products, E elements, M elements of the monoid, K contexts, C classes, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lengthwise.errors import InputError
from lengthwise.models.ldru import LDRU, Nodes
from lengthwise.tasks.automaton import Automaton
from lengthwise.tasks.base import UNLABELLED, Bools, Ints
from lengthwise.tasks.monoid import separating_contexts
from lengthwise.training.config import ProductsConfig
from lengthwise.training.nodes import look_up

Word = tuple[int, ...]
_NOTHING = 0
"""The empty string, the monoid's first element, which has no vector."""


class MonoidProducts:
    """Draws products of a transition monoid and says what a unit makes of them.

    Args:
        automaton: of the task.
        config: how many, and how many of these are learned.
        longest: the largest number of symbols in a string.

    Raises:
        InputError: the monoid is too large, or no product fits into so few symbols.
    """

    def __init__(self, automaton: Automaton, config: ProductsConfig, longest: int) -> None:
        task = _with_own_start(automaton.minimal())
        monoid = task.transition_monoid(config.elements)
        self.config, self.longest = config, longest
        self.words: list[Word] = [tuple(monoid.word(element)) for element in range(monoid.size)]
        self._lengths_M = np.array([len(word) for word in self.words])
        self._classes_M = task.outputs_S[monoid.elements_MS[:, task.start]]
        self._product_MM = monoid.product
        # A machine that answers with the element of what it has read.
        self._elements = Automaton(monoid.right_MV, _NOTHING, np.arange(monoid.size))
        self._contexts_K2, _ = separating_contexts(
            task.outputs_S, task.start, monoid.elements_MS[1:], monoid.elements_MS
        )
        if not len(self._drawn(np.random.default_rng(0), 10_000)[0]):
            raise InputError(
                f"training.products: no product of two of the {monoid.size} elements fits into the {longest} symbols "
                "of training.lengths.maximum"
            )

    def loss(self, unit: LDRU, rng: np.random.Generator) -> Tensor:
        """Return the mean cross-entropy of the hardest products of a draw.

        Args:
            unit: in training mode; dropout and noise are drawn anew for the products that are learned.
            rng: source of the products and of the brackets inside their strings.
        """
        strings_N4, classes_N = self.draw(rng)
        if len(strings_N4) > self.config.hardest:
            with torch.no_grad():
                losses_N = self.losses(unit, strings_N4, classes_N, rng)
            hardest = losses_N.topk(self.config.hardest).indices.cpu().numpy()
            strings_N4, classes_N = strings_N4[hardest], classes_N[hardest]
        return self.losses(unit, strings_N4, classes_N, rng).mean()

    def draw(self, rng: np.random.Generator) -> tuple[Ints, Ints]:
        """Draw products in contexts.

        Returns:
            [N, 4] the elements a, x, y and b of each string, 0 for an empty a or b, and [N] their classes; N is the
            number of candidates.
        """
        wanted, parts, found = self.config.candidates, list[tuple[Ints, Ints]](), 0
        while found < wanted:
            parts.append(self._drawn(rng, 2 * wanted))
            found += len(parts[-1][0])
        strings_N4, classes_N = (np.concatenate(part)[:wanted] for part in zip(*parts, strict=True))
        return strings_N4, classes_N

    def _drawn(self, rng: np.random.Generator, trials: int) -> tuple[Ints, Ints]:
        """Return the products among some trials that are short enough and have a class."""
        factors_N2 = rng.integers(1, len(self.words), size=(trials, 2))
        contexts_N2 = self._contexts_K2[rng.integers(len(self._contexts_K2), size=trials)]
        strings_N4 = np.stack([contexts_N2[:, 0], *factors_N2.T, contexts_N2[:, 1]], axis=1)
        whole_N = strings_N4[:, 0]
        for place in range(1, 4):
            whole_N = self._product_MM[whole_N, strings_N4[:, place]]
        classes_N = self._classes_M[whole_N]
        fits_N = (self._lengths_M[strings_N4].sum(1) <= self.longest) & (classes_N != UNLABELLED)
        return strings_N4[fits_N], classes_N[fits_N]

    def losses(self, unit: LDRU, strings_N4: Ints, classes_N: Ints, rng: np.random.Generator) -> Tensor:
        """Return the cross-entropy [N] of each string.

        Args:
            unit: whose operator joins them.
            strings_N4: the elements of each string, as `draw` returns them.
            classes_N: the class of each string.
            rng: source of the brackets inside the elements' strings.
        """
        elements_E, place = np.unique(strings_N4, return_inverse=True)
        named_E = elements_E[elements_E != _NOTHING]
        values_ED = word_values(unit, [self.words[element] for element in named_E], rng)
        # An empty factor is never joined; its place holds some other vector.
        index_N4 = (place.reshape(-1, 4) - (len(elements_E) - len(named_E))).clip(0)
        before_ND, x_ND, y_ND, after_ND = values_ED[torch.from_numpy(index_N4).to(values_ED.device)].unbind(1)
        whole_ND = unit.join(x_ND, y_ND)
        rows = _places(strings_N4[:, 0] != _NOTHING, whole_ND.device)
        whole_ND = whole_ND.index_copy(0, rows, unit.join(before_ND[rows], whole_ND[rows]))
        rows = _places(strings_N4[:, 3] != _NOTHING, whole_ND.device)
        whole_ND = whole_ND.index_copy(0, rows, unit.join(whole_ND[rows], after_ND[rows]))
        classes = torch.from_numpy(classes_N).to(whole_ND.device)
        return F.cross_entropy(unit.readout(whole_ND), classes, reduction="none")

    def drift(self, unit: LDRU, levels: Sequence[Nodes], tokens_BT: Ints, rng: np.random.Generator) -> Tensor:
        """Return how far the nodes of a batch's trees are from the strings that act like theirs.

        Args:
            unit: whose nodes they are.
            levels: the nodes; the leaves are not among them.
            tokens_BT: the strings that the trees stand over.
            rng: source of the brackets inside the shortest strings.

        Returns:
            The mean over levels of the mean squared difference between the vector of a distinct node and that of the
            shortest string that acts like the substring under it.
        """
        spans_BTT = self._elements.label_spans(tokens_BT)
        elements = [look_up(level, spans_BTT) for level in levels]
        named_E, place = np.unique(np.concatenate(elements), return_inverse=True)
        goals_ED = word_values(unit, [self.words[element] for element in named_E], rng)
        places = np.split(place, np.cumsum([len(level) for level in elements])[:-1])
        differences = [
            F.mse_loss(level.shared.table_UD[: level.shared.fresh], goals_ED[torch.from_numpy(at).to(goals_ED.device)])
            for level, at in zip(levels, places, strict=True)
        ]
        return torch.stack(differences).mean()


def word_values(unit: LDRU, words: Sequence[Word], rng: np.random.Generator) -> Tensor:
    """Return the values [E, D] of strings of any lengths, under brackets drawn at random.

    Equal substrings are computed once, and all that stand equally high above their leaves together.

    Args:
        unit: whose operator joins them; dropout and noise are drawn once for each distinct substring.
        words: the strings, of one symbol or more.
        rng: where each substring is cut in two: anywhere but in its outer quarters.
    """
    forest = _Forest(rng)
    for word in words:
        forest.grow(word)
    device = unit.classifier.weight.device
    numbers = forest.numbers()
    leaves, *levels = forest.levels
    values_ED = unit.join.dropout(unit.encoder(torch.tensor([symbol for (symbol,) in leaves], device=device)))
    for level in levels:
        halves = [[numbers[half] for half in forest.halves[word]] for word in level]
        pairs_E2D = values_ED[torch.tensor(halves, device=device)]
        values_ED = torch.cat([values_ED, unit.join(pairs_E2D[:, 0], pairs_E2D[:, 1])])
    return values_ED[torch.tensor([numbers[word] for word in words], device=device)]


class _Forest:
    """Trees over strings that share equal substrings.

    Args:
        rng: where each substring is cut in two.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.levels: list[list[Word]] = [[]]
        self.halves: dict[Word, tuple[Word, Word]] = {}
        self._rng = rng
        self._heights: dict[Word, int] = {}

    def grow(self, word: Word) -> int:
        """Add a string and the substrings it is made of; return its height above the leaves."""
        if word not in self._heights:
            height = 0
            if len(word) > 1:
                quarter = max(len(word) // 4, 1)
                cut = int(self._rng.integers(quarter, len(word) - quarter + 1))
                self.halves[word] = word[:cut], word[cut:]
                height = 1 + max(self.grow(half) for half in self.halves[word])
            if height == len(self.levels):
                self.levels.append([])
            self.levels[height].append(word)
            self._heights[word] = height
        return self._heights[word]

    def numbers(self) -> dict[Word, int]:
        """Return the number of each string, counted from the leaves up."""
        return {word: number for number, word in enumerate(word for level in self.levels for word in level)}


def _with_own_start(task: Automaton) -> Automaton:
    """Return the same language with a start that nothing leads back to, so that no string acts like the empty one."""
    transitions_SA = np.concatenate([task.transitions_SA, task.transitions_SA[task.start][None]])
    return Automaton(transitions_SA, task.states, np.append(task.outputs_S, task.outputs_S[task.start]))


def _places(chosen_N: Bools, device: torch.device) -> Tensor:
    return torch.from_numpy(np.flatnonzero(chosen_N)).to(device)
