"""The recurrence of RWKV-7 against its slow twin, against the delta rule, and against an independent implementation."""

import importlib.util
import sys
import sysconfig
from pathlib import Path

import functorch.einops
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_twins import delta_scan_reference, low_rank_reference
from torch import Tensor

from lengthwise.errors import InputError
from lengthwise.scans.low_rank import low_rank_scan


def inputs(length: int, *, rows: int = 2, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Return all that the scan is given, as RWKV-7 gives it, and a state that is not zero."""
    generator = torch.Generator().manual_seed(length)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    unit = torch.nn.functional.normalize(normal(rows, length, 2, 4), dim=-1)
    drawn = [normal(rows, length, 2, size) for size in (4, 4, 5)]
    drawn += [-normal(rows, length, 2, 4).exp(), -unit, unit * normal(rows, length, 2, 4).sigmoid()]
    return [x.to(dtype).requires_grad_() for x in [*drawn, normal(rows, 2, 4, 5)]]


def gradients(outputs: tuple[Tensor, ...], given: list[Tensor]) -> tuple[Tensor, ...]:
    total = sum((y * torch.arange(y.numel(), dtype=y.dtype).reshape(y.shape).cos()).sum() for y in outputs)
    return torch.autograd.grad(total, given)


def assert_same(
    fast: tuple[Tensor, ...], slow: tuple[Tensor, ...], given: list[Tensor], tolerance: float = 1e-10
) -> None:
    for ours, expected in zip([*fast, *gradients(fast, given)], [*slow, *gradients(slow, given)], strict=True):
        torch.testing.assert_close(ours, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("length", [1, 2, 3, 31, 32, 33, 70])
@pytest.mark.parametrize("chunk", [1, 4, 32, 128])
def test_equals_the_recurrence(length: int, chunk: int) -> None:
    given = inputs(length)
    assert_same(low_rank_scan(*given, chunk=chunk), low_rank_reference(*given), given)


def test_no_state_is_zeros() -> None:
    given = inputs(9)[:6]
    assert_same(low_rank_scan(*given), low_rank_reference(*given), given)


@settings(max_examples=20)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=4), st.sampled_from([2, 8, 32]))
def test_cut_anywhere(pieces: list[int], chunk: int) -> None:
    *sequences, state = whole = inputs(sum(pieces), rows=1)
    outputs = list[Tensor]()
    for piece in zip(*(x.split(pieces, 1) for x in sequences), strict=True):
        y, state = low_rank_scan(*piece, state, chunk=chunk)
        outputs.append(y)
    assert_same((torch.cat(outputs, 1), state), low_rank_scan(*whole, chunk=chunk), whole)


def test_the_delta_rule_with_a_decay_a_channel_is_a_case_of_it() -> None:
    """Where all channels decay alike it is the gated delta rule."""
    q, k, v, _, _, _, state = inputs(40)
    unit = torch.nn.functional.normalize(k.detach(), dim=-1).requires_grad_()
    beta, log_decay = torch.rand(2, 40, 2, 1, dtype=torch.float64), -torch.rand(2, 40, 2, 1, dtype=torch.float64)
    decay = log_decay.expand_as(q)
    ours = low_rank_scan(q, beta * unit, v, decay, unit * decay.exp(), -beta * unit, state)
    expected = delta_scan_reference(q, unit, v, beta[..., 0], log_decay[..., 0], state)
    assert_same(ours, expected, [q, unit, v, state])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_low_precision_stays_near_the_recurrence(dtype: torch.dtype) -> None:
    given = inputs(200, dtype=dtype)
    y, state = low_rank_scan(*given)
    assert (y.dtype, state.dtype) == (dtype, torch.float32)
    exact = [x.detach().double() for x in given]
    for ours, expected in zip((y, state), low_rank_reference(*exact), strict=True):
        assert (ours.double() - expected).norm() < (1e-2 if dtype == torch.bfloat16 else 1e-5) * expected.norm()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k_BTHK": torch.zeros(1, 4, 1, 3)}, "k_BTHK must be"),
        ({"read_BTHK": torch.zeros(1, 4, 1, 3)}, "read_BTHK must be"),
        ({"write_BTHK": torch.zeros(1, 3, 1, 2)}, "write_BTHK must be"),
        ({"state_BHKV": torch.zeros(1, 1, 3, 2)}, "state_BHKV must be"),
        ({"q_BTHK": torch.zeros(1, 0, 1, 2)}, "at least one token"),
        ({"chunk": 0}, "at least one token"),
        ({"chunk": 12}, "a power of two, not 12: 8 would do"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(change: dict[str, object], message: str) -> None:
    names = ("q_BTHK", "k_BTHK", "v_BTHV", "log_decay_BTHK", "read_BTHK", "write_BTHK")
    fitting: dict[str, object] = dict.fromkeys(names, torch.zeros(1, 4, 1, 2))
    with pytest.raises(InputError, match=message):
        low_rank_scan(**(fitting | change))  # pyright: ignore[reportArgumentType]


def test_flash_linear_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(sysconfig.get_path("purelib")) / "fla" / "ops" / "generalized_delta_rule" / "dplr" / "naive.py"
    if not path.exists():
        pytest.skip("the naive generalised delta rule of fla-core is not installed")
    # Importing the package itself needs triton; this file needs only einops, of which torch has its own.
    monkeypatch.setitem(sys.modules, "einops", functorch.einops)
    spec = importlib.util.spec_from_file_location("fla_naive_dplr", path)
    assert spec is not None
    assert spec.loader is not None
    peer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(peer)
    given = inputs(40, dtype=torch.float32)
    q, k, v, log_decay, read, write, state = given
    rows = (x.transpose(1, 2) for x in (q, k, v, read, write, log_decay))
    expected, last = peer.dplr_recurrence(*rows, initial_state=state)
    ours = low_rank_scan(q * q.shape[-1] ** -0.5, *given[1:])
    assert_same(ours, (expected.transpose(1, 2), last), given, 1e-4)
