"""The mathematics: pure functions on tensors, each with a slow twin in `reference`."""

from lengthwise.scans.bracketing import Rounds, balanced_rounds, random_tree
from lengthwise.scans.delta import delta_scan
from lengthwise.scans.diagonal import diagonal_scan
from lengthwise.scans.elementwise import elementwise_scan
from lengthwise.scans.exponential import mlstm_scan, slstm_scan
from lengthwise.scans.gated_linear import gated_linear_scan
from lengthwise.scans.linear import linear_scan
from lengthwise.scans.online import OnlineReduction, reduce_chunks
from lengthwise.scans.selected import selected_scan
from lengthwise.scans.selective import selective_scan
from lengthwise.scans.shared import SharedNodes
from lengthwise.scans.tree import (
    Odd,
    Operator,
    RightFold,
    random_bracketing,
    tree_reduce,
    tree_reduce_prefixes,
    tree_scan,
)
from lengthwise.scans.weighted import WeightedMemory, weighted_scan

__all__ = [
    "Odd",
    "OnlineReduction",
    "Operator",
    "RightFold",
    "Rounds",
    "SharedNodes",
    "WeightedMemory",
    "balanced_rounds",
    "delta_scan",
    "diagonal_scan",
    "elementwise_scan",
    "gated_linear_scan",
    "linear_scan",
    "mlstm_scan",
    "random_bracketing",
    "random_tree",
    "reduce_chunks",
    "selected_scan",
    "selective_scan",
    "slstm_scan",
    "tree_reduce",
    "tree_reduce_prefixes",
    "tree_scan",
    "weighted_scan",
]
