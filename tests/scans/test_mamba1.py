import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_twins import selective_scan_reference
from torch.nn import functional as F  # noqa: N812
from transformers.models.mamba.modeling_mamba import mamba_selective_scan

from lengthwise.errors import InputError
from lengthwise.scans.mamba1 import selective_scan

NAMES = ["u_BTD", "dt_BTD", "A_DN", "B_BTN", "C_BTN", "skip_D", "state_BDN"]


def arguments(rows=2, tokens=11, channels=5, states=3, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    values = [
        normal(rows, tokens, channels),
        F.softplus(normal(rows, tokens, channels)),
        -normal(channels, states).exp(),
        normal(rows, tokens, states),
        normal(rows, tokens, states),
        normal(channels),
        normal(rows, channels, states),
    ]
    return dict(zip(NAMES, values, strict=True))


def pieces(given, cuts):
    """Cut what runs over time; the rest comes along with each piece."""
    over_time = {name: x.tensor_split(cuts, 1) for name, x in given.items() if "T" in name}
    rest = {name: given[name] for name in ("A_DN", "skip_D")}
    return [rest | {name: x[i] for name, x in over_time.items()} for i in range(len(cuts) + 1)]


def with_gradients(scan, given):
    """Outputs, final state, and the gradients of a random functional of both."""
    leaves = {name: x.detach().clone().requires_grad_() for name, x in given.items()}
    y, state = scan(**leaves)
    generator = torch.Generator().manual_seed(7)
    functional = sum((x * torch.randn(x.shape, generator=generator, dtype=torch.float64)).sum() for x in (y, state))
    return [y.detach(), state.detach(), *torch.autograd.grad(functional, list(leaves.values()))]


def assert_same(found, expected, tolerance=1e-10):
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@settings(max_examples=40)
@given(
    rows=st.integers(1, 3),
    tokens=st.integers(1, 20),
    channels=st.integers(1, 4),
    states=st.integers(1, 4),
    chunk=st.integers(1, 24),
    seed=st.integers(0, 99),
)
def test_agrees_with_the_recurrence_in_value_and_gradient(rows, tokens, channels, states, chunk, seed):
    given = arguments(rows, tokens, channels, states, seed)
    found = with_gradients(lambda **x: selective_scan(**x, chunk=chunk), given)
    assert_same(found, with_gradients(selective_scan_reference, given))


@settings(max_examples=25)
@given(cuts=st.lists(st.integers(1, 21), max_size=4, unique=True).map(sorted), chunk=st.integers(1, 9))
def test_reading_in_pieces_equals_reading_at_once(cuts, chunk):
    given = arguments(tokens=22)

    def in_pieces(**x):
        outputs, state = [], x["state_BDN"]
        for piece in pieces(x, cuts):
            y, state = selective_scan(**piece, state_BDN=state, chunk=chunk)
            outputs.append(y)
        return torch.cat(outputs, 1), state

    assert_same(with_gradients(in_pieces, given), with_gradients(selective_scan, given))


def test_gradients_are_those_of_finite_differences():
    given = arguments(rows=1, tokens=5, channels=2, states=2)
    inputs = [x.requires_grad_() for x in given.values()]
    assert torch.autograd.gradcheck(lambda *x: selective_scan(*x, chunk=2), inputs)


def test_without_gradients_the_same_numbers_come_out():
    given = arguments(tokens=37)
    expected = selective_scan(**{name: x.requires_grad_() for name, x in given.items()})
    with torch.no_grad():
        found = selective_scan(**given)
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)


def test_no_state_is_a_state_of_zeros_and_no_skip_a_skip_of_zero():
    given = arguments()
    zeros = {name: torch.zeros_like(given.pop(name)) for name in ("skip_D", "state_BDN")}
    assert_same(selective_scan(**given), selective_scan(**given, **zeros))


def oracle(u_BTD, dt_BTD, A_DN, B_BTN, C_BTN, skip_D):
    over_time = (x.transpose(1, 2) for x in (B_BTN, C_BTN))
    y, state = mamba_selective_scan(
        u_BTD.transpose(1, 2), dt_BTD.transpose(1, 2), A_DN, *over_time, D=skip_D, return_last_state=True
    )
    return y.transpose(1, 2), state


def test_agrees_with_transformers_from_a_state_that_is_not_zero():
    """Theirs starts at zero: the state after a prefix of what it reads is a start for ours."""
    given = arguments(tokens=24)
    del given["state_BDN"]
    cut = 9

    def ours(**x):
        before, after = pieces(x, [cut])
        _, state = oracle(**before)
        return selective_scan(**after, state_BDN=state, chunk=4)

    def theirs(**x):
        y, state = oracle(**x)
        return y[:, cut:], state

    # Theirs casts the inputs to float32 inside.
    assert_same(with_gradients(ours, given), with_gradients(theirs, given), 1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("exponent", [1e-12, 90.0, 1e4, 1e30])
def test_extreme_decays_neither_overflow_nor_give_nan(exponent, dtype):
    given = arguments(tokens=40)
    given["dt_BTD"], given["A_DN"] = torch.ones_like(given["dt_BTD"]), torch.full_like(given["A_DN"], -exponent)
    given = {name: x.to(dtype) for name, x in given.items()}
    for value in with_gradients(selective_scan, given):
        assert value.isfinite().all()


def test_extreme_and_gentle_decays_side_by_side_keep_float32_accuracy():
    given = arguments(tokens=64, channels=8, states=8)
    given["A_DN"] = -torch.logspace(-8, 4, 64, dtype=torch.float64).view(8, 8)
    expected = with_gradients(selective_scan_reference, given)
    found = with_gradients(selective_scan, {name: x.float() for name, x in given.items()})
    for a, b in zip(found, expected, strict=True):
        assert (a - b).abs().max() <= 2e-5 * b.abs().max()


def test_a_state_that_never_decays_keeps_what_was_written_long_ago():
    given = arguments(rows=1, tokens=3000, channels=1, states=1, dtype=torch.float32)
    given["A_DN"] = torch.full((1, 1), -1e-12)
    given["dt_BTD"], given["u_BTD"] = torch.ones(1, 3000, 1), torch.zeros(1, 3000, 1)
    assert selective_scan(**given)[1] == given["state_BDN"]


def test_bfloat16_keeps_its_state_in_float32():
    given = {name: x.bfloat16() for name, x in arguments(tokens=200).items()}
    y, state = selective_scan(**given)
    expected_y, expected_state = selective_scan_reference(**{name: x.double() for name, x in given.items()})
    assert (y.dtype, state.dtype) == (torch.bfloat16, torch.float32)
    assert (state - expected_state).abs().max() <= 1e-5 * expected_state.abs().max()
    assert (y - expected_y).abs().max() <= 2**-8 * expected_y.abs().max()


def test_a_second_derivative_is_refused_rather_than_wrong():
    given = {name: x.requires_grad_() for name, x in arguments().items()}
    y, _ = selective_scan(**given)
    with pytest.raises(InputError, match="selective_scan has no second derivatives"):
        torch.autograd.grad(y.sum(), given["u_BTD"], create_graph=True)


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_shape_that_does_not_fit_is_named(name):
    given = arguments()
    given[name] = given[name][1:]
    with pytest.raises(InputError, match=rf"{name} must be \[.*\], not \["):
        selective_scan(**given)


def test_nothing_to_scan_is_refused():
    with pytest.raises(InputError, match="at least one token"):
        selective_scan(**arguments(tokens=0))
    with pytest.raises(InputError, match="at least one token, not 0"):
        selective_scan(**arguments(), chunk=0)
    with pytest.raises(InputError, match="expected u_BTD"):
        selective_scan(**(arguments() | {"u_BTD": torch.zeros(3)}))
