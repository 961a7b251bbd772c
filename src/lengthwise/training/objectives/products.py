"""Products of a task's transition monoid: what a binary operator must make of any two elements.

Strings that are drawn at random hold few of the pairs of elements that long strings are made of. Here every pair is
drawn as often as the others.

Shape letters: N products, E elements, M elements of the monoid, K contexts, C classes, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lengthwise.errors import InputError
from lengthwise.models.reading import on_device
from lengthwise.models.tree.ldru import LDRU
from lengthwise.models.tree.level import Nodes
from lengthwise.settings import Settings
from lengthwise.tasks.base import IGNORE, Ints
from lengthwise.tasks.regular.automaton import Automaton
from lengthwise.tasks.regular.monoid import separating_contexts
from lengthwise.training.objectives.nodes import look_up

Word = tuple[int, ...]
_NOTHING = 0
"""The empty string, the monoid's first element, which has no vector."""


class ProductsConfig(Settings):
    """Products of any two elements of the task's transition monoid, beside the batch.

    A product is learned where it can be told: as the string ``a x y b`` with brackets ``(a (x y)) b``, where x and y
    are two elements, as the shortest strings that act like them or as nodes of the batch's trees, and a and b are a
    context that tells elements apart. No string is longer than the longest of the batches.
    """

    weight: float = Field(default=1.0, gt=0)
    """Factor of their mean loss beside that of the batch."""
    merging: float = Field(default=1.0, ge=0)
    """Factor of the mean squared difference between the vector of a node in the batch's trees and that of the shortest
    string which acts like the substring under it, over the nodes that are farthest off: it keeps long strings from
    drifting away from short ones."""
    candidates: int = Field(default=256, ge=1)
    """Products that are read in a step, drawn evenly over all pairs; each counts as a sequence seen."""
    by_class: bool = False
    """Whether the class that a product is to show is drawn evenly from those it can show, and then a context for it;
    otherwise contexts are drawn evenly, and few show anything where most strings are rejected."""
    hardest: int = Field(default=128, ge=1)
    """How many of them are learned, those with the highest loss; and how many nodes are farthest off."""
    start: float = Field(default=0.2, ge=0, lt=1)
    """The fraction of training after which they count."""
    elements: int = Field(default=5_000, ge=1)
    """The largest monoid that is listed."""


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
        self._product_MM = monoid.product
        # A machine that answers with the element of what it has read.
        self._elements = Automaton(monoid.right_MV, _NOTHING, np.arange(monoid.size))
        # The empty string is no product of two others, so that the first row is that of the second element.
        self._contexts_K2, self._classes_MK = separating_contexts(
            task.outputs_S, task.start, monoid.elements_MS[1:], monoid.elements_MS
        )
        self._lengths_K = self._lengths_M[self._contexts_K2].sum(1)
        if not len(self._drawn(np.random.default_rng(0), 10_000)[0]):
            raise InputError(
                f"objective.products: no product of two of the {monoid.size} elements fits into the {longest} symbols "
                "of task.train.maximum"
            )

    def loss(self, unit: LDRU, levels: Sequence[Nodes], tokens_BT: Ints, rng: np.random.Generator) -> Tensor:
        """Return the mean cross-entropy of the hardest products of a draw, and how far the farthest nodes drifted.

        Args:
            unit: in training mode.
            levels: the nodes of the batch's trees without the leaves; factors are drawn from them where possible.
            tokens_BT: the strings that the trees stand over.
            rng: source of the products, of their factors, and of the brackets inside shortest strings.
        """
        strings_N4, classes_N = self.draw(rng)
        spans_BTT = self._elements.label_spans(tokens_BT)
        elements = [look_up(level, spans_BTT) for level in levels]
        named_E = np.setdiff1d(np.concatenate([strings_N4.ravel(), *elements]), [_NOTHING])
        words_ED = word_values(unit, [self.words[element] for element in named_E], rng)
        tables = [level.shared.table_UD[: level.shared.fresh] for level in levels]
        lengths = [look_up(level, _span_lengths(spans_BTT)) for level in levels]
        pool = _Pool(
            torch.cat([words_ED, *tables]),
            np.concatenate([named_E, *elements]),
            np.concatenate([self._lengths_M[named_E], *lengths]),
        )
        rows_N4 = pool.choose(strings_N4, self.longest, rng)
        if len(rows_N4) > self.config.hardest:
            with torch.no_grad():
                losses_N = product_losses(unit, pool.values_UD, rows_N4, classes_N)
            hardest = losses_N.topk(self.config.hardest).indices.cpu().numpy()
            rows_N4, classes_N = rows_N4[hardest], classes_N[hardest]
        loss = self.config.weight * product_losses(unit, pool.values_UD, rows_N4, classes_N).mean()
        (goals,) = on_device(unit, np.searchsorted(named_E, np.concatenate(elements)))
        drift_U = (torch.cat(tables) - words_ED[goals]).square().mean(1)
        drift = drift_U.topk(min(self.config.hardest, len(drift_U))).values.mean()
        return loss + self.config.merging * drift

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
        """Return the products among some trials that are short enough in their contexts and have a class there."""
        factors_N2 = rng.integers(1, len(self.words), size=(trials, 2))
        classes_NK = self._classes_MK[self._product_MM[*factors_N2.T] - 1]
        lengths_NK = self._lengths_M[factors_N2].sum(1)[:, None] + self._lengths_K
        classes_NK = np.where(lengths_NK > self.longest, IGNORE, classes_NK)
        if self.config.by_class:
            contexts_N = _choose_by_class(classes_NK, rng)
        else:
            contexts_N = rng.integers(len(self._contexts_K2), size=trials)
        classes_N = classes_NK[np.arange(trials), contexts_N]
        before_N, after_N = self._contexts_K2[contexts_N].T
        strings_N4 = np.stack([before_N, *factors_N2.T, after_N], axis=1)
        told_N = classes_N != IGNORE
        return strings_N4[told_N], classes_N[told_N]


def product_losses(unit: LDRU, values_UD: Tensor, rows_N4: Ints, classes_N: Ints) -> Tensor:
    """Return the cross-entropy [N] of strings of four factors, joined as ``(a (x y)) b``.

    Args:
        unit: whose operator joins them.
        values_UD: vectors of factors.
        rows_N4: which of these are the factors of each string, -1 for an empty a or b.
        classes_N: the class of each string.
    """
    begun, ended = (np.flatnonzero(rows_N4[:, place] >= 0) for place in (0, 3))
    # An empty factor is never joined; its place holds some other vector.
    factors, first, last, classes = on_device(unit, rows_N4.clip(0), begun, ended, classes_N)
    before_ND, x_ND, y_ND, after_ND = values_UD[factors].unbind(1)
    whole_ND = unit.join(x_ND, y_ND)
    whole_ND = whole_ND.index_copy(0, first, unit.join(before_ND[first], whole_ND[first]))
    whole_ND = whole_ND.index_copy(0, last, unit.join(whole_ND[last], after_ND[last]))
    return F.cross_entropy(unit.readout(whole_ND), classes, reduction="none")


def _choose_by_class(classes_NK: Ints, rng: np.random.Generator) -> Ints:
    """Return one column of each row [N]: a class of the row is drawn evenly, and then one of the columns that have it.

    Columns that are unlabelled are chosen in rows alone that have no others.
    """
    preferences_NC = rng.random((len(classes_NK), int(classes_NK.max(initial=0)) + 1))
    preferences_NK = np.take_along_axis(preferences_NC, classes_NK.clip(0), 1)
    preferences_NK[classes_NK == IGNORE] = -1
    preferred_NK = preferences_NK == preferences_NK.max(1, keepdims=True)
    return np.where(preferred_NK, rng.random(classes_NK.shape), -1).argmax(1)


class _Pool(NamedTuple):
    """Vectors of strings that act like elements: first of the shortest one of each, then of nodes."""

    values_UD: Tensor
    elements_U: Ints
    lengths_U: Ints

    def choose(self, strings_N4: Ints, longest: int, rng: np.random.Generator) -> Ints:
        """Return which vectors are the factors [N, 4] of strings, -1 for an empty one.

        The contexts are shortest strings. The factors of the product are drawn from all vectors of their elements, and
        are shortest strings as well where they would be too long together.
        """
        order_U = np.argsort(self.elements_U, kind="stable")
        ordered_U = self.elements_U[order_U]
        first_N4, end_N4 = (np.searchsorted(ordered_U, strings_N4, side) for side in ("left", "right"))
        # The shortest strings stand before all nodes, and the sort is stable.
        shortest_N4 = np.where(strings_N4 == _NOTHING, -1, order_U[first_N4.clip(max=len(order_U) - 1)])
        drawn_N2 = first_N4[:, 1:3] + (rng.random((len(strings_N4), 2)) * (end_N4 - first_N4)[:, 1:3]).astype(np.int64)
        rows_N4 = shortest_N4.copy()
        rows_N4[:, 1:3] = order_U[drawn_N2]
        lengths_N = np.where(rows_N4 >= 0, self.lengths_U[rows_N4], 0).sum(1)
        return np.where(lengths_N[:, None] <= longest, rows_N4, shortest_N4)


def word_values(unit: LDRU, words: Sequence[Word], rng: np.random.Generator) -> Tensor:
    """Return the values [E, D] of strings of any lengths, under brackets drawn at random.

    Equal substrings are computed once, and all that stand equally high above their leaves together.

    Args:
        unit: whose operator joins them; dropout and noise are drawn once for each distinct substring.
        words: the strings, of one symbol or more.
        rng: where each substring is cut in two: anywhere but in its outer quarters.
    """
    heights, halves = dict[Word, int](), dict[Word, tuple[Word, Word]]()

    def grow(word: Word) -> int:
        """Add a string and the substrings it is made of; return its height above the leaves."""
        if word not in heights:
            height = 0
            if len(word) > 1:
                quarter = max(len(word) // 4, 1)
                cut = int(rng.integers(quarter, len(word) - quarter + 1))
                halves[word] = word[:cut], word[cut:]
                height = 1 + max(grow(half) for half in halves[word])
            heights[word] = height
        return heights[word]

    for word in words:
        grow(word)
    # From the leaves up; the sort is stable.
    ordered = sorted(heights, key=heights.__getitem__)
    numbers = {word: number for number, word in enumerate(ordered)}
    leaves, *levels = (list(level) for _, level in groupby(ordered, heights.__getitem__))
    device = unit.classifier.weight.device
    values_ED = unit.join.dropout(unit.encoder(torch.tensor([symbol for (symbol,) in leaves], device=device)))
    for level in levels:
        pairs_E2D = values_ED[torch.tensor([[numbers[half] for half in halves[word]] for word in level], device=device)]
        values_ED = torch.cat([values_ED, unit.join(pairs_E2D[:, 0], pairs_E2D[:, 1])])
    return values_ED[torch.tensor([numbers[word] for word in words], device=device)]


def _with_own_start(task: Automaton) -> Automaton:
    """Return the same language with a start that nothing leads back to, so that no string acts like the empty one."""
    transitions_SA = np.concatenate([task.transitions_SA, task.transitions_SA[task.start][None]])
    return Automaton(transitions_SA, task.states, np.append(task.outputs_S, task.outputs_S[task.start]))


def _span_lengths(spans_BTT: Ints) -> Ints:
    """Return [B, T, T + 1] the length of each substring."""
    length = spans_BTT.shape[1]
    return np.broadcast_to(np.arange(length + 1) - np.arange(length)[:, None], spans_BTT.shape)
