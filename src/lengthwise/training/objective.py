"""What a unit is trained on: the root, all nodes, associativity.

Shape letters: B batch rows, T tokens, M nodes of a level, U distinct nodes, C classes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lengthwise.models.ldru import LDRU, Nodes
from lengthwise.scans import balanced_rounds, random_bracketing, random_tree, tree_reduce
from lengthwise.tasks.automaton import Automaton
from lengthwise.tasks.base import UNLABELLED, Batch, Ints
from lengthwise.training.config import AssociativityConfig, TrainingConfig


class Loss(NamedTuple):
    """The loss to descend, and the accuracy at the root."""

    total: Tensor
    accuracy: Tensor


def batch_loss(
    model: LDRU,
    automaton: Automaton,
    batch: Batch,
    config: TrainingConfig,
    progress: float,
    generator: torch.Generator,
) -> Loss:
    """Return the loss of one batch, in the kind of supervision that the settings ask for.

    Args:
        model: the unit.
        automaton: knows the labels of prefixes and substrings.
        batch: the strings.
        config: the settings of training.
        progress: the fraction of training that is over, from 0 to 1.
        generator: source of the brackets and of the strings of the associativity penalty.
    """
    if config.supervision == "prefixes":
        loss = _prefix_loss(model, automaton, batch)
    else:
        loss = _tree_loss(model, automaton, batch, config, progress, generator)
    if (penalty := model.penalty()) is not None:
        loss = loss._replace(total=loss.total + penalty)
    return loss


def _prefix_loss(model: LDRU, automaton: Automaton, batch: Batch) -> Loss:
    """Mean loss over all prefixes that have a label."""
    tokens_BT, labels_BT = _on_device(model, batch.tokens, automaton.label_prefixes(batch.tokens))
    logits_BTC = model.readout(model.prefixes(tokens_BT))
    total = F.cross_entropy(logits_BTC.flatten(0, 1), labels_BT.flatten(), ignore_index=UNLABELLED)
    return Loss(total, _accuracy(logits_BTC[:, -1], labels_BT[:, -1]))


def _tree_loss(
    model: LDRU,
    automaton: Automaton,
    batch: Batch,
    config: TrainingConfig,
    progress: float,
    generator: torch.Generator,
) -> Loss:
    """Loss at the roots, and what is asked for of the nodes below them."""
    tokens_BT, targets_B = _on_device(model, batch.tokens, batch.targets)
    length = tokens_BT.shape[1]
    carry_first = random_bracketing(length, generator) if config.bracketing == "shifted" else []
    if not config.share_subtrees:
        root_BC = model.readout(model.roots(tokens_BT, carry_first))
        return Loss(F.cross_entropy(root_BC, targets_B), _accuracy(root_BC, targets_B))
    any_shape = config.bracketing == "random"
    rounds = random_tree(length, generator) if any_shape else balanced_rounds(length, carry_first)
    levels = model.nodes(tokens_BT, rounds)
    root_BC = model.readout(levels[-1].shared.dense()[:, 0])
    total = F.cross_entropy(root_BC, targets_B)
    if config.supervision == "nodes" and len(levels) > 1:
        (spans_BTT,) = _on_device(model, automaton.label_spans(batch.tokens))
        total = total + config.node_weight * _node_loss(model, levels[:-1], spans_BTT)
    if config.associativity.weight and progress > config.associativity.start:
        penalty = associativity_penalty(model, levels, config.associativity, generator)
        total = total + config.associativity.weight * penalty
    return Loss(total, _accuracy(root_BC, targets_B))


def _on_device(model: LDRU, *arrays: Ints) -> list[Tensor]:
    return [torch.from_numpy(array).to(model.classifier.weight.device) for array in arrays]


def _accuracy(logits_BC: Tensor, targets_B: Tensor) -> Tensor:
    return (logits_BC.argmax(-1) == targets_B).double().mean()


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
