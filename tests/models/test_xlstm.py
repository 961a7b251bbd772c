"""sLSTM and mLSTM: the contract in all variants, and the layer of transformers. Letters: B rows, T tokens, H heads."""

import pytest
import torch
from random_tensors import normal
from slow_twins import slstm_reference

from lengthwise.errors import InputError
from lengthwise.evaluation.contract import check_contract
from lengthwise.models.backbone import BackboneConfig
from lengthwise.models.mixers.xlstm import MLSTMConfig, SLSTMConfig

WIDTH = 16
VARIANTS = {
    "slstm": SLSTMConfig(hidden_size=8, heads=2),
    "slstm with an exponential forget gate": SLSTMConfig(
        hidden_size=6, heads=1, forget_gate="exponential", initial_forget_bias=(-1.0, 0.0)
    ),
    "mlstm": MLSTMConfig(heads=2, chunk=8),
    "mlstm with an exponential forget gate": MLSTMConfig(
        heads=4, key_expansion=1.0, forget_gate="exponential", initial_forget_bias=(-1.0, 0.5), chunk=5
    ),
    "mlstm with capped gates": MLSTMConfig(heads=1, value_expansion=0.5, gate_cap=15.0),
}


def build(config):
    torch.manual_seed(0)
    mixer = config.build(WIDTH)
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return mixer.double()


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_contract(variant):
    torch.manual_seed(0)
    model = BackboneConfig(width=WIDTH, layers=2, mixer=VARIANTS[variant]).build(7, 7).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    assert not [finding for finding in check_contract(model, 7, length=19) if not finding.holds]


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_parameter_and_every_entry_of_the_state_has_a_gradient(variant):
    mixer = build(VARIANTS[variant])
    _, state = mixer(normal(2, 3, WIDTH, seed=1), mixer.initial_state(2))
    before = state.map(lambda x: x.detach().requires_grad_())
    y, after = mixer(normal(2, 9, WIDTH), before)
    (y.square().sum() + sum(entry.square().sum() for entry in after.values())).backward()
    for name, tensor in [*mixer.named_parameters(), *before.items()]:
        assert tensor.grad is not None, name
        assert tensor.grad.abs().max() > 0, name


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_sequence_that_starts_from_zeros_cut_after_its_first_token(variant):
    """The first token of an empty memory is the one that is treated differently."""
    mixer = build(VARIANTS[variant])
    x = normal(2, 9, WIDTH).requires_grad_()
    leaves = [x, *mixer.parameters()]
    readings = []
    for cuts in ((), (1,)):
        state, outputs = mixer.initial_state(2), []
        for piece in x.tensor_split(list(cuts), 1):
            y, state = mixer(piece, state)
            outputs.append(y)
        values = [torch.cat(outputs, 1), *state.values()]
        total = sum((v * normal(*v.shape, seed=i)).sum() for i, v in enumerate(values))
        readings.append([*values, *torch.autograd.grad(total, leaves)])
    for a, b in zip(*readings, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("variant", VARIANTS)
def test_bfloat16_keeps_the_state_in_float32(variant):
    mixer = build(VARIANTS[variant])
    with torch.no_grad():
        exact, _ = mixer(normal(2, 40, WIDTH), mixer.initial_state(2))
    mixer = mixer.bfloat16()
    state = mixer.initial_state(2)
    y, after = mixer(normal(2, 40, WIDTH).bfloat16(), state)
    y.sum().backward()
    assert y.dtype == torch.bfloat16
    assert {entry.dtype for entry in (*state.values(), *after.values())} == {torch.float32}
    assert all(p.grad.isfinite().all() for p in mixer.parameters())
    # A head's norm magnifies what rounding did to a head that gave almost nothing.
    assert float((y.detach() - exact).abs().median()) < 0.05 * float(exact.abs().max())


def test_slstm_equals_the_unstabilised_equations_of_the_paper():
    mixer = build(SLSTMConfig(hidden_size=8, heads=2))
    x = normal(2, 15, WIDTH)
    y_BTHV, cell, normaliser = slstm_reference(mixer.expand(x).unflatten(2, (2, -1)), mixer.recurrence)
    centred = y_BTHV - y_BTHV.mean(-1, keepdim=True)
    normed = centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    found, state = mixer(x, mixer.initial_state(2))
    torch.testing.assert_close(found, mixer.output(normed.flatten(2) * mixer.norm_weight), rtol=1e-9, atol=1e-9)
    for name, expected in {"cell": cell, "normaliser": normaliser}.items():
        torch.testing.assert_close(state[name] * state["stabiliser"].exp(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("heads", [1, 4])
def test_mlstm_is_the_layer_of_transformers(heads):
    module = pytest.importorskip("transformers.models.xlstm.modeling_xlstm")
    mixer = build(MLSTMConfig(heads=heads, gate_cap=15.0, chunk=8)).float()
    config = module.xLSTMConfig(hidden_size=WIDTH, num_heads=heads, num_hidden_layers=1, chunk_size=8, norm_eps=1e-6)
    layer = module.xLSTMLayer(config)
    names = ("q", "k", "v", "ogate_preact")
    pieces = dict(zip(names, mixer.expand.weight.split(mixer.sizes), strict=True))
    gate_pieces = dict(zip(("igate_preact", "fgate_preact"), mixer.gates.weight.chunk(2), strict=True))
    with torch.no_grad():
        for name, weight in (pieces | gate_pieces).items():
            getattr(layer, name).weight.copy_(weight)
        for name, bias in zip(gate_pieces, mixer.gates.bias.chunk(2), strict=True):
            getattr(layer, name).bias.copy_(bias)
        layer.multihead_norm.weight.copy_(mixer.norm_weight)
        layer.out_proj.weight.copy_(mixer.output.weight)

    x = normal(2, 27, WIDTH).float()
    first, middle = mixer(x[:, :19], mixer.initial_state(2))
    second, after = mixer(x[:, 19:], middle)
    found = torch.cat([first, second], 1)
    their_first, state = layer(x[:, :19])
    their_second, state = layer(x[:, 19:], state)
    expected = torch.cat([their_first, their_second], 1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    for ours, theirs in zip(("matrix", "normaliser", "stabiliser"), state, strict=True):
        torch.testing.assert_close(after[ours], theirs.view_as(after[ours]), rtol=1e-4, atol=1e-4)

    weight = normal(*found.shape, seed=3).float()
    for y in (found, expected):
        (y * weight).sum().backward()
    for name, gradient in zip(names, mixer.expand.weight.grad.split(mixer.sizes), strict=True):
        torch.testing.assert_close(gradient, getattr(layer, name).weight.grad, rtol=1e-3, atol=1e-3)
    for name, gradient in zip(gate_pieces, mixer.gates.weight.grad.chunk(2), strict=True):
        torch.testing.assert_close(gradient, getattr(layer, name).weight.grad, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(mixer.norm_weight.grad, layer.multihead_norm.weight.grad, rtol=1e-3, atol=1e-3)


def test_forget_biases_start_spread_over_their_range():
    expected = torch.linspace(-2, 4, 4)
    slstm = SLSTMConfig(hidden_size=8, heads=2, initial_forget_bias=(-2.0, 4.0)).build(WIDTH)
    torch.testing.assert_close(slstm.expand.bias.view(2, 4, 4)[:, 1], expected.expand(2, -1))
    mlstm = MLSTMConfig(heads=4, initial_forget_bias=(-2.0, 4.0)).build(WIDTH)
    torch.testing.assert_close(mlstm.gates.bias[4:], expected)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (SLSTMConfig(hidden_size=10, heads=4), "4 heads do not divide the 10 units"),
        (MLSTMConfig(heads=3), "3 heads do not divide the 8 key channels"),
        (MLSTMConfig(heads=8, value_expansion=0.25), "8 heads do not divide the 4 value channels"),
    ],
)
def test_settings_that_do_not_go_with_the_width_are_refused(config, message):
    with pytest.raises(InputError, match=message):
        config.build(WIDTH)
