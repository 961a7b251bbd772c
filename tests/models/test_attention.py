"""Attention against torch's own layers, transformers' rotary positions, and loops over queries and keys."""

import math

import pytest
import torch
from random_tensors import normal
from torch import nn

from lengthwise.errors import InputError
from lengthwise.evaluation.contract import check_contract
from lengthwise.models.backbone import BackboneConfig
from lengthwise.models.mixers.attention import AttentionConfig, alibi_slopes
from lengthwise.state import Kind

WIDTH, HEADS = 16, 2
ENCODINGS = ["none", "rope", "alibi", "relative"]
DRAWN = {"range": 100, "longest": 20, "stride": 3}


def build(width=WIDTH, seed=0, **fields):
    torch.manual_seed(seed)
    return AttentionConfig.model_validate({"heads": HEADS} | fields).build(width).double()


def whole(mixer, x):
    return mixer(x, mixer.initial_state(len(x)))


def causal(length):
    return nn.Transformer.generate_square_subsequent_mask(length, dtype=torch.float64)


def copy(target, source):
    target.data.copy_(source.data)


def test_without_positions_it_is_torchs_multihead_attention():
    ours = build()
    peer = nn.MultiheadAttention(WIDTH, HEADS, bias=False, batch_first=True, dtype=torch.float64)
    copy(peer.in_proj_weight, ours.project.weight)
    copy(peer.out_proj.weight, ours.output.weight)
    x = normal(3, 11, WIDTH)
    expected, _ = peer(x, x, x, attn_mask=causal(11))
    torch.testing.assert_close(whole(ours, x)[0], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("place", ["pre", "post"])
def test_a_backbone_around_it_is_torchs_transformer_encoder(place):
    config = BackboneConfig.model_validate(
        {
            "width": WIDTH,
            "layers": 2,
            "mixer": {"name": "attention", "heads": HEADS},
            "norm": "layer",
            "norm_place": place,
            "feed_forward": 4,
            "feed_forward_kind": "relu",
        }
    )
    torch.manual_seed(0)
    ours = config.build(5, 3).double()
    layer = nn.TransformerEncoderLayer(
        WIDTH, HEADS, 4 * WIDTH, dropout=0.0, batch_first=True, norm_first=place == "pre", dtype=torch.float64
    )
    final = nn.LayerNorm(WIDTH, dtype=torch.float64) if place == "pre" else None
    peer = nn.TransformerEncoder(layer, 2, norm=final, enable_nested_tensor=False)
    for parameter in ours.parameters():
        copy(parameter, parameter + 0.1 * torch.randn_like(parameter))
    with torch.no_grad():
        for mine, theirs in zip(ours.layers, peer.layers, strict=True):
            copy(theirs.self_attn.in_proj_weight, mine.mixer.project.weight)
            copy(theirs.self_attn.out_proj.weight, mine.mixer.output.weight)
            theirs.self_attn.in_proj_bias.zero_()
            theirs.self_attn.out_proj.bias.zero_()
            theirs.linear1.load_state_dict(mine.feed_forward.expand.state_dict())
            theirs.linear2.load_state_dict(mine.feed_forward.contract.state_dict())
            theirs.norm1.load_state_dict(mine.norm.state_dict())
            theirs.norm2.load_state_dict(mine.feed_forward_norm.state_dict())
        if final is not None:
            peer.norm.load_state_dict(ours.norm.state_dict())
    tokens = torch.randint(5, (3, 9), generator=torch.Generator().manual_seed(1))
    expected = peer(ours.embedding(tokens), mask=causal(9)) @ ours.classifier.weight.T
    torch.testing.assert_close(ours(tokens).logits, expected, rtol=1e-11, atol=1e-11)
    assert any(parameter.ndim == 1 and parameter.abs().sum() > 0 for parameter in ours.norm.parameters()) == (
        place == "pre"
    )


def waves(distance, channels):
    frequencies = [10_000 ** (-2 * i / channels) for i in range(channels // 2)]
    return torch.tensor(
        [math.sin(distance * f) for f in frequencies] + [math.cos(distance * f) for f in frequencies],
        dtype=torch.float64,
    )


def turned(x_K, position):
    half = len(x_K) // 2
    complex_x = torch.complex(x_K[:half], x_K[half:])
    angles = torch.tensor([position * 10_000 ** (-i / half) for i in range(half)], dtype=torch.float64)
    result = complex_x * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([result.real, result.imag])


def slow(mixer, x_BTD, positions_BT):
    """A loop over rows, heads, queries and keys."""
    config = mixer.config
    K = WIDTH // HEADS
    q, k, v = (part.unflatten(-1, (HEADS, K)) for part in mixer.project(x_BTD).chunk(3, -1))
    slopes = [2 ** (-8 * (h + 1) / HEADS) for h in range(HEADS)]
    y = torch.zeros_like(q)
    for b in range(len(x_BTD)):
        for h in range(HEADS):
            for t in range(x_BTD.shape[1]):
                first = max(0, t + 1 - (config.window or t + 1))
                logits = []
                for s in range(first, t + 1):
                    at, of = int(positions_BT[b, t]), int(positions_BT[b, s])
                    if config.positions == "rope":
                        logit = turned(q[b, t, h], at) @ turned(k[b, s, h], of) / K**0.5
                    elif config.positions == "alibi":
                        logit = q[b, t, h] @ k[b, s, h] / K**0.5 - slopes[h] * (at - of)
                    elif config.positions == "relative":
                        relative = mixer.positions
                        key = (relative.waves.weight @ waves(at - of, WIDTH)).unflatten(0, (HEADS, K))[h]
                        logit = (q[b, t, h] + relative.content_bias[h]) @ k[b, s, h]
                        logit = (logit + (q[b, t, h] + relative.distance_bias[h]) @ key) / K**0.5
                    else:
                        logit = q[b, t, h] @ k[b, s, h] / K**0.5
                    logits.append(logit)
                y[b, t, h] = torch.stack(logits).softmax(0) @ v[b, first : t + 1, h]
    return mixer.output(y.flatten(2))


@pytest.mark.parametrize("positions", ENCODINGS)
@pytest.mark.parametrize("window", [None, 4])
@pytest.mark.parametrize("chunk", [3, 128])
def test_every_encoding_is_its_formula_in_value_and_gradient(positions, window, chunk):
    mixer = build(positions=positions, window=window, chunk=chunk)
    x = normal(2, 8, WIDTH).requires_grad_()
    leaves = [x, *mixer.parameters()]
    outputs = [whole(mixer, x)[0], slow(mixer, x, torch.arange(8).expand(2, 8))]
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-10, atol=1e-11)
    weights = normal(2, 8, WIDTH, seed=3)
    gradients = [torch.autograd.grad((y * weights).sum(), leaves) for y in outputs]
    for found, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("positions", ENCODINGS[1:])
@pytest.mark.parametrize("training", [True, False])
def test_randomised_positions_are_those_that_the_state_holds(positions, training):
    """In training they are drawn for each row; in evaluation they are a stride apart."""
    mixer = build(positions=positions, randomised=DRAWN).train(training)
    x = normal(2, 8, WIDTH)
    first, state = mixer(x[:, :5], mixer.initial_state(2))
    second, state = mixer(x[:, 5:], state)
    drawn = state["positions"]
    assert (drawn.diff(dim=1) > 0).all()
    assert torch.equal(drawn, 3 * torch.arange(8).expand(2, 8)) != training
    torch.testing.assert_close(torch.cat([first, second], 1), slow(mixer, x, drawn), rtol=1e-10, atol=1e-11)


def test_each_layer_draws_for_itself_and_every_row_has_its_own():
    mixer = {"name": "attention", "heads": HEADS, "positions": "rope", "randomised": DRAWN}
    model = BackboneConfig.model_validate({"width": WIDTH, "mixer": mixer}).build(3, 3)
    torch.manual_seed(0)
    _, state = model(torch.zeros(2, 10, dtype=torch.int64))
    draws = [tuple(row.tolist()) for layer in (0, 1) for row in state[f"layers.{layer}.positions"]]
    assert len(set(draws)) == 4


def test_rope_is_that_of_transformers():
    from transformers.models.llama.configuration_llama import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

    mixer, x = build(positions="rope"), normal(2, 9, WIDTH)
    q, k, v = mixer.project(x).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
    rotary = LlamaRotaryEmbedding(LlamaConfig(hidden_size=WIDTH, num_attention_heads=HEADS))
    q, k = apply_rotary_pos_emb(q, k, *rotary(x, torch.arange(9)[None]))
    read = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    # Theirs are angles in float32.
    torch.testing.assert_close(whole(mixer, x)[0], mixer.output(read.transpose(1, 2).flatten(2)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("heads", [1, 2, 4, 6, 8, 12])
def test_alibis_slopes_are_those_of_transformers(heads):
    from transformers.models.bloom.modeling_bloom import build_alibi_tensor

    expected = build_alibi_tensor(torch.ones(1, 2), heads, torch.float64)[:, 0, 1]
    torch.testing.assert_close(torch.tensor(alibi_slopes(heads), dtype=torch.float64), expected)


@pytest.mark.parametrize(
    "fields",
    [
        *({"positions": positions} for positions in ENCODINGS),
        *({"positions": positions, "window": 5} for positions in ENCODINGS),
        *({"positions": positions, "window": 5, "randomised": DRAWN} for positions in ENCODINGS[1:]),
        {"positions": "relative", "randomised": DRAWN},
        {"window": 1},
    ],
)
def test_the_contract_holds(fields):
    mixer = {"name": "attention", "heads": HEADS, "chunk": 4} | fields
    torch.manual_seed(0)
    model = BackboneConfig.model_validate({"width": WIDTH, "layers": 1, "mixer": mixer}).build(7, 7).double()
    for finding in check_contract(model, 7, length=13):
        assert finding.holds, finding


@pytest.mark.parametrize("positions", ENCODINGS)
def test_far_from_the_start_float32_is_as_precise_as_near_it(positions):
    """The same last tokens within a window, after many others and after few."""
    mixer = build(positions=positions, window=6).float()
    x = normal(1, 4_000, WIDTH).float()
    far, near = whole(mixer, x)[0][:, -3:], whole(mixer, x[:, -9:])[0][:, -3:]
    torch.testing.assert_close(far, near, rtol=1e-5, atol=1e-6)


def test_the_cache_grows_to_the_window_and_no_further():
    mixer = build(window=5)
    _, state = whole(mixer, normal(2, 3, WIDTH))
    assert state["keys"].shape == (2, 3, HEADS, WIDTH // HEADS)
    _, state = mixer(normal(2, 9, WIDTH), state)
    assert state["keys"].shape == state["values"].shape == (2, 4, HEADS, WIDTH // HEADS)
    assert set(state.kinds.values()) == {Kind.CACHE}


def test_settings_that_do_not_go_together_are_refused():
    with pytest.raises(InputError, match="3 heads do not divide the width 16"):
        AttentionConfig(heads=3).build(16)
    with pytest.raises(InputError, match="3 channels are odd"):
        AttentionConfig(heads=2, positions="rope").build(6)
    with pytest.raises(ValueError, match="rope, alibi or relative"):
        AttentionConfig.model_validate({"randomised": {}})
