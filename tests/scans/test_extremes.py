"""Every scan with a decay against its slow twin where decays are extreme but legal, in value and gradient, in float64.

A decay of zero forgets all, one of one keeps all, a negative one turns the state about. Shape letters as in the scans.
"""

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from slow_twins import (
    delta_scan_reference,
    diagonal_reference,
    elementwise_reference,
    gated_linear_reference,
    linear_reference,
    low_rank_reference,
    mlstm_reference,
    selected_reference,
    selective_scan_reference,
    slstm_reference,
    weighted_reference,
)
from torch import Tensor

from lengthwise.errors import InputError
from lengthwise.scans import tree_scan
from lengthwise.scans.delta import delta_scan
from lengthwise.scans.gla import gated_linear_scan
from lengthwise.scans.low_rank import low_rank_scan
from lengthwise.scans.mamba1 import selective_scan
from lengthwise.scans.mamba2 import linear_scan
from lengthwise.scans.rg_lru import elementwise_scan
from lengthwise.scans.rwkv4 import WeightedMemory, weighted_scan
from lengthwise.scans.s5 import diagonal_scan
from lengthwise.scans.sd_ssm import selected_scan
from lengthwise.scans.xlstm import MatrixMemory, ScalarMemory, mlstm_scan, slstm_scan

B, T, H, K, V = 2, 9, 2, 3, 4
LOGARITHMS = [0.0, -math.inf, -1e4, -1e-300]
DECAYS = [0.0, 1.0, -1.0, -0.6, 1e-300]
PLACES = [[0], [5], [3, 4, 8], list(range(T))]
"""Tokens with an extreme decay: with chunks of 4 the first, inside, at the ends of chunks, and all."""
Scan = Callable[..., tuple[Tensor, ...]]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + 10 * len(shape)), dtype=torch.float64)


def assert_same(fast: Scan, slow: Scan, given: Sequence[Tensor]) -> None:
    """Everything that is returned, and the gradients of a functional of it, which are finite."""
    leaves = [x.detach().clone().requires_grad_() for x in given]
    both = list[list[Tensor]]()
    for scan in (fast, slow):
        found = scan(*leaves)
        total = sum((y * normal(*y.shape, seed=5 + i)).sum().real for i, y in enumerate(found))
        both.append([*found, *torch.autograd.grad(total, leaves)])
    for ours, expected in zip(*both, strict=True):
        assert bool(ours.isfinite().all())
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-10)


def at(places: list[int], value: float, x_BT: Tensor) -> Tensor:
    """Return what has time second with a value at some tokens, in the first row alone."""
    changed = x_BT.clone()
    changed[0, places] = value
    return changed


@pytest.mark.parametrize("places", PLACES, ids=str)
@pytest.mark.parametrize("value", LOGARITHMS)
@pytest.mark.parametrize("chunk", [4, 16])
def test_logarithms_of_decays(chunk: int, value: float, places: list[int]) -> None:
    q, k, v = normal(B, T, H, K), normal(B, T, H, K, seed=1), normal(B, T, H, V, seed=2)
    state, bonus = normal(B, H, K, V, seed=3), normal(H, K, seed=4)
    by_head = at(places, value, -normal(B, T, H).abs())
    by_key = at(places, value, -normal(B, T, H, K).abs())
    assert_same(lambda *x: linear_scan(*x, chunk=chunk), linear_reference, [q, k, v, by_head, state])
    assert_same(lambda *x: gated_linear_scan(*x, chunk=chunk), gated_linear_reference, [q, k, v, by_key, state])
    assert_same(
        lambda *x: gated_linear_scan(*x[:-1], bonus_HK=x[-1], chunk=chunk),
        lambda *x: gated_linear_reference(*x[:-1], bonus_HK=x[-1]),
        [q, k, v, by_key, state, bonus],
    )
    unit, beta = torch.nn.functional.normalize(k, dim=-1), 2 * normal(B, T, H, seed=6).sigmoid()
    assert_same(lambda *x: delta_scan(*x, chunk=chunk), delta_scan_reference, [q, unit, v, beta, by_head, state])
    moved = beta[..., None] * unit
    given = [q, k, v, by_key, -unit, moved, state]
    assert_same(lambda *x: low_rank_scan(*x, chunk=chunk), low_rank_reference, given)


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("value", LOGARITHMS)
def test_the_delta_rule_that_erases_nothing_all_or_turns_about(value: float, beta: float) -> None:
    q, k, v = normal(B, T, H, K), torch.nn.functional.normalize(normal(B, T, H, K, seed=1), dim=-1), normal(B, T, H, V)
    given = [q, k, v, torch.full((B, T, H), beta).double(), at([2, 5], value, -normal(B, T, H).abs())]
    assert_same(lambda *x: delta_scan(*x, chunk=4), delta_scan_reference, [*given, normal(B, H, K, V, seed=3)])


def test_a_decay_that_underflows_leaves_the_others_as_exact_as_they_were() -> None:
    """A difference of two sums, each with a large logarithm in it, has few digits left."""
    q, k, v = (normal(B, T, H, n, seed=n).float() for n in (K, K, V))
    k, beta, log_decay = (
        torch.nn.functional.normalize(k, dim=-1),
        normal(B, T, H).sigmoid().float(),
        -normal(B, T, H).abs(),
    )
    given = [q, k, v, beta, at([4], -1e6, log_decay).float()]
    found, expected = delta_scan(*given)[0], delta_scan_reference(*(x.double() for x in given))[0]
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)


def test_a_decay_above_one_is_refused_by_the_delta_rule() -> None:
    given = [normal(1, 2, 1, 3)] * 3
    with pytest.raises(InputError, match=r"a decay is 0\.5, and decays are at most one"):
        delta_scan(*given, torch.ones(1, 2, 1), torch.tensor([-1.0, 0.5]).reshape(1, 2, 1))


@pytest.mark.parametrize("places", PLACES, ids=str)
@pytest.mark.parametrize("value", DECAYS)
def test_decays(value: float, places: list[int]) -> None:
    x, state, decay = normal(B, T, K), normal(B, K, seed=1), normal(B, T, K, seed=2).sigmoid()
    given = [at(places, value, decay), x, state]
    assert_same(lambda *x: (elementwise_scan(*x),), lambda *x: (elementwise_reference(*x),), given)

    def affine(left: Tensor, right: Tensor) -> Tensor:
        return torch.stack([left[..., 0] * right[..., 0], right[..., 0] * left[..., 1] + right[..., 1]], -1)

    def by_tree(decay: Tensor, x: Tensor, state: Tensor) -> tuple[Tensor]:
        start = torch.stack([torch.zeros_like(state), state], -1)
        return (tree_scan(affine, torch.stack([decay, x], -1), initial_BD=start)[..., 1],)

    assert_same(by_tree, lambda *x: (elementwise_reference(*x),), given)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("value", DECAYS)
@pytest.mark.parametrize("chunk", [4, 16])
def test_decays_that_are_the_same_at_every_token(chunk: int, value: float, dtype: torch.dtype) -> None:
    x, state = normal(B, T, K).to(dtype), normal(B, K, seed=1).to(dtype)
    decay = torch.tensor([value, 0.3, value]).to(dtype)
    assert_same(lambda *x: (diagonal_scan(*x, chunk=chunk),), lambda *x: (diagonal_reference(*x),), [decay, x, state])


@pytest.mark.parametrize("places", PLACES, ids=str)
@pytest.mark.parametrize("step", [0.0, 1e-300, 1e4])
@pytest.mark.parametrize("rate", [0.0, -1.0, -1e4])
def test_steps_and_rates_of_the_selective_scan(rate: float, step: float, places: list[int]) -> None:
    rates = -normal(K, V, seed=4).exp()
    rates[0] = rate
    steps = at(places, step, normal(B, T, K, seed=1).exp())
    given = [normal(B, T, K), steps, rates, normal(B, T, V), normal(B, T, V, seed=2), normal(K), normal(B, K, V)]
    assert_same(lambda *x: selective_scan(*x, chunk=4), selective_scan_reference, given)


@pytest.mark.parametrize("value", LOGARITHMS)
@pytest.mark.parametrize("length", [1, T])
def test_the_decay_of_a_weighted_mean(length: int, value: float) -> None:
    decay = torch.tensor([value, -0.5, value]).double()
    given = [3 * normal(B, length, K), normal(B, length, K, seed=1), decay, normal(K)]
    memory = [normal(B, K, seed=2), normal(B, K, seed=3).exp(), normal(B, K, seed=4)]

    def flat(scan: Callable[..., tuple[Tensor, WeightedMemory]]) -> Scan:
        def call(*x: Tensor) -> tuple[Tensor, ...]:
            y, after = scan(*x[:4], WeightedMemory(*x[4:]))
            return (y, *after)

        return call

    assert_same(flat(weighted_scan), flat(weighted_reference), [*given, *memory])


@pytest.mark.parametrize("places", PLACES, ids=str)
@pytest.mark.parametrize("forget", LOGARITHMS)
@pytest.mark.parametrize("enter", [None, -math.inf, -1e4])
def test_gates_of_matrix_memories(enter: float | None, forget: float, places: list[int]) -> None:
    log_input, log_forget = normal(B, T, H), at(places, forget, -normal(B, T, H, seed=1).abs())
    log_input = log_input if enter is None else at(places, enter, log_input)
    given = [normal(B, T, H, K), normal(B, T, H, K, seed=1), normal(B, T, H, V), log_input, log_forget]
    memory = [normal(B, H, K, V, seed=2), normal(B, H, K, seed=3), normal(B, H, seed=4)]

    def flat(scan: Callable[..., tuple[Tensor, MatrixMemory]]) -> Scan:
        def call(*x: Tensor) -> tuple[Tensor, ...]:
            y, after = scan(*x[:5], MatrixMemory(*x[5:]))
            # A stabiliser that stands for nothing would drown the rest of the functional.
            return y, after.matrix_BHKV, after.normaliser_BHK, after.stabiliser_BH.clamp(min=-100)

        return call

    assert_same(flat(lambda *x: mlstm_scan(*x, chunk=4)), flat(mlstm_reference), [*given, *memory])


@pytest.mark.parametrize("places", [[4], [8], [3, 4]], ids=str)
@pytest.mark.parametrize("exponential", [False, True])
@pytest.mark.parametrize("gate", ["enter", "forget"])
def test_gates_of_scalar_memories(gate: str, exponential: bool, places: list[int]) -> None:
    """A memory that was given nothing yet divides by zero in the paper as well: the first token lets something in."""
    x = 0.5 * normal(B, T, H, 4 * V)
    first = 0 if gate == "enter" else V
    x[0, places, :, first : first + V] = -math.inf
    recurrence = 0.1 * normal(H, V, 4 * V, seed=1)

    def fast(x: Tensor, recurrence: Tensor) -> tuple[Tensor, ...]:
        empty = ScalarMemory(*torch.zeros(4, B, H, V, dtype=torch.float64))
        return (slstm_scan(x, recurrence, empty, exponential_forget=exponential)[0],)

    def slow(x: Tensor, recurrence: Tensor) -> tuple[Tensor, ...]:
        return (slstm_reference(x, recurrence, exponential_forget=exponential)[0],)

    assert_same(fast, slow, [x, recurrence])


@pytest.mark.parametrize("method", ["loop", "tree"])
@pytest.mark.parametrize("weight", [[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [2.0, -1.0, 0.5]])
def test_weights_of_a_dictionary(weight: list[float], method: str) -> None:
    dictionary, weights = normal(3, V, V), normal(B, T, 3).softmax(-1)
    weights[0, [0, 4, 8]] = torch.tensor(weight).double()
    # A permutation, a matrix that turns one state about, and one that forgets all but a state.
    dictionary[0] = torch.eye(V).roll(1, 0)
    dictionary[1] = torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0]))
    given = [dictionary, weights, normal(B, T, V), normal(B, V)]
    assert_same(lambda *x: (selected_scan(*x, method=method),), lambda *x: (selected_reference(*x),), given)
