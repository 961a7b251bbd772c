"""The contract over every registered mixer; a new one joins by its line in the registry."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_tensors import normal

from lengthwise.evaluation.contract import check_contract
from lengthwise.evaluation.serving import POSITIONS, check_serving
from lengthwise.models import MIXERS
from lengthwise.models.backbone import BackboneConfig
from lengthwise.state import Kind

NAMES = list(MIXERS)
OF_ONE_SIZE = [name for name in NAMES if name != "attention"]
"""Mixers whose state is as large after many tokens as after few."""
WIDTH = 16
CHUNK = 8
MEMORY = {Kind.RECURRENT, Kind.CACHE}
SMALL = {"hidden_size": 8, "state_size": 4, "heads": 2, "head_size": 8, "blocks": 2, "chunk": CHUNK}
"""Settings that keep a mixer tiny, for those that have them."""


def small_settings(name):
    fields = MIXERS.load(name).model_fields
    return {"name": name} | {field: value for field, value in SMALL.items() if field in fields}


def build_backbone(mixer, width=WIDTH, layers=2):
    torch.manual_seed(0)
    config = BackboneConfig.model_validate({"width": width, "layers": layers, "mixer": mixer})
    return config.build(7, 7)


def build_mixer(name):
    torch.manual_seed(0)
    return MIXERS.load(name)(**small_settings(name)).build(WIDTH).double()


def state_after_some_tokens(mixer, rows):
    """A state that is not zero, of leaves that want a gradient."""
    with torch.no_grad():
        _, state = mixer(normal(rows, 5, WIDTH, seed=9), mixer.initial_state(rows))
    return state.map(lambda x: x.clone().requires_grad_() if x.is_floating_point() else x)


def floating(state):
    return {name: state[name] for name in state if state[name].is_floating_point()}


def weighted_sum(tensors, seed):
    return sum((x * normal(*x.shape, seed=seed + i, dtype=x.dtype)).sum() for i, x in enumerate(tensors))


def read(mixer, x_BTD, state, cuts=()):
    outputs = []
    for piece in x_BTD.tensor_split(list(cuts), 1):
        y, state = mixer(piece, state)
        outputs.append(y)
    return torch.cat(outputs, 1), state


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("length", [CHUNK, CHUNK + 1, 2 * CHUNK - 1, 37])
def test_every_clause_of_the_contract_holds(name, length):
    for finding in check_contract(build_backbone(small_settings(name)).double(), 7, length=length):
        assert finding.holds, finding


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_no_clause_of_serving_is_broken(name):
    for finding in check_serving(build_backbone(small_settings(name)).double(), 7, length=2 * CHUNK + 1):
        assert not finding.broken, finding
        assert bool(finding.not_asked) == (name not in OF_ONE_SIZE and finding.clause == POSITIONS), finding


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=8)
@given(cuts=st.lists(st.sampled_from([1, 2, 3, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK]), max_size=3))
def test_pieces_of_any_size_give_the_same_values_and_gradients(name, cuts):
    """The sizes are below, at and above the chunk, and shorter than a convolution."""
    mixer = build_mixer(name)
    ends = torch.tensor(cuts).cumsum(0).tolist()
    start = state_after_some_tokens(mixer, rows=2)
    x = normal(2, sum(cuts) + 2, WIDTH).requires_grad_()

    def values_and_gradients(cuts):
        y, state = read(mixer, x, start, cuts)
        values = [y, *floating(state).values()]
        leaves = [x, *floating(start).values(), *mixer.parameters()]
        return values + list(torch.autograd.grad(weighted_sum(values, seed=1), leaves))

    for a, b in zip(values_and_gradients(ends), values_and_gradients(()), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_finite_differences(name):
    """Of outputs and final state together, along a direction in inputs, initial state and parameters."""
    mixer = build_mixer(name)
    start = state_after_some_tokens(mixer, rows=2)
    x = normal(2, CHUNK + 3, WIDTH).requires_grad_()
    leaves = [x, *floating(start).values(), *mixer.parameters()]

    def functional():
        y, state = mixer(x, start)
        return weighted_sum([y, *floating(state).values()], seed=1)

    direction = [normal(*leaf.shape, seed=50 + i) for i, leaf in enumerate(leaves)]
    slope = sum((g * d).sum() for g, d in zip(torch.autograd.grad(functional(), leaves), direction, strict=True))

    @torch.no_grad()
    def moved(by):
        for leaf, d in zip(leaves, direction, strict=True):
            leaf += by * d
        value = functional()
        for leaf, d in zip(leaves, direction, strict=True):
            leaf -= by * d
        return value

    difference = (moved(1e-6) - moved(-1e-6)) / 2e-6
    torch.testing.assert_close(slope, difference, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_the_final_state_passes_gradients_to_the_inputs_and_to_the_initial_state(name):
    mixer = build_mixer(name)
    start = state_after_some_tokens(mixer, rows=2)
    x = normal(2, CHUNK + 1, WIDTH).requires_grad_()
    _, state = mixer(x, start)
    for entry, value in floating(state).items():
        (gradient,) = torch.autograd.grad(weighted_sum([value], seed=3), x, retain_graph=True)
        assert gradient.abs().sum() > 0, entry
    memory = [start[entry] for entry in start if start.kinds[entry] in MEMORY]
    for gradient in torch.autograd.grad(weighted_sum(floating(state).values(), seed=3), memory):
        assert gradient.abs().sum() > 0


@pytest.mark.parametrize("name", NAMES)
def test_an_output_depends_on_no_later_input_and_no_other_row(name):
    mixer = build_mixer(name)
    x = normal(3, 2 * CHUNK + 1, WIDTH).requires_grad_()
    y, _ = mixer(x, mixer.initial_state(3))
    for t in (0, 1, CHUNK - 1, CHUNK, 2 * CHUNK):
        (gradient,) = torch.autograd.grad(y[1, t].square().sum(), x, retain_graph=True)
        assert gradient[1, t].abs().sum() > 0
        assert not gradient[1, t + 1 :].any()
        assert not gradient[[0, 2]].any()


@pytest.mark.parametrize("name", NAMES)
def test_a_state_says_what_it_is(name):
    mixer = build_mixer(name)
    start = mixer.initial_state(3)
    _, state = mixer(normal(3, 2, WIDTH), start)
    assert MEMORY & set(start.kinds.values())
    assert dict(state.kinds) == dict(start.kinds)
    for entry in start:
        shape = list(start[entry].shape)
        if start.kinds[entry] is Kind.CACHE:
            shape[1] += 2
        assert (list(state[entry].shape), state[entry].dtype) == (shape, start[entry].dtype)
        assert len(start[entry]) == 3
        assert not start[entry].requires_grad


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_ONE_SIZE)
def test_131072_tokens_in_small_pieces_equal_the_same_in_large_pieces(name):
    mixer = {field: value for field, value in small_settings(name).items() if field != "chunk"}
    model = build_backbone(mixer, width=8, layers=1)
    tokens = torch.randint(7, (1, 131_072), generator=torch.Generator().manual_seed(1))

    @torch.no_grad()
    def read_in(size):
        state = model.initial_state(1)
        for piece in tokens.split(size, 1):
            logits, state = model(piece, state)
        return {"logits": logits[:, -1], **floating(state)}

    small, large = read_in(1000), read_in(65_536)
    for entry, expected in large.items():
        assert expected.isfinite().all(), entry
        assert (small[entry] - expected).abs().max() <= 1e-4 * expected.abs().max(), entry


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_stays_finite(name):
    model = build_backbone(small_settings(name)).bfloat16()
    tokens = torch.randint(7, (2, 300), generator=torch.Generator().manual_seed(1))
    logits, state = model(tokens)
    assert logits.dtype == torch.bfloat16
    weighted_sum([logits, *floating(state).values()], seed=2).backward()
    for value in [logits, *state.values(), *(p.grad for p in model.parameters())]:
        assert value.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_settings_survive_being_written_down(name):
    config = BackboneConfig.model_validate({"mixer": {"name": name}})
    assert config.mixer.name == name
    assert BackboneConfig.model_validate_json(config.model_dump_json()) == config
