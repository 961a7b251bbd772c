"""The mixers over linear recurrences: Mamba-2, GLA and RWKV-6."""

import math

import pytest
import torch
from pydantic import ValidationError
from slow_twins import gated_linear_reference
from torch.nn import functional as F  # noqa: N812

from lengthwise.errors import InputError
from lengthwise.evaluation.contract import check_contract
from lengthwise.models.backbone import BackboneConfig
from lengthwise.models.mixers.deltanet import DeltaNetConfig
from lengthwise.models.mixers.gla import GLAConfig
from lengthwise.models.mixers.mamba2 import Mamba2Config
from lengthwise.models.mixers.rwkv6 import RWKV6Config
from lengthwise.state import Kind

VARIANTS = {
    "mamba2": Mamba2Config(head_size=8, state_size=6, chunk=8),
    "mamba2 in groups": Mamba2Config(head_size=4, state_size=3, groups=2, convolution=3, chunk=5),
    "mamba2 without convolution": Mamba2Config(head_size=16, state_size=4, convolution=1),
    "gla": GLAConfig(heads=2, chunk=8),
    "gla with large states": GLAConfig(heads=2, key_expansion=1.5, value_expansion=2, gate_normaliser=1.0),
    "rwkv6": RWKV6Config(head_size=8, chunk=8),
    "rwkv6 without channel mix": RWKV6Config(head_size=4, channel_mix=0),
}


def build(config, width=16, seed=0):
    """A mixer whose every parameter matters: those that start at zero do not."""
    torch.manual_seed(seed)
    mixer = config.build(width)
    for parameter in mixer.parameters():
        with torch.no_grad():
            parameter += 0.1 * torch.randn_like(parameter)
    return mixer.double()


def inputs(rows, length, width=16, seed=1):
    return torch.randn(rows, length, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def started(mixer, rows):
    """A state that is not zero anywhere, with gradients."""
    generator = torch.Generator().manual_seed(2)
    return mixer.initial_state(rows).map(
        lambda t: torch.randn(t.shape, generator=generator, dtype=torch.float64).requires_grad_()
    )


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_contract(variant):
    torch.manual_seed(0)
    model = BackboneConfig(width=16, layers=2, mixer=VARIANTS[variant]).build(7, 7).double()
    for parameter in model.parameters():
        with torch.no_grad():
            parameter += 0.1 * torch.randn_like(parameter)
    broken = [finding for finding in check_contract(model, 7) if not finding.holds]
    assert not broken


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_parameter_and_every_entry_of_the_state_has_a_gradient(variant):
    mixer = build(VARIANTS[variant])
    before = started(mixer, 2)
    y, after = mixer(inputs(2, 9), before)
    (y.square().sum() + sum(entry.square().sum() for entry in after.values())).backward()
    for name, tensor in [*mixer.named_parameters(), *before.items()]:
        if tensor.numel():
            assert tensor.grad is not None, name
            assert tensor.grad.abs().max() > 0, name


@pytest.mark.parametrize("variant", VARIANTS)
def test_bfloat16_keeps_the_recurrent_state_in_float32(variant):
    mixer = build(VARIANTS[variant])
    with torch.no_grad():
        exact, _ = mixer(inputs(2, 40), mixer.initial_state(2))
    mixer = mixer.bfloat16()
    state = mixer.initial_state(2)
    assert {state[name].dtype for name in state if state.kinds[name] == Kind.RECURRENT} == {torch.float32}
    y, after = mixer(inputs(2, 40).bfloat16(), state)
    y.sum().backward()
    assert y.dtype == torch.bfloat16
    assert {name: t.dtype for name, t in after.items()} == {name: t.dtype for name, t in state.items()}
    assert all(p.grad.isfinite().all() for p in mixer.parameters())
    assert float((y.detach() - exact).abs().max()) < 0.05 * float(exact.abs().max())


def transformers_mamba2(mixer, width):
    """The layer of transformers with the weights of a mixer."""
    module = pytest.importorskip("transformers.models.mamba2.modeling_mamba2")
    settings = mixer.config
    config = module.Mamba2Config(
        hidden_size=width,
        num_hidden_layers=1,
        expand=settings.expansion,
        head_dim=settings.head_size,
        num_heads=settings.expansion * width // settings.head_size,
        state_size=settings.state_size,
        n_groups=settings.groups,
        conv_kernel=settings.convolution,
        chunk_size=8,
        layer_norm_epsilon=1e-5,
    )
    layer = module.Mamba2Mixer(config, layer_idx=0)
    with torch.no_grad():
        layer.in_proj.weight.copy_(mixer.expand.weight)
        layer.conv1d.weight.copy_(mixer.convolution.weight.t()[:, None])
        layer.conv1d.bias.copy_(mixer.convolution.bias)
        layer.dt_bias.copy_(mixer.step_bias)
        layer.A_log.copy_(mixer.log_rates)
        layer.D.copy_(mixer.skip)
        layer.norm.weight.copy_(mixer.norm_weight)
        layer.out_proj.weight.copy_(mixer.contract.weight)
    return layer, config


@pytest.mark.parametrize("groups", [1, 2])
def test_mamba2_equals_the_layer_of_transformers(groups):
    mixer = build(Mamba2Config(head_size=8, state_size=6, groups=groups)).float()
    layer, config = transformers_mamba2(mixer, 16)
    cache = pytest.importorskip("transformers").DynamicCache(config=config)
    x = inputs(2, 32).float()
    # Two calls, so that the second starts from a state.
    expected = torch.cat([layer(x[:, :19], cache_params=cache), layer(x[:, 19:], cache_params=cache)], 1)
    first, state = mixer(x[:, :19], mixer.initial_state(2))
    second, state = mixer(x[:, 19:], state)
    found = torch.cat([first, second], 1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    pairs = {
        "expand.weight": "in_proj.weight",
        "step_bias": "dt_bias",
        "log_rates": "A_log",
        "skip": "D",
        "norm_weight": "norm.weight",
        "contract.weight": "out_proj.weight",
    }
    functional = torch.randn(found.shape, generator=torch.Generator().manual_seed(3))
    (found * functional).sum().backward()
    (expected * functional).sum().backward()
    for ours, theirs in pairs.items():
        torch.testing.assert_close(
            mixer.get_parameter(ours).grad, layer.get_parameter(theirs).grad, rtol=1e-3, atol=1e-4
        )


def test_gla_equals_its_formulas_in_a_loop():
    mixer = build(GLAConfig(heads=2, gate_rank=5, gate_normaliser=3.0))
    x, state = inputs(2, 21), started(mixer, 2)
    wq, wk, wv, wg, wa = mixer.expand.weight.split(mixer.sizes)
    q, k, v = ((x @ w.t()).unflatten(2, (2, -1)) for w in (wq, wk, wv))
    alpha = torch.sigmoid(x @ wa.t() @ mixer.gate.weight.t() + mixer.gate.bias) ** (1 / 3)
    y, matrix = gated_linear_reference(q / math.sqrt(4), k, v, alpha.log().unflatten(2, (2, -1)), state["matrix"])
    y = y / (y.square().mean(-1, keepdim=True) + 1e-5).sqrt() * mixer.norm_weight
    gate = x @ wg.t()
    expected = (y.flatten(2) * gate * gate.sigmoid()) @ mixer.contract.weight.t()
    found, after = mixer(x, state)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(after["matrix"], matrix)


@pytest.mark.parametrize("mixer", [GLAConfig, RWKV6Config, DeltaNetConfig])
def test_epsilons_of_norms_are_settings_that_older_recipes_do_not_have(mixer):
    """A model that is shrunk reads less than what is added to it; at their defaults they are in no digest."""
    torch.manual_seed(0)
    settings = {"head_size": 8} if mixer is RWKV6Config else {"heads": 2}
    x, outputs = torch.randn(1, 5, 16), {}
    assert "norm_epsilon" not in mixer(**settings).model_dump()
    assert "norm_epsilon" not in BackboneConfig(mixer=mixer(**settings)).model_dump()
    for epsilon in (None, 1e-8, 1.0):
        torch.manual_seed(1)
        given = {} if epsilon is None else {"norm_epsilon": epsilon}
        model = mixer(**settings, **given).build(16)
        outputs[epsilon] = model(x, model.initial_state(1))[0].detach()
    assert not torch.allclose(outputs[1e-8], outputs[1.0], rtol=0.1)
    assert outputs[1.0].norm() < 0.9 * outputs[None].norm()


@pytest.mark.parametrize("kind", ["rms", "layer"])
def test_the_epsilon_of_a_backbone_is_that_of_all_its_norms(kind):
    model = BackboneConfig(width=8, norm=kind, norm_epsilon=0.5, feed_forward=1.0).build(5, 5)
    norms = [m for m in model.modules() if isinstance(m, torch.nn.RMSNorm | torch.nn.LayerNorm)]
    assert [norm.eps for norm in norms] == [0.5] * 5
    assert {m.eps for m in BackboneConfig().build(5, 5).modules() if isinstance(m, torch.nn.RMSNorm)} == {None}


def test_rwkv6_equals_its_formulas_in_a_loop():
    mixer = build(RWKV6Config(head_size=8, shift_rank=3, decay_rank=5))
    x, state = inputs(2, 21), started(mixer, 2)
    time, channel = mixer.time_mix, mixer.channel_mix

    def lerp(a, b, weight):
        return a + (b - a) * weight

    before = torch.cat([state["shift"], x[:, :-1]], 1)
    low_rank = torch.tanh(lerp(x, before, time.shift_all) @ time.choose).unflatten(2, (5, 3))
    w, k, v, r, g = (lerp(x, before, time.shifts[i] + low_rank[:, :, i] @ time.chosen[i]) for i in range(5))
    decay = torch.exp(-torch.exp(time.log_rates + torch.tanh(w @ time.decay_in) @ time.decay_out))
    heads = [t.unflatten(2, (2, 8)) for t in (time.receptance(r), time.key(k), time.value(v), decay.log())]
    y, matrix = gated_linear_reference(*heads, state["matrix"], bonus_HK=time.bonus)
    weight, bias = time.norm_weight.flatten(), time.norm_bias.flatten()
    y = F.group_norm(y.flatten(2).flatten(0, 1), 2, weight, bias, eps=64e-5).unflatten(0, (2, -1))
    mixed = time.output(y * F.silu(time.gate(g)))

    z = F.layer_norm(x + mixed, (16,), mixer.norm.weight, mixer.norm.bias)
    before = torch.cat([state["channel_shift"], z[:, :-1]], 1)
    key = channel.key(lerp(z, before, channel.shift_key)).relu() ** 2
    expected = mixed + channel.value(key) * channel.receptance(lerp(z, before, channel.shift_receptance)).sigmoid()

    found, after = mixer(x, state)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(after["matrix"], matrix)
    torch.testing.assert_close(after["shift"], x[:, -1:])
    torch.testing.assert_close(after["channel_shift"], z[:, -1:])


def test_initial_decays_of_mamba2_lie_in_their_ranges():
    torch.manual_seed(0)
    mixer = Mamba2Config(head_size=1, initial_rates=(0.05, 1.0), initial_steps=(1e-4, 1e-2)).build(256)
    rates, steps = mixer.log_rates.exp(), F.softplus(mixer.step_bias)
    assert 0.05 <= rates.min() < 0.1 < 0.9 < rates.max() <= 1.0
    assert 0.99e-4 <= steps.min() < 2e-4
    assert 5e-3 < steps.max() <= 1.01e-2
    assert 0.5e-3 < steps.median() < 2e-3


def test_initial_decays_of_gla_follow_the_bias_and_the_normaliser():
    mixer = GLAConfig(heads=1, gate_normaliser=32, initial_gate_bias=3.0).build(8)
    state = mixer.initial_state(1).map(torch.ones_like)
    _, after = mixer(torch.zeros(1, 10, 8), state)
    expected = torch.sigmoid(torch.tensor(3.0)) ** (10 / 32)
    torch.testing.assert_close(after["matrix"], expected.expand_as(after["matrix"]))


def test_initial_decays_of_rwkv6_span_their_range():
    mixer = RWKV6Config(head_size=4, initial_rates=(1e-4, 0.1)).build(8)
    state = mixer.initial_state(1)
    _, after = mixer(torch.zeros(1, 10, 8), state.map(torch.ones_like, [Kind.RECURRENT]))
    decays = after["matrix"][0, :, :, 0].flatten()
    torch.testing.assert_close(decays[[0, -1]], torch.tensor([-1e-3, -1.0]).exp())
    assert (decays.diff() < 0).all()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (Mamba2Config(head_size=7), "heads of 7 channels do not divide the 32 inner channels"),
        (Mamba2Config(head_size=8, groups=3), "3 groups do not divide the 4 heads"),
        (GLAConfig(heads=3), "3 heads do not divide the 8 key channels"),
        (GLAConfig(heads=8, value_expansion=0.25), "8 heads do not divide the 4 value channels"),
        (RWKV6Config(head_size=5), "heads of 5 channels do not divide the width 16"),
    ],
)
def test_settings_that_do_not_go_with_the_width_are_refused(config, message):
    with pytest.raises(InputError, match=message):
        config.build(16)


@pytest.mark.parametrize("ends", [(1.0, 0.5), (0.0, 1.0), (-1.0, 1.0)])
def test_ranges_that_cannot_be_are_refused(ends):
    with pytest.raises(ValidationError):
        Mamba2Config(initial_rates=ends)
    with pytest.raises(ValidationError):
        RWKV6Config(initial_rates=ends)
