"""Nodes of a batch's trees: what they stand over, and what they learn of it.

Shape letters: B batch rows, T tokens, U distinct nodes of a level, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lengthwise.models.reading import on_device
from lengthwise.models.tree.ldru import LDRU
from lengthwise.models.tree.level import Nodes
from lengthwise.tasks.base import IGNORE, Ints


def look_up(level: Nodes, spans_BTT: Ints) -> Ints:
    """Return what is said of the substrings under the distinct nodes of a level.

    Args:
        level: the nodes.
        spans_BTT: [B, T, T + 1] entry [b, i, j] is about tokens i to j of row b, as `Automaton.label_spans` gives it.

    Returns:
        [U] the entry of each node that was not in the level below.
    """
    nodes = len(level.starts)
    row_U, node_U = np.divmod(level.shared.occurrence().cpu().numpy(), nodes)
    return spans_BTT[row_U, np.array(level.starts)[node_U], np.array(level.ends)[node_U]]


def node_loss(model: LDRU, levels: Sequence[Nodes], spans_BTT: Ints) -> Tensor:
    """Return the mean over levels of the mean cross-entropy of their distinct nodes.

    Args:
        model: whose nodes they are.
        levels: the nodes.
        spans_BTT: the class of each substring; nodes without one are left out.
    """
    losses: list[Tensor] = []
    for level in levels:
        labels_U = look_up(level, spans_BTT)
        if (labels_U != IGNORE).any():
            logits_UC = model.readout(level.shared.table_UD[: level.shared.fresh])
            (labels,) = on_device(model, labels_U)
            losses.append(F.cross_entropy(logits_UC, labels, ignore_index=IGNORE))
    return torch.stack(losses).mean() if losses else model.classifier.weight.new_zeros(())
