"""RegularGPT against a recursion over positions and levels."""

import math

import pytest
import torch

from lengthwise.errors import InputError
from lengthwise.models import MODELS
from lengthwise.models.base import StringModel
from lengthwise.models.tree.regular_gpt import RegularGPTConfig

SETTINGS = [
    {},
    {"chunk": 3},
    {"thickness": 2},
    {"chunk": 3, "thickness": 2, "norm_place": "post"},
    {"norm": "rms", "feed_forward_kind": "gated", "feed_forward": 2.0, "norm_place": "post"},
    {"feed_forward": 0.0},
]


def build(**fields):
    torch.manual_seed(0)
    model = RegularGPTConfig.model_validate({"width": 8, "heads": 2} | fields).build(3, 4).double()
    for parameter in model.parameters():
        parameter.data.copy_(0.6 * torch.randn_like(parameter))
    return model


def strings(rows, length, seed=1):
    return torch.randint(3, (rows, length), generator=torch.Generator().manual_seed(seed))


def slow(model, string):
    """The logits of one string [T]: what stands at a place is what the layer makes of the places that it sees.

    Places to the left of the string, however far, hold the pad.
    """
    C, K = model.config.chunk, len(model.layers)
    known = {}

    def stream(place, depth):
        """The residual stream [D] at a place after so many layers."""
        if (place, depth) not in known:
            known[place, depth] = compute(place, depth)
        return known[place, depth]

    def compute(place, depth):
        if not depth:
            return model.pad if place < 0 else model.embedding.weight[string[place]]
        layer, dilation = model.layers[(depth - 1) % K], C ** ((depth - 1) // K)
        # Far to the left everything is a pad, so that the recursion ends.
        seen = [max(place - j * dilation, -1) for j in range(C)]
        x = layer.before(torch.stack([stream(p, depth - 1) for p in seen]))
        q = layer.mixer.query(x[0]).unflatten(0, (2, -1))
        k, v = (part.unflatten(1, (2, -1)) for part in layer.mixer.key_value(x).chunk(2, -1))
        weights = (torch.einsum("hk,chk->ch", q, k) / q.shape[-1] ** 0.5 + layer.mixer.place).softmax(0)
        mixed = layer.mixer.output(torch.einsum("ch,chk->hk", weights, v).flatten())
        y = stream(place, depth - 1) + mixed
        y = y if layer.pre else layer.norm(y)
        if not model.config.feed_forward:
            return y
        z = y + layer.feed_forward(layer.feed_forward_norm(y) if layer.pre else y)
        return z if layer.pre else layer.feed_forward_norm(z)

    levels = math.ceil(round(math.log(len(string), C), 9))
    return model.classifier(model.norm(stream(len(string) - 1, levels * K)))


@pytest.mark.parametrize("fields", SETTINGS)
@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 8, 9, 13])
def test_a_string_is_read_as_the_recursion_reads_it(fields, length):
    model = build(**fields)
    tokens = strings(2, length)
    expected = torch.stack([slow(model, row) for row in tokens])
    found = model.string_logits(tokens)
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("fields", SETTINGS[:4])
def test_gradients_are_those_of_the_recursion(fields):
    model = build(**fields)
    tokens = strings(1, 6)
    leaves = list(model.parameters())
    weights = torch.arange(4, dtype=torch.float64).cos()
    found, expected = (
        torch.autograd.grad(logits @ weights, leaves)
        for logits in (model.string_logits(tokens)[0], slow(model, tokens[0]))
    )
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("fields", SETTINGS)
def test_one_pass_gives_every_prefix_what_it_gets_by_itself(fields):
    model = build(**fields)
    tokens = strings(3, 29)
    alone = torch.stack([model.string_logits(tokens[:, :n]) for n in range(1, 30)], 1)
    torch.testing.assert_close(model(tokens).logits, alone, rtol=1e-10, atol=1e-11)
    lengths = [2, 9, 10, 28]
    expected = alone[:, torch.tensor(lengths) - 1]
    torch.testing.assert_close(model.prefix_logits(tokens, lengths), expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("fields", SETTINGS)
def test_strings_of_different_lengths_are_read_together(fields):
    model = build(**fields)
    tokens, lengths = strings(5, 17), torch.tensor([1, 16, 3, 8, 2])
    expected = torch.cat([model.string_logits(row[None, :n]) for row, n in zip(tokens, lengths, strict=True)])
    asked = torch.arange(17) == lengths[:, None] - 1
    torch.testing.assert_close(model.asked_logits(tokens, asked), expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize(("length", "levels"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (64, 6), (65, 7)])
def test_the_layer_is_applied_as_often_as_the_length_asks(length, levels):
    model, calls = build(), []
    model.layers[0].mixer.register_forward_hook(lambda *_: calls.append(1))
    model.string_logits(strings(1, length))
    assert len(calls) == levels


def test_every_token_is_reached_and_no_later_one():
    model = build()
    embedded = []
    model.embedding.register_forward_hook(lambda _, __, output: embedded.append(output) or output.retain_grad())
    model(strings(1, 21)).logits[0, 12].sum().backward()
    reached = embedded[0].grad[0].abs().sum(-1) > 0
    assert reached.tolist() == [True] * 13 + [False] * 8


def test_it_is_registered_and_carries_no_state():
    model = MODELS.load("regular_gpt")(width=16, heads=4).build(3, 2)
    assert isinstance(model, StringModel)
    assert model.gives_every_prefix()
    assert not hasattr(model, "initial_state")


def test_what_cannot_be_used_is_refused():
    with pytest.raises(InputError, match="3 heads do not divide the width 8"):
        build(heads=3)
    with pytest.raises(InputError, match="empty string"):
        build().string_logits(torch.zeros(1, 0, dtype=torch.int64))
