"""What an LDRU learns from its trees: the root, all nodes, associativity, products.

Shape letters: B batch rows, T tokens, C classes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lengthwise.errors import InputError
from lengthwise.models.tree.ldru import LDRU, LDRUConfig, Nodes
from lengthwise.scans import balanced_rounds, random_bracketing, random_tree, tree_reduce
from lengthwise.tasks.automaton import Automaton
from lengthwise.tasks.base import Batch
from lengthwise.training.config import AssociativityConfig, TrainingConfig
from lengthwise.training.nodes import node_loss
from lengthwise.training.objective import Loss, Objective, accuracy, charged, on_device
from lengthwise.training.products import MonoidProducts


class TreeObjective(Objective):
    """The label at the root of each string's tree, what is asked for of the nodes below it, and products of elements.

    Args:
        model: the unit, read out at the root.
        automaton: knows the labels of substrings.
        config: the settings of training.

    Raises:
        InputError: the settings of training and of the unit do not go together.
    """

    def __init__(self, model: LDRU, automaton: Automaton, config: TrainingConfig) -> None:
        _check(config, model.config)
        self.model, self.automaton, self.config = model, automaton, config
        products, longest = config.products, config.lengths.maximum
        self.products = MonoidProducts(automaton, products, longest) if products else None

    def loss(self, batch: Batch, progress: float, generator: torch.Generator) -> Loss:
        """Return the loss at the roots and below them; the generator draws brackets and strings."""
        config, length = self.config, batch.tokens.shape[1]
        carry_first = random_bracketing(length, generator) if config.bracketing == "shifted" else []
        if not config.share_subtrees:
            return self._dense(batch, carry_first)
        any_shape = config.bracketing == "random"
        rounds = random_tree(length, generator) if any_shape else balanced_rounds(length, carry_first)
        (tokens_BT,) = on_device(self.model, batch.tokens)
        levels = self.model.nodes(tokens_BT, rounds)
        loss = self._shared(batch, levels, progress, generator)
        return self._with_products(loss, batch, levels, progress, generator)

    def _with_products(
        self, loss: Loss, batch: Batch, levels: list[Nodes], progress: float, generator: torch.Generator
    ) -> Loss:
        config = self.config.products
        if self.products is None or config is None or progress <= config.start or len(levels) == 1:
            return loss
        rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
        total = loss.total + self.products.loss(self.model, levels[1:], batch.tokens, rng)
        return Loss(total, loss.accuracy, config.candidates)

    def _dense(self, batch: Batch, carry_first: list[bool]) -> Loss:
        """Loss at the roots, every node computed by itself."""
        tokens_BT, targets_B = on_device(self.model, batch.tokens, batch.targets)
        root_BC = self.model.readout(self.model.roots(tokens_BT, carry_first))
        return Loss(charged(self.model, F.cross_entropy(root_BC, targets_B)), accuracy(root_BC, targets_B))

    def _shared(self, batch: Batch, levels: list[Nodes], progress: float, generator: torch.Generator) -> Loss:
        """Loss at the roots and at the nodes, and associativity; equal substrings are computed once."""
        config, model = self.config, self.model
        (targets_B,) = on_device(model, batch.targets)
        root_BC = model.readout(levels[-1].shared.dense()[:, 0])
        total = F.cross_entropy(root_BC, targets_B)
        if config.supervision == "nodes" and len(levels) > 1:
            spans_BTT = self.automaton.label_spans(batch.tokens)
            total = total + config.node_weight * node_loss(model, levels[:-1], spans_BTT)
        if config.associativity.weight and progress > config.associativity.start:
            penalty = associativity_penalty(model, levels, config.associativity, generator)
            total = total + config.associativity.weight * penalty
        return Loss(charged(model, total), accuracy(root_BC, targets_B))


def associativity_penalty(
    model: LDRU, levels: list[Nodes], config: AssociativityConfig, generator: torch.Generator
) -> Tensor:
    """Return the mean squared difference between two bracketings of strings put together from nodes.

    Args:
        model: the unit.
        levels: the nodes to draw from, each level as often as the others.
        config: how many strings, of how many pieces.
        generator: source of the strings and brackets.
    """
    shape = (config.strings, config.pieces)
    tables = [level.shared.table_UD for level in levels]
    sizes = torch.tensor([len(table) for table in tables])
    level = torch.randint(len(tables), shape, generator=generator)
    place = (torch.rand(shape, generator=generator) * sizes[level]).long()
    offsets = torch.cumsum(sizes, 0) - sizes
    pieces = torch.cat(tables)[offsets[level] + place]
    flags = [random_bracketing(config.pieces, generator) for _ in range(2)]
    one, other = (tree_reduce(model.join, pieces, carry_first=flag) for flag in flags)
    return F.mse_loss(one, other)


def _check(training: TrainingConfig, model: LDRUConfig) -> None:
    if model.readout == "prefixes":
        raise InputError(
            f"model.readout 'prefixes' needs training.supervision 'prefixes', not {training.supervision!r}"
        )
    if training.share_subtrees and model.odd != "carry":
        raise InputError(f"model.odd {model.odd!r} needs training.share_subtrees: false; only 'carry' can share")
    if training.bracketing == "random" and not training.share_subtrees:
        raise InputError("training.bracketing 'random' needs training.share_subtrees: true; 'shifted' does not")
    nodes_needed = training.supervision == "nodes" or training.associativity.weight > 0 or training.products
    if nodes_needed and not training.share_subtrees:
        raise InputError(
            "supervision of nodes as well as products and the associativity penalty need training.share_subtrees: true"
        )
