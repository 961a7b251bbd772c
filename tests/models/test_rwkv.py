"""RWKV-6 and RWKV-7 as models of their own: the state contract, and the formulas of a block in a loop."""

import pytest
import torch
from slow_twins import low_rank_reference
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lengthwise.errors import InputError
from lengthwise.evaluation.contract import check_contract
from lengthwise.models.mixers.rwkv6 import RWKV6Config
from lengthwise.models.mixers.rwkv7 import RWKV7Config
from lengthwise.models.rwkv import RWKV, RWKVConfig
from lengthwise.state import Kind

BLOCKS = {
    "rwkv6": RWKV6Config(head_size=4, shift_rank=3, decay_rank=2, chunk=8),
    "rwkv7": RWKV7Config(head_size=4, decay_rank=2, rate_rank=3, value_rank=4, gate_rank=5, chunk=8),
}


def build(block: str, layers: int = 3) -> RWKV:
    """Return a model whose every parameter matters: those that start at zero do not."""
    torch.manual_seed(0)
    model = RWKVConfig(width=8, layers=layers, block=BLOCKS[block]).build(7, 7)
    for parameter in model.parameters():
        with torch.no_grad():
            parameter += 0.2 * torch.randn_like(parameter)
    return model.double()


@pytest.mark.parametrize("block", BLOCKS)
def test_contract(block: str) -> None:
    model = build(block)
    assert [f for f in check_contract(model, 7, length=19) if not f.holds] == []
    kinds = model.initial_state(2).section("layers.2").kinds
    assert kinds == {"matrix": Kind.RECURRENT, "shift": Kind.CONV, "channel_shift": Kind.CONV}


@pytest.mark.parametrize("block", BLOCKS)
def test_every_parameter_has_a_gradient_as_it_starts(block: str) -> None:
    torch.manual_seed(0)
    model = RWKVConfig(width=8, layers=2, block=BLOCKS[block]).build(7, 7)
    tokens = torch.randint(7, (2, 12))
    # What is multiplied by zero at first gets its gradient a step later.
    for _ in range(2):
        model.zero_grad()
        model(tokens).logits.square().sum().backward()
        with torch.no_grad():
            for parameter in model.parameters():
                assert parameter.grad is not None
                parameter -= 0.1 * parameter.grad
    assert [name for name, p in model.named_parameters() if p.grad is None or not bool(p.grad.any())] == []


def test_the_state_is_in_float32_where_parameters_are_not() -> None:
    model = build("rwkv7").bfloat16()
    state = model(torch.tensor([[1, 2, 3]]), model.initial_state(1)).state
    assert {name.split(".")[-1]: entry.dtype for name, entry in state.items()} == {
        "matrix": torch.float32,
        "shift": torch.bfloat16,
        "channel_shift": torch.bfloat16,
    }


def test_rwkv7_equals_its_formulas_in_a_loop() -> None:
    model = build("rwkv7", layers=2)
    tokens = torch.randint(7, (2, 11), generator=torch.Generator().manual_seed(1))
    x, first = F.layer_norm(model.embedding(tokens), (8,), *model.embedding_norm.parameters()), None

    def before(y: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(y[:, :1]), y[:, :-1]], 1)

    for block in model.layers:
        mix, channel = block.time_mix, block.channel_mix
        y = F.layer_norm(x, (8,), *block.norm.parameters())
        r, w, k, v, a, g = (y + (before(y) - y) * shift for shift in mix.shifts)
        r, k, value = mix.receptance(r), mix.key(k), mix.value(v)
        decay = torch.exp(
            -torch.exp(-F.softplus(-(mix.decay.bias + torch.tanh(w @ mix.decay.inner) @ mix.decay.outer)) - 0.5)
        )
        if first is None:
            first = value
        else:
            into = mix.from_first
            value = value + (first - value) * torch.sigmoid(into.bias + v @ into.inner @ into.outer)
        a = torch.sigmoid(mix.rate.bias + a @ mix.rate.inner @ mix.rate.outer)
        g = torch.sigmoid(g @ mix.gate.inner) @ mix.gate.outer
        removed = (k * mix.removal).unflatten(2, (2, 4))
        removed = removed / removed.norm(dim=-1, keepdim=True)
        r, k, value, decay, a = (
            t.unflatten(2, (2, 4)) for t in (r, k * (1 + (a - 1) * mix.rate_in_key), value, decay, a)
        )
        z, _ = low_rank_reference(r, k, value, decay.log(), -removed, removed * a)
        centred = z - z.mean(-1, keepdim=True)
        z = centred / (centred.square().mean(-1, keepdim=True) + 64e-5).sqrt() * mix.norm_weight + mix.norm_bias
        z = z + (r * mix.bonus * k).sum(-1, keepdim=True) * value
        x = x + mix.output(z.flatten(2) * g)
        y = F.layer_norm(x, (8,), *block.channel_norm.parameters())
        x = x + channel.value(channel.key(y + (before(y) - y) * channel.shift_key).relu() ** 2)
    expected = model.classifier(F.layer_norm(x, (8,), *model.norm.parameters()))
    torch.testing.assert_close(model(tokens).logits, expected)


@pytest.mark.parametrize("block", BLOCKS)
def test_heads_that_do_not_divide_the_width_are_refused(block: str) -> None:
    with pytest.raises(InputError, match="heads of 4 channels do not divide the width 9"):
        RWKVConfig(width=9, block=BLOCKS[block]).build(7, 7)
