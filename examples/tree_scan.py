"""All prefixes of a gated recurrence in logarithmic depth, and the same values one token at a time."""

import torch
from torch import Tensor

from lengthwise import OnlineReduction, tree_reduce, tree_scan


def compose(left: Tensor, right: Tensor) -> Tensor:
    """Join two steps h -> a * h + b, held as [..., 2]: first the left one, then the right one."""
    (a, b), (c, d) = left.unbind(-1), right.unbind(-1)
    return torch.stack([a * c, c * b + d], -1)


generator = torch.Generator().manual_seed(0)
gates = torch.rand(1, 1000, generator=generator, dtype=torch.float64)
inputs = torch.randn(1, 1000, generator=generator, dtype=torch.float64)
steps = torch.stack([gates, inputs], -1)

hidden = tree_scan(compose, steps)[..., 1]

state, expected = torch.zeros(1, dtype=torch.float64), []
for gate, value in zip(gates.T, inputs.T, strict=True):
    state = gate * state + value
    expected.append(state)
print(f"scan against loop, largest difference: {(hidden - torch.stack(expected, 1)).abs().max():.0e}")

online = OnlineReduction(compose)
for piece in steps.split(77, 1):
    online.push(piece)
print(f"read in pieces of 77: {(online.value()[..., 1] - hidden[:, -1]).abs().max():.0e}")
print(f"kept: {len(online.partials)} partial reductions of {online.count} steps")
print(f"the last value alone: {(tree_reduce(compose, steps)[..., 1] - hidden[:, -1]).abs().max():.0e}")
