"""Trees of a log-depth unit: the root's answer, those of the nodes below it, associativity, products.

Shape letters: B batch rows, T tokens, C classes.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lengthwise.errors import InputError
from lengthwise.models.base import StringModel
from lengthwise.models.reading import on_device
from lengthwise.models.tree.ldru import LDRU
from lengthwise.models.tree.level import Nodes
from lengthwise.scans import balanced_rounds, random_bracketing, random_tree, tree_reduce
from lengthwise.settings import Settings
from lengthwise.spaces import Tokens
from lengthwise.state import State
from lengthwise.tasks.base import IGNORE, Batch, Task
from lengthwise.tasks.capabilities import HasAutomaton, require
from lengthwise.training.config import TrainingConfig
from lengthwise.training.objectives.base import Loss, Objective, ObjectiveConfig, accuracy, charged
from lengthwise.training.objectives.nodes import node_loss
from lengthwise.training.objectives.products import MonoidProducts, ProductsConfig


class AssociativityConfig(Settings):
    """A penalty on the difference that brackets make, on unlabelled strings longer than those trained on.

    The strings are put together from nodes of the batch's trees and reduced twice, with different brackets.
    """

    weight: float = Field(default=0.0, ge=0)
    """Factor of the mean squared difference of the roots."""
    strings: int = Field(default=32, ge=1)
    """Strings a step."""
    pieces: int = Field(default=16, ge=3)
    """Nodes in a string."""
    start: float = Field(default=0.0, ge=0, lt=1)
    """The fraction of training after which the penalty counts."""


class TreeConfig(ObjectiveConfig):
    """Settings of learning from the trees of an LDRU."""

    name: Literal["tree"] = "tree"
    bracketing: Literal["balanced", "shifted", "random"] = "balanced"
    """Drawn for each batch. ``shifted``: each level carries its first node up unpaired with probability 1/2;
    ``random``: trees of any shape from balanced to very deep (see `random_tree`)."""
    node_weight: float = Field(default=1.0, ge=0)
    """Factor of the nodes' mean loss beside that of the root: every node learns the label of the substring under it; at
    0 the root alone learns."""
    share_subtrees: bool = True
    """Whether equal substrings of a batch are computed once; needs odd levels that carry."""
    associativity: AssociativityConfig = AssociativityConfig()
    """A penalty that makes the operator associative."""
    products: ProductsConfig | None = None
    """Products of the task's transition monoid that the operator learns; none by default."""

    def told(self, task: Task) -> str:
        """Return what the nodes below the root learn."""
        labels = "every node" if self.node_weight else super().told(task)
        return f"{labels}, and products of a teacher" if self.products else labels

    def build(self, model: StringModel, task: Task, training: TrainingConfig) -> Tree:
        """Return the objective."""
        return Tree(model, task, self)


class Tree(Objective):
    """The label at the root of each string's tree, what is asked for of the nodes below it, and products of elements.

    Args:
        model: an LDRU, read out at the root.
        task: whose strings have one length a batch and are asked at their end; for nodes and products one that an
            automaton decides.
        config: the settings.

    Raises:
        InputError: model, task and settings do not go together.
    """

    starts: ClassVar[bool] = False

    def __init__(self, model: StringModel, task: Task, config: TreeConfig) -> None:
        if not isinstance(model, LDRU):
            raise InputError(f"objective 'tree' needs an LDRU: {type(model).__name__} has no tree; use 'asked'")
        if not isinstance(task.outputs, Tokens):
            raise InputError(f"objective 'tree' learns classes; {task.label} asks for values: use 'asked'")
        _check(config, model)
        self.model, self.config = model, config
        self.automaton = None
        if config.node_weight or config.products:
            self.automaton = require(task, HasAutomaton, "objective 'tree' with nodes or products").automaton
        products, longest = config.products, task.training_length or 0
        self.products = MonoidProducts(self.automaton, products, longest) if products and self.automaton else None

    def loss(
        self, batch: Batch, start: State | None, progress: float, generator: torch.Generator, *, watched: bool = False
    ) -> Loss:
        """Return the loss at the roots and below them; the generator draws brackets and strings."""
        config, length = self.config, batch.inputs.shape[1]
        targets_B = batch.targets[:, -1]
        if (targets_B == IGNORE).any() or (batch.lengths != length).any():
            raise InputError("objective 'tree' reads strings of one length, each asked at its end; use 'asked'")
        tokens_BT, targets_B = on_device(self.model, batch.inputs, targets_B)
        carry_first = random_bracketing(length, generator) if config.bracketing == "shifted" else []
        levels = list[Nodes]()
        if config.share_subtrees:
            any_shape = config.bracketing == "random"
            rounds = random_tree(length, generator) if any_shape else balanced_rounds(length, carry_first)
            levels = self.model.nodes(tokens_BT, rounds)
            roots_BD = levels[-1].shared.dense()[:, 0]
        else:
            roots_BD = self.model.roots(tokens_BT, carry_first)
        root_BC = self.model.readout(roots_BD)
        total, beside = F.cross_entropy(root_BC, targets_B), 0
        if config.node_weight and self.automaton and len(levels) > 1:
            spans_BTT = self.automaton.label_spans(batch.inputs)
            total = total + config.node_weight * node_loss(self.model, levels[:-1], spans_BTT)
        if config.associativity.weight and progress > config.associativity.start:
            penalty = associativity_penalty(self.model, levels, config.associativity, generator)
            total = total + config.associativity.weight * penalty
        total = charged(self.model, total)
        if self.products and len(levels) > 1 and progress > self.products.config.start:
            rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
            total = total + self.products.loss(self.model, levels[1:], batch.inputs, rng)
            beside = self.products.config.candidates
        return Loss(total, accuracy(root_BC, targets_B), beside=beside)


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


def _check(config: TreeConfig, model: LDRU) -> None:
    if model.config.readout != "root":
        others = "'prefixes' or 'asked'" if model.config.readout == "prefixes" else "'asked'"
        raise InputError(f"model.readout {model.config.readout!r} needs objective {others}, not 'tree'")
    if config.share_subtrees and model.config.odd != "carry":
        raise InputError(
            f"model.odd {model.config.odd!r} needs objective.share_subtrees: false; only 'carry' can share"
        )
    if config.share_subtrees:
        return
    if config.bracketing == "random":
        raise InputError("objective.bracketing 'random' needs objective.share_subtrees: true; 'shifted' does not")
    if config.node_weight or config.associativity.weight or config.products:
        raise InputError(
            "supervision of nodes (objective.node_weight) as well as products and the associativity penalty need "
            "objective.share_subtrees: true"
        )
