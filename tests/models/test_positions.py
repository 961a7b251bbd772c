"""Positions on the embedding: their formulas, their state, and the law of those that are drawn."""

import math
from collections import Counter
from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lengthwise.errors import InputError
from lengthwise.evaluation.contract import check_contract
from lengthwise.models.backbone import BackboneConfig
from lengthwise.models.positions import DrawnPositions, RandomPositions
from lengthwise.state import Kind, State

CPU = torch.device("cpu")
POSITIONS = [
    {"name": "sinusoidal"},
    {"name": "learned", "length": 40},
    {"name": "randomised"},
    {"name": "randomised", "encoding": "learned", "range": 160, "longest": 40},
]


def build(positions, mixer=None, **fields):
    torch.manual_seed(0)
    mixer = mixer or {"name": "gru", "hidden_size": 8}
    config = BackboneConfig.model_validate({"width": 16, "mixer": mixer, "positions": positions, **fields})
    return config.build(7, 7).double()


def embedded(model, tokens):
    """What the layers read of the tokens."""
    seen = []
    handle = model.layers[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(tokens)
    handle.remove()
    return seen[0]


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("mixer", [{"name": "gru", "hidden_size": 8}, {"name": "attention", "positions": "alibi"}])
def test_the_contract_holds(positions, mixer):
    for finding in check_contract(build(positions, mixer), 7, length=21):
        assert finding.holds, finding


def test_without_positions_nothing_is_added_to_the_state_or_the_parameters():
    model = build({"name": "none"})
    assert not [name for name in (*model.state_dict(), *model.initial_state(1)) if "positions" in name]


@pytest.mark.parametrize("scaled", [True, False])
def test_sinusoidal_positions_are_sines_then_cosines(scaled):
    model = build({"name": "sinusoidal"}, scaled_embedding=scaled)
    tokens = torch.randint(7, (2, 9), generator=torch.Generator().manual_seed(0))
    added = embedded(model, tokens) - model.embedding(tokens) * (4 if scaled else 1)
    for t in range(9):
        angles = [t / 10_000 ** (2 * i / 16) for i in range(8)]
        expected = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
        torch.testing.assert_close(added[:, t], torch.tensor([expected] * 2, dtype=torch.float64))


def test_learned_positions_are_rows_of_a_table_and_end_with_it():
    model = build({"name": "learned", "length": 6})
    tokens = torch.zeros(2, 6, dtype=torch.int64)
    added = embedded(model, tokens) - model.embedding(tokens)
    torch.testing.assert_close(added, model.positions.encoding.table.weight.expand(2, -1, -1))
    with pytest.raises(InputError, match="position 6 has no learned vector: this model knows 6 positions"):
        model(torch.zeros(2, 7, dtype=torch.int64))
    _, state = model(tokens)
    with pytest.raises(InputError, match="position 6"):
        model(tokens[:, :1], state)


def test_what_was_read_is_carried_as_a_position():
    model = build({"name": "sinusoidal"})
    _, state = model(torch.zeros(3, 5, dtype=torch.int64))
    assert state.kinds["positions.next"] is Kind.POSITION
    assert state["positions.next"].tolist() == [5, 5, 5]
    assert model.start_from(state)["positions.next"].tolist() == [0, 0, 0]


def test_an_odd_width_has_no_sinusoidal_positions():
    with pytest.raises(InputError, match="15 channels are odd"):
        BackboneConfig.model_validate({"width": 15, "positions": {"name": "sinusoidal"}}).build(2, 2)


def draw(source, cuts, rows):
    state, found = source.initial_state(rows, CPU), []
    for tokens in cuts:
        positions, state = source(tokens, state)
        found.append(positions)
    return torch.cat(found, 1), state


@settings(max_examples=40)
@given(st.data())
def test_drawn_positions_increase_within_the_range_wherever_the_sequence_is_cut(data):
    size = data.draw(st.integers(1, 30))
    longest = data.draw(st.integers(1, size))
    cuts = data.draw(st.lists(st.integers(1, longest), min_size=1, max_size=4).filter(lambda c: sum(c) <= longest))
    torch.manual_seed(data.draw(st.integers(0, 100)))
    positions, state = draw(RandomPositions(DrawnPositions(range=size, longest=longest)), cuts, rows=3)
    assert positions.shape == (3, sum(cuts))
    assert (positions.diff(dim=1) > 0).all()
    assert positions.min() >= 0
    assert positions.max() < size
    assert state["read"].tolist() == [sum(cuts)] * 3
    assert torch.equal(state["next"], positions[:, -1] + 1)


@pytest.mark.parametrize("cuts", [(2,), (1, 1)])
def test_drawn_positions_are_the_first_of_a_uniform_choice_however_they_are_cut(cuts):
    rows, size, longest = 40_000, 6, 3
    torch.manual_seed(0)
    positions, _ = draw(RandomPositions(DrawnPositions(range=size, longest=longest)), cuts, rows)
    choices = list(combinations(range(size), longest))
    expected = Counter(choice[: sum(cuts)] for choice in choices)
    found = Counter(map(tuple, positions.tolist()))
    assert set(found) == set(expected)
    for choice, count in expected.items():
        share = count / len(choices)
        assert abs(found[choice] / rows - share) < 5 * (share * (1 - share) / rows) ** 0.5


def test_rows_that_have_read_different_numbers_of_tokens_are_drawn_together():
    source = RandomPositions(DrawnPositions(range=12, longest=6))
    torch.manual_seed(0)
    _, fresh = draw(source, (1,), 200)
    _, later = draw(source, (2, 2), 200)
    positions, state = source(2, State.concat([fresh, later]))
    assert (positions[:, 0] >= torch.cat([fresh["next"], later["next"]])).all()
    assert (positions.diff(dim=1) > 0).all()
    assert positions.max() < 12
    assert state["read"].tolist() == [3] * 200 + [6] * 200


def test_a_training_sequence_longer_than_the_settings_say_is_an_error():
    source = RandomPositions(DrawnPositions(longest=10))
    with pytest.raises(InputError, match=r"at least 11 tokens.*longest: 10"):
        draw(source, (6, 5), 2)
    assert draw(source.eval(), (6, 5), 2)[0][0].tolist() == list(range(0, 44, 4))


def test_more_positions_than_the_range_has_are_refused():
    with pytest.raises(ValidationError, match=r"41 different positions \(longest\) cannot be drawn from 40 \(range\)"):
        DrawnPositions(range=40, longest=41)


@pytest.mark.parametrize("positions", POSITIONS)
def test_settings_survive_being_written_down(positions):
    config = BackboneConfig.model_validate({"positions": positions})
    assert BackboneConfig.model_validate_json(config.model_dump_json()) == config
