"""Scans: the mathematics of the models, pure functions on tensors, each held to a slow twin by the tests."""

from lengthwise.scans.bracketing import Rounds, balanced_rounds, random_tree
from lengthwise.scans.delta import delta_scan
from lengthwise.scans.gla import gated_linear_scan
from lengthwise.scans.mamba1 import selective_scan
from lengthwise.scans.mamba2 import linear_scan
from lengthwise.scans.online import OnlineReduction, reduce_chunks, tree_scan
from lengthwise.scans.rg_lru import elementwise_scan
from lengthwise.scans.rwkv4 import WeightedMemory, weighted_scan
from lengthwise.scans.s5 import diagonal_scan
from lengthwise.scans.sd_ssm import selected_scan
from lengthwise.scans.shared import SharedNodes
from lengthwise.scans.tree import (
    Odd,
    Operator,
    random_bracketing,
    tree_reduce,
    tree_reduce_prefixes,
)
from lengthwise.scans.xlstm import mlstm_scan, slstm_scan

__all__ = [
    "Odd",
    "OnlineReduction",
    "Operator",
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
