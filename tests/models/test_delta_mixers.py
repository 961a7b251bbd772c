"""DeltaNet, Gated DeltaNet and Kimi delta: what is theirs alone; the contract of all mixers is tested beside."""

import math

import pytest
import torch
from pydantic import ValidationError
from random_tensors import normal

from lengthwise.errors import InputError
from lengthwise.models.mixers.deltanet import DeltaNetConfig, GatedDeltaNetConfig
from lengthwise.models.mixers.kimi_delta import KimiDeltaConfig
from lengthwise.state import State

CONFIGS = [DeltaNetConfig, GatedDeltaNetConfig, KimiDeltaConfig]


def built(config, width=16):
    torch.manual_seed(0)
    return config.build(width).double()


@pytest.mark.parametrize("config", CONFIGS)
def test_sizes_of_the_state_are_the_ones_asked_for(config):
    mixer = built(config(heads=3, key_width=5, value_width=7, convolution=6))
    _, state = mixer(normal(2, 4, 16), mixer.initial_state(2))
    assert state["matrix"].shape == (2, 3, 5, 7)
    assert state["convolution"].shape == (2, 5, 3 * (5 + 5 + 7))


def test_values_are_as_wide_as_keys_and_twice_as_wide_with_a_gate_by_default():
    shapes = [built(config(heads=2)).initial_state(1)["matrix"].shape for config in CONFIGS]
    assert shapes == [(1, 2, 8, 8), (1, 2, 8, 16), (1, 2, 8, 8)]


@pytest.mark.parametrize("config", CONFIGS)
def test_heads_that_do_not_divide_the_width_are_refused(config):
    with pytest.raises(InputError, match="3 heads do not divide the width 16"):
        config(heads=3).build(16)


def test_a_range_that_descends_is_refused():
    with pytest.raises(ValidationError, match="smallest comes first"):
        GatedDeltaNetConfig(initial_rates=(2.0, 1.0))


def test_initial_ranges_bound_the_decays_of_a_fresh_mixer():
    mixer = built(GatedDeltaNetConfig(heads=8, initial_rates=(1e-4, 2e-4), initial_steps=(0.5, 2.0)))
    rates = mixer.log_rates.exp()
    steps = torch.nn.functional.softplus(mixer.step_bias)
    assert (rates >= 1e-4).all()
    assert (rates <= 2e-4).all()
    assert (steps >= 0.5 - 1e-6).all()
    assert (steps <= 2 + 1e-6).all()


@pytest.mark.parametrize("rate", [0.01, 10.0])
def test_a_state_to_which_nothing_is_written_decays_by_rate_times_step(rate):
    mixer = built(GatedDeltaNetConfig(initial_rates=(rate, rate), initial_steps=(0.01, 0.01)))
    torch.nn.init.zeros_(mixer.memory.project.weight)
    torch.nn.init.zeros_(mixer.step.weight)
    start = mixer.initial_state(1)
    full = State({**start, "matrix": torch.ones_like(start["matrix"])}, start.kinds)
    left = mixer(normal(1, 1000, 16), full)[1]["matrix"]
    torch.testing.assert_close(left, torch.full_like(left, math.exp(-1000 * rate * 0.01)), rtol=1e-4, atol=0)


@pytest.mark.parametrize(("negative", "sign"), [(False, 1.0), (True, -1.0)])
def test_only_negative_eigenvalues_change_the_sign_of_what_is_held(negative, sign):
    """A token with a large beta shrinks or flips the difference between two memories along its key."""
    mixer = built(DeltaNetConfig(heads=1, convolution=1, negative_eigenvalues=negative))
    x = normal(1, 1, 16)
    mixer.memory.beta.weight.data.copy_(0.2 * x[0])
    start = mixer.initial_state(1)
    ones = State({**start, "matrix": torch.ones_like(start["matrix"])}, start.kinds)
    before = ones["matrix"] - start["matrix"]
    after = mixer(x, ones)[1]["matrix"] - mixer(x, start)[1]["matrix"]
    key = after[0, 0, :, 0] - before[0, 0, :, 0]
    assert torch.sign((key @ after[0, 0, :, 0]) * (key @ before[0, 0, :, 0])) == sign


def test_kimi_delta_equals_its_formulas_in_a_loop():
    mixer = built(KimiDeltaConfig(heads=2, convolution=1, key_width=3, value_width=5, chunk=4))
    x, state = normal(2, 11, 16), normal(2, 2, 3, 5)
    weights = (mixer.memory.convolution.weight[0, :, None] * mixer.memory.project.weight).split([6, 6, 10])
    q, k, v = (torch.nn.functional.silu(x @ w.T).unflatten(-1, (2, -1)) for w in weights)
    q, k = (z / (z.square().sum(-1, keepdim=True) + 1e-6).sqrt() for z in (q, k))
    inner, outer = (layer.weight.T for layer in mixer.step)
    step = torch.log1p(torch.exp(x @ inner @ outer + mixer.step_bias)).unflatten(-1, (2, 3))
    decay, beta = torch.exp(-mixer.log_rates.exp()[:, None] * step), torch.sigmoid(mixer.memory.beta(x))
    memory, outputs = state, []
    for t in range(11):
        memory = decay[:, t, :, :, None] * memory
        held = (k[:, t, :, :, None] * memory).sum(2)
        memory = memory + beta[:, t, :, None, None] * k[:, t, :, :, None] * (v[:, t] - held)[:, :, None]
        outputs.append((q[:, t, :, :, None] * memory).sum(2) / 3**0.5)
    y = torch.stack(outputs, 1)
    y = y / (y.square().mean(-1, keepdim=True) + 1e-6).sqrt() * mixer.readout.norm_weight
    expected = mixer.readout.contract(y.flatten(2) * torch.sigmoid(mixer.gate[1](mixer.gate[0](x))))
    start = mixer.initial_state(2)
    found, after = mixer(x, State({**start, "matrix": state}, start.kinds))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(after["matrix"], memory)


class TestTransformersLayer:
    @pytest.fixture
    def peer(self):
        reason = "transformers with Qwen3-Next is not installed"
        module = pytest.importorskip("transformers.models.qwen3_next.modeling_qwen3_next", reason=reason)
        from transformers import Qwen3NextConfig

        torch.manual_seed(0)
        config = Qwen3NextConfig(
            hidden_size=16,
            num_hidden_layers=1,
            layer_types=["linear_attention"],
            linear_num_value_heads=2,
            linear_num_key_heads=2,
            linear_key_head_dim=8,
            linear_value_head_dim=16,
            linear_conv_kernel_dim=4,
        )
        layer = module.Qwen3NextGatedDeltaNet(config, 0)
        # At its own rates of up to 16 a token leaves 1e-8 to the next, and gradients of rates are rounding alone.
        layer.A_log.data = torch.tensor([0.02, 0.5]).log()
        return layer

    def test_same_weights_give_the_same_outputs_and_gradients(self, peer):
        ours = GatedDeltaNetConfig(heads=2).build(16)
        copy_weights(peer, ours)
        x = normal(2, 70, 16, dtype=torch.float32)
        weight = normal(2, 70, 16, seed=1, dtype=torch.float32)
        results = []
        for layer in (lambda x: peer(x), lambda x: ours(x, ours.initial_state(2))[0]):
            leaf = x.clone().requires_grad_()
            y = layer(leaf)
            (y * weight).sum().backward()
            results.append((y, leaf.grad))
        for expected, found in zip(*results, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ours.log_rates.grad, peer.A_log.grad, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ours.step_bias.grad, peer.dt_bias.grad, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def copy_weights(peer, ours):
    """The peer keeps the rows of a head together: queries, keys, values, gates; then beta and step."""
    K, V, H = peer.head_k_dim, peer.head_v_dim, peer.num_v_heads
    q, k, v, gate = peer.in_proj_qkvz.weight.unflatten(0, (H, -1)).split([K, K, V, V], 1)
    beta, step = peer.in_proj_ba.weight.unflatten(0, (H, 2)).unbind(1)
    ours.memory.project.weight.copy_(torch.cat([part.flatten(0, 1) for part in (q, k, v)]))
    ours.memory.convolution.weight.copy_(peer.conv1d.weight[:, 0].T)
    ours.memory.beta.weight.copy_(beta)
    ours.step.weight.copy_(step)
    ours.step_bias.copy_(peer.dt_bias)
    ours.log_rates.copy_(peer.A_log)
    ours.gate.weight.copy_(gate.flatten(0, 1))
    ours.readout.norm_weight.copy_(peer.norm.weight)
    ours.readout.contract.weight.copy_(peer.out_proj.weight)
