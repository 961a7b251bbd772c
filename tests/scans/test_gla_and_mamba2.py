"""Chunked linear recurrences against their slow twins and against other people's code."""

import importlib.util
import sysconfig
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_twins import gated_linear_reference, linear_reference

from lengthwise.errors import InputError, RunError
from lengthwise.scans.gla import gated_linear_scan
from lengthwise.scans.mamba2 import linear_scan

KINDS = ["scalar", "shared", "gated", "bonus"]
"""One decay a head; the same with shared queries and keys; one a channel read after the write; and read before it."""
FLA = Path(sysconfig.get_paths()["purelib"]) / "fla" / "ops"


def make(kind, length, *, rows=2, heads=4, keys=3, values=5, steepness=3.0, seed=0, dtype=torch.float64):
    """Inputs of a recurrence, all of which take gradients."""
    generator = torch.Generator().manual_seed(1000 * seed + length)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    groups = 2 if kind == "shared" else heads
    channels = (keys,) if kind in ("gated", "bonus") else ()
    decay = -steepness * torch.rand(rows, length, heads, *channels, generator=generator, dtype=torch.float64)
    inputs = {
        "q": normal(rows, length, groups, keys),
        "k": normal(rows, length, groups, keys),
        "v": normal(rows, length, heads, values),
        "log_decay": decay,
        "state": normal(rows, heads, keys, values),
    }
    if kind == "bonus":
        inputs["bonus"] = normal(heads, keys)
    return {name: tensor.to(dtype).requires_grad_() for name, tensor in inputs.items()}


def scan(inputs, **settings):
    q, k, v, log_decay, state = (inputs[name] for name in ("q", "k", "v", "log_decay", "state"))
    if log_decay.ndim == 3:
        return linear_scan(q, k, v, log_decay, state, **settings)
    return gated_linear_scan(q, k, v, log_decay, state, bonus_HK=inputs.get("bonus"), **settings)


def reference(inputs):
    q, k, v, log_decay, state = (inputs[name] for name in ("q", "k", "v", "log_decay", "state"))
    if log_decay.ndim == 3:
        return linear_reference(q, k, v, log_decay, state)
    return gated_linear_reference(q, k, v, log_decay, state, bonus_HK=inputs.get("bonus"))


def weighted(outputs):
    """A functional of the outputs and the final state that weighs every entry differently."""
    return sum((t * torch.arange(t.numel(), dtype=torch.float64).cos().reshape(t.shape)).sum() for t in outputs)


def assert_same(found, expected, inputs, tolerance=1e-11, gradient_tolerance=1e-10):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.to(other.dtype), other, rtol=tolerance, atol=tolerance)
    gradients = (torch.autograd.grad(weighted(outputs), list(inputs.values())) for outputs in (found, expected))
    for name, one, other in zip(inputs, *gradients, strict=True):
        scale = max(1.0, float(other.abs().max()))
        torch.testing.assert_close(
            one / scale, other / scale, rtol=0, atol=gradient_tolerance, msg=lambda m, name=name: f"{name}: {m}"
        )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [1, 2, 3, 7, 16, 63, 64, 65, 130])
@pytest.mark.parametrize("chunk", [1, 4, 64])
def test_equals_the_loop_in_value_and_gradient(kind, length, chunk):
    inputs = make(kind, length)
    assert_same(scan(inputs, chunk=chunk), reference(inputs), inputs)


@given(
    kind=st.sampled_from(KINDS),
    length=st.integers(1, 40),
    level=st.integers(0, 6),
    steepness=st.sampled_from([0.0, 1e-4, 1.0, 30.0, 1e4]),
    seed=st.integers(0, 5),
)
@settings(max_examples=40)
def test_any_length_chunk_and_decay(kind, length, level, steepness, seed):
    inputs = make(kind, length, rows=1, heads=2, steepness=steepness, seed=seed)
    assert_same(scan(inputs, chunk=2**level), reference(inputs), inputs)


@pytest.mark.parametrize("chunk", [3, 5, 24, 100])
def test_one_decay_a_head_takes_any_chunk(chunk):
    inputs = make("shared", 50)
    assert_same(scan(inputs, chunk=chunk), reference(inputs), inputs)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cut", [1, 2, 7, 8, 9, 33])
def test_cut_anywhere(kind, cut):
    inputs = make(kind, 34)
    timed = ("q", "k", "v", "log_decay")
    first, state = scan(inputs | {name: inputs[name][:, :cut] for name in timed}, chunk=8)
    second, state = scan(inputs | {name: inputs[name][:, cut:] for name in timed} | {"state": state}, chunk=8)
    assert_same((torch.cat([first, second], 1), state), scan(inputs, chunk=8), inputs)


@pytest.mark.parametrize("kind", KINDS)
def test_no_state_means_zeros(kind):
    inputs = make(kind, 11)
    zeros = scan(inputs | {"state": torch.zeros_like(inputs["state"])}, chunk=4)
    for one, other in zip(scan(inputs | {"state": None}, chunk=4), zeros, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("extreme", [-27.6, -1e4, float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_extreme_decays_are_finite_and_near_the_loop(kind, extreme, dtype):
    inputs = make(kind, 150, steepness=0.05, dtype=dtype)
    with torch.no_grad():
        inputs["log_decay"][:, 20:90:7] = extreme
        inputs["log_decay"][0, 100:130] = extreme
    exact = {name: tensor.detach().double().requires_grad_() for name, tensor in inputs.items()}
    found, expected = scan(inputs), reference(exact)
    assert found[0].dtype == dtype
    assert found[1].dtype == torch.float32
    tolerance, gradient_tolerance = (1e-4, 1e-5) if dtype == torch.float32 else (5e-2, 2e-2)
    gradients = torch.autograd.grad(weighted(found), list(inputs.values()))
    wanted = torch.autograd.grad(weighted(expected), list(exact.values()))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=tolerance, atol=tolerance)
    for one, other in zip(gradients, wanted, strict=True):
        assert one.isfinite().all()
        assert float((one - other).abs().max()) <= gradient_tolerance * max(1.0, float(other.abs().max()))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_slow_decays_do_not_drift(kind):
    inputs = make(kind, 4096, rows=1, heads=2, steepness=1e-4, dtype=torch.float32)
    exact = {name: tensor.detach().double() for name, tensor in inputs.items()}
    with torch.no_grad():
        found, expected = scan(inputs), reference(exact)
    for one, other in zip(found, expected, strict=True):
        assert float((one - other).abs().max()) < 1e-5 * float(other.abs().max())


@pytest.mark.parametrize("kind", KINDS)
def test_autocast_changes_nothing(kind):
    inputs = make(kind, 20, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = scan(inputs)
    for one, other in zip(found, scan(inputs), strict=True):
        assert torch.equal(one, other)


def test_second_derivatives():
    inputs = make("bonus", 3, rows=1, heads=1, keys=2, values=2)
    assert torch.autograd.gradgradcheck(lambda *x: scan(dict(zip(inputs, x, strict=True)), chunk=2), [*inputs.values()])


def test_second_derivatives_that_do_not_exist_are_refused():
    inputs = make("scalar", 5)
    with pytest.raises(RunError, match="no second derivatives"):
        torch.autograd.grad(weighted(scan(inputs)), inputs["q"], create_graph=True)


def load(path):
    """A module of another package by its file, without importing the package."""
    if not path.exists():
        pytest.skip(f"{path.name} of fla-core is not installed")
    spec = importlib.util.spec_from_file_location(f"oracle_{path.parent.name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("length", [1, 37, 130])
def test_equals_gla_of_flash_linear_attention(length):
    naive = load(FLA / "gla" / "naive.py").naive_recurrent_gla
    inputs = make("gated", length, dtype=torch.float32)
    q, k, v, log_decay, state = inputs.values()
    expected = naive(q / 3**-0.5, k, v, log_decay, state, output_final_state=True)
    assert_same(scan(inputs, chunk=16), expected, inputs, 1e-4, 1e-5)


@pytest.mark.parametrize("length", [1, 37, 130])
def test_equals_rwkv6_of_flash_linear_attention(length):
    naive = load(FLA / "rwkv6" / "recurrent_naive.py").naive_recurrent_rwkv6
    inputs = make("bonus", length, dtype=torch.float32)
    q, k, v, log_decay, state, bonus = inputs.values()
    q, k, v, log_decay = (x.transpose(1, 2) for x in (q, k, v, log_decay))
    y, final = naive(q, k, v, log_decay, bonus, scale=1.0, initial_state=state, output_final_state=True)
    assert_same(scan(inputs, chunk=16), (y.transpose(1, 2), final), inputs, 1e-4, 1e-5)


@pytest.mark.parametrize("length", [1, 37, 130])
def test_equals_mamba2_of_transformers(length):
    oracle = pytest.importorskip("transformers.models.mamba2.modeling_mamba2").mamba2_chunk_scan
    inputs = make("shared", length, dtype=torch.float32)
    q, k, v, log_decay, state = inputs.values()
    step = torch.linspace(0.3, 1.7, 4)
    y, final = oracle(
        v / step[:, None],
        (log_decay * 0 + step),
        torch.tensor(-1.0),
        k,
        q,
        chunk_size=16,
        initial_states=state.mT,
        return_final_states=True,
    )
    fixed = inputs | {"log_decay": (-step).expand_as(log_decay) + 0 * log_decay}
    inputs.pop("log_decay")
    assert_same(scan(fixed, chunk=16), (y, final.mT), inputs, 1e-4, 1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": torch.zeros(2, 6, 4, 2)}, r"k_BTGK must be .* not \[2, 6, 4, 2\]"),
        ({"log_decay": torch.zeros(2, 6, 3)}, r"log_decay_BTH must be \[2, 6, 4\]"),
        ({"state": torch.zeros(2, 4, 5, 3)}, r"state_BHKV must be \[2, 4, 3, 5\]"),
        ({"q": torch.zeros(2, 6, 3, 3), "k": torch.zeros(2, 6, 3, 3)}, "groups must divide the heads"),
        ({"v": torch.zeros(2, 0, 4, 5)}, "at least one token"),
    ],
)
def test_shapes_that_do_not_go_together_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        scan(make("scalar", 6) | change)


def test_chunks_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="at least one token"):
        scan(make("scalar", 6), chunk=0)
    with pytest.raises(InputError, match="power of two, not 48: 32 would do"):
        scan(make("gated", 6), chunk=48)
