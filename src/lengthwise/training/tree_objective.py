"""What an LDRU learns from its trees: the root, all nodes, associativity, products.

Shape letters: B batch rows, T tokens, M nodes of a level, U distinct nodes, C classes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lengthwise.errors import InputError
from lengthwise.models.ldru import LDRU, LDRUConfig, Nodes
from lengthwise.scans import Rounds, balanced_rounds, random_bracketing, random_tree, tree_reduce
from lengthwise.tasks.automaton import Automaton
from lengthwise.tasks.base import UNLABELLED, Batch
from lengthwise.training.config import AssociativityConfig, TrainingConfig
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
        loss = self._trees(batch, progress, generator)
        products = self.config.products
        if self.products is None or products is None or progress <= products.start:
            return loss
        rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
        total = loss.total + products.weight * self.products.loss(self.model, rng)
        return Loss(total, loss.accuracy, products.candidates)

    def _trees(self, batch: Batch, progress: float, generator: torch.Generator) -> Loss:
        config, length = self.config, batch.tokens.shape[1]
        carry_first = random_bracketing(length, generator) if config.bracketing == "shifted" else []
        if not config.share_subtrees:
            return self._dense(batch, carry_first)
        any_shape = config.bracketing == "random"
        rounds = random_tree(length, generator) if any_shape else balanced_rounds(length, carry_first)
        return self._shared(batch, rounds, progress, generator)

    def _dense(self, batch: Batch, carry_first: list[bool]) -> Loss:
        """Loss at the roots, every node computed by itself."""
        tokens_BT, targets_B = on_device(self.model, batch.tokens, batch.targets)
        root_BC = self.model.readout(self.model.roots(tokens_BT, carry_first))
        return Loss(charged(self.model, F.cross_entropy(root_BC, targets_B)), accuracy(root_BC, targets_B))

    def _shared(self, batch: Batch, rounds: Rounds, progress: float, generator: torch.Generator) -> Loss:
        """Loss at the roots and at the nodes, and associativity; equal substrings are computed once."""
        config, model = self.config, self.model
        tokens_BT, targets_B = on_device(model, batch.tokens, batch.targets)
        levels = model.nodes(tokens_BT, rounds)
        root_BC = model.readout(levels[-1].shared.dense()[:, 0])
        total = F.cross_entropy(root_BC, targets_B)
        if config.supervision == "nodes" and len(levels) > 1:
            (spans_BTT,) = on_device(model, self.automaton.label_spans(batch.tokens))
            total = total + config.node_weight * _node_loss(model, levels[:-1], spans_BTT)
        if config.associativity.weight and progress > config.associativity.start:
            penalty = associativity_penalty(model, levels, config.associativity, generator)
            total = total + config.associativity.weight * penalty
        return Loss(charged(model, total), accuracy(root_BC, targets_B))


def _node_loss(model: LDRU, levels: list[Nodes], spans_BTT: Tensor) -> Tensor:
    """Mean over levels of the mean loss of their distinct nodes."""
    losses: list[Tensor] = []
    for level in levels:
        place_U = level.shared.occurrence()
        nodes = len(level.starts)
        row_U, node_U = place_U // nodes, place_U % nodes
        starts = torch.as_tensor(level.starts, device=place_U.device)
        ends = torch.as_tensor(level.ends, device=place_U.device)
        labels_U = spans_BTT[row_U, starts[node_U], ends[node_U]]
        known_U = labels_U != UNLABELLED
        if known_U.any():
            logits_UC = model.readout(level.shared.table_UD[: level.shared.fresh])
            losses.append(F.cross_entropy(logits_UC, labels_U, ignore_index=UNLABELLED))
    return torch.stack(losses).mean() if losses else torch.zeros((), device=spans_BTT.device)


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
    nodes_needed = training.supervision == "nodes" or training.associativity.weight > 0
    if nodes_needed and not training.share_subtrees:
        raise InputError("supervision of nodes and the associativity penalty need training.share_subtrees: true")
