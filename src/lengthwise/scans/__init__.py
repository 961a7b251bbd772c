"""Scans: the mathematics of the models, pure functions on tensors, each held to a slow twin by the tests."""

from lengthwise.scans.bracketing import Rounds as Rounds
from lengthwise.scans.bracketing import balanced_rounds as balanced_rounds
from lengthwise.scans.bracketing import random_tree as random_tree
from lengthwise.scans.delta import delta_scan as delta_scan
from lengthwise.scans.gla import gated_linear_scan as gated_linear_scan
from lengthwise.scans.low_rank import low_rank_scan as low_rank_scan
from lengthwise.scans.mamba1 import selective_scan as selective_scan
from lengthwise.scans.mamba2 import linear_scan as linear_scan
from lengthwise.scans.nested import Inside as Inside
from lengthwise.scans.nested import nested_reduce as nested_reduce
from lengthwise.scans.online import OnlineReduction as OnlineReduction
from lengthwise.scans.online import tree_scan as tree_scan
from lengthwise.scans.rg_lru import elementwise_scan as elementwise_scan
from lengthwise.scans.rwkv4 import WeightedMemory as WeightedMemory
from lengthwise.scans.rwkv4 import weighted_scan as weighted_scan
from lengthwise.scans.s5 import diagonal_scan as diagonal_scan
from lengthwise.scans.sd_ssm import selected_scan as selected_scan
from lengthwise.scans.shared import SharedNodes as SharedNodes
from lengthwise.scans.tree import Odd as Odd
from lengthwise.scans.tree import Operator as Operator
from lengthwise.scans.tree import random_bracketing as random_bracketing
from lengthwise.scans.tree import tree_reduce as tree_reduce
from lengthwise.scans.tree import tree_reduce_prefixes as tree_reduce_prefixes
from lengthwise.scans.xlstm import mlstm_scan as mlstm_scan
from lengthwise.scans.xlstm import slstm_scan as slstm_scan
