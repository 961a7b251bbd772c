"""The chunked delta rule against its slow twin and against independent implementations."""

import importlib.util
import sys
import sysconfig
from pathlib import Path

import functorch.einops
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_twins import delta_scan_reference
from torch.utils.checkpoint import checkpoint

from lengthwise.errors import InputError
from lengthwise.scans.delta import delta_scan

LENGTHS = [1, 2, 3, 63, 64, 65, 130]


def inputs(length, *, seed=0, rows=2, heads=3, keys=4, values=5, slowest=-1e-3, fastest=-3.0, dtype=torch.float64):
    """Queries, normalised keys, values, beta in (0, 2), log decays, and a state that is not zero."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def uniform(low, high):
        return low + (high - low) * torch.rand(rows, length, heads, generator=generator, dtype=torch.float64)

    drawn = (
        normal(rows, length, heads, keys),
        torch.nn.functional.normalize(normal(rows, length, heads, keys), dim=-1),
        normal(rows, length, heads, values),
        uniform(0, 2),
        uniform(fastest, slowest),
        normal(rows, heads, keys, values),
    )
    return [tensor.to(dtype).requires_grad_() for tensor in drawn]


def gradients(outputs, given):
    """Gradients of a fixed random functional of outputs and final state."""
    generator = torch.Generator().manual_seed(5)
    weights = [torch.randn(t.shape, generator=generator, dtype=torch.float64).to(t) for t in outputs]
    loss = sum((t * w).sum() for t, w in zip(outputs, weights, strict=True))
    return torch.autograd.grad(loss, given)


def assert_same(fast, slow, given, tolerance=1e-10):
    for ours, expected in zip([*fast, *gradients(fast, given)], [*slow, *gradients(slow, given)], strict=True):
        torch.testing.assert_close(ours, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("chunk", [1, 5, 32, 64, 200])
def test_equals_the_recurrence(length, chunk):
    given = inputs(length)
    assert_same(delta_scan(*given, chunk=chunk), delta_scan_reference(*given), given)


@pytest.mark.parametrize("length", [1, 65])
def test_no_decay_and_no_state_are_decays_of_one_and_zeros(length):
    given = inputs(length)[:4]
    assert_same(delta_scan(*given), delta_scan_reference(*given), given)


@settings(max_examples=30)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=5), st.integers(1, 40))
def test_cut_anywhere(pieces, chunk):
    given = inputs(sum(pieces), rows=1, heads=2)
    *sequences, state = given
    outputs = []
    for piece in zip(*(x.split(pieces, 1) for x in sequences), strict=True):
        y, state = delta_scan(*piece, state, chunk=chunk)
        outputs.append(y)
    assert_same((torch.cat(outputs, 1), state), delta_scan(*given, chunk=chunk), given)


def test_later_tokens_change_nothing_earlier():
    sequences = inputs(50)[:5]
    changed = [torch.cat([x[:, :20], x[:, 20:].flip(1)], 1) for x in sequences]
    torch.testing.assert_close(delta_scan(*sequences)[0][:, :20], delta_scan(*changed)[0][:, :20], rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("step", [1e-12, 1e-30])
def test_extreme_decays_neither_overflow_nor_give_nan(dtype, step):
    *sequences, state = inputs(130, dtype=dtype)
    extreme = torch.full_like(sequences[4], step).log()
    extreme[:, ::3] = -1e-4
    given = [*sequences[:4], extreme.detach().requires_grad_(), state]
    assert_same(delta_scan(*given), delta_scan_reference(*given), given, 1e-3 if dtype == torch.float32 else 1e-10)


def test_decays_of_zero_forget_everything():
    q, k, v, beta, log_decay, state = inputs(40)
    y, last = delta_scan(q, k, v, beta, torch.full_like(log_decay, -1e4), state)
    alone = beta[..., None] * (q * k).sum(-1, keepdim=True) * v
    torch.testing.assert_close(y, alone)
    torch.testing.assert_close(last, (beta[:, -1, :, None] * k[:, -1])[..., None] * v[:, -1, :, None])


def test_beta_of_two_reflects():
    """With one key and beta 2, the eigenvalue -1: what is held changes its sign at every token."""
    key = torch.tensor([1.0, 0.0], dtype=torch.float64).expand(1, 101, 1, 2)
    state = torch.tensor([[[[1.0], [1.0]]]], dtype=torch.float64)
    y, last = delta_scan(key, key, key.new_zeros(1, 101, 1, 1), key.new_full((1, 101, 1), 2.0), None, state)
    torch.testing.assert_close(y.flatten(), -((-1.0) ** torch.arange(101, dtype=torch.float64)))
    torch.testing.assert_close(last.flatten(), torch.tensor([-1.0, 1.0], dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_low_precision_stays_near_the_recurrence(dtype):
    given = inputs(300, dtype=dtype, slowest=-1e-4, fastest=-0.1)
    y, state = delta_scan(*given)
    assert (y.dtype, state.dtype) == (dtype, torch.float32)
    exact = [x.detach().double().requires_grad_() for x in given]
    expected = delta_scan_reference(*exact)
    relative = 1e-2 if dtype == torch.bfloat16 else 1e-5
    pairs = [*zip((y, state), expected, strict=True)]
    pairs += zip(gradients((y, state), given), gradients(expected, exact), strict=True)
    for ours, precise in pairs:
        assert (ours.double() - precise).norm() < relative * precise.norm()


def test_gradients_arrive_in_the_dtype_of_what_they_belong_to():
    given = inputs(40, dtype=torch.bfloat16)
    given[5] = given[5].detach().float().requires_grad_()
    assert [g.dtype for g in gradients(delta_scan(*given), given)] == [x.dtype for x in given]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k_BTHK": torch.zeros(1, 4, 1, 3)}, "k_BTHK must be"),
        ({"v_BTHV": torch.zeros(1, 3, 1, 2)}, "v_BTHV must be"),
        ({"beta_BTH": torch.zeros(1, 4, 1, 1)}, "beta_BTH must be"),
        ({"log_decay_BTH": torch.zeros(1, 4, 2)}, "log_decay_BTH must be"),
        ({"state_BHKV": torch.zeros(1, 1, 2, 3)}, "state_BHKV must be"),
        ({"q_BTHK": torch.zeros(1, 0, 1, 2)}, "at least one token"),
        ({"chunk": 0}, "at least one token"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(change, message):
    key = torch.zeros(1, 4, 1, 2)
    fitting = {"q_BTHK": key, "k_BTHK": key, "v_BTHV": key, "beta_BTH": torch.zeros(1, 4, 1)}
    with pytest.raises(InputError, match=message):
        delta_scan(**(fitting | change))


class TestIndependentImplementations:
    @pytest.mark.parametrize("name", ["torch_chunk_gated_delta_rule", "torch_recurrent_gated_delta_rule"])
    @pytest.mark.parametrize("length", [3, 65])
    def test_transformers(self, name, length):
        reason = "transformers with Qwen3-Next is not installed"
        peer = pytest.importorskip("transformers.models.qwen3_next.modeling_qwen3_next", reason=reason)
        given = inputs(length, dtype=torch.float32)
        q, k, v, beta, log_decay, state = given
        rule = getattr(peer, name)
        expected = rule(q, k, v, g=log_decay, beta=beta, initial_state=state, output_final_state=True)
        assert_same(delta_scan(q * q.shape[-1] ** -0.5, *given[1:]), expected, given, 1e-4)

    def test_flash_linear_attention(self, monkeypatch):
        path = Path(sysconfig.get_path("purelib")) / "fla" / "ops" / "delta_rule" / "naive.py"
        if not path.exists():
            pytest.skip("the naive delta rule of fla-core is not installed")
        # Importing the package itself needs triton; this file needs only einops, of which torch has its own.
        monkeypatch.setitem(sys.modules, "einops", functorch.einops)
        spec = importlib.util.spec_from_file_location("fla_naive_delta_rule", path)
        peer = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(peer)
        given = inputs(65, dtype=torch.float32)
        q, k, v, beta, _, state = given
        expected, last = peer.delta_rule_recurrence(*(x.transpose(1, 2) for x in (q, k, v, beta)), state)
        ours = delta_scan(q * q.shape[-1] ** -0.5, k, v, beta, None, state)
        assert_same(ours, (expected.transpose(1, 2), last), [q, k, v, beta, state], 1e-4)


def test_a_scan_can_be_checkpointed():
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 40, 3, 4, generator=generator, dtype=torch.float64) for _ in range(3))
    inputs = [q, k / k.norm(dim=-1, keepdim=True), v, torch.rand(2, 40, 3, generator=generator, dtype=torch.float64)]
    inputs = [x.requires_grad_() for x in inputs]
    kept = delta_scan(*inputs)[0]
    again = checkpoint(delta_scan, *inputs, use_reentrant=False)[0]
    found, expected = (torch.autograd.grad(y.square().sum(), inputs) for y in (again, kept))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
