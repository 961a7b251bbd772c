import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recurrent_models import HEADS, Bursting, Counter, Layered, LayeredWithPosition, PeakMemory, random_tokens

from lengthwise.errors import InputError, RunError
from lengthwise.evaluation.state_statistics import state_statistics
from lengthwise.models.base import Output, SequenceModel
from lengthwise.state import Kind, State


@settings(max_examples=25)
@given(
    rows=st.integers(1, 4),
    positions=st.lists(st.integers(1, 15), min_size=1, max_size=5),
    chunk=st.integers(1, 20),
    batch_size=st.integers(1, 5),
)
def test_the_statistics_are_those_of_the_state_after_each_prefix(
    rows: int, positions: list[int], chunk: int, batch_size: int
) -> None:
    torch.manual_seed(0)
    model, tokens = LayeredWithPosition(), random_tokens(rows, 15)
    expected = {}
    for position in set(positions):
        state = model(tokens[:, :position]).state.detach()
        first, second = state["layers.0.hidden"], state["layers.1.hidden"]
        expected[position, "whole", None, None] = torch.cat([first.flatten(), second.flatten()])
        expected[position, "entry", "layers.0.hidden", None] = first
        expected[position, "entry", "layers.1.hidden", None] = second
        for head in range(HEADS):
            expected[position, "head", "layers.0.hidden", head] = first[:, head]
    found = state_statistics(model, tokens, positions, chunk=chunk, batch_size=batch_size)
    assert {row[:4] for row in found} == set(expected)
    assert len(found) == len(expected)
    assert [row.position for row in found] == sorted(row.position for row in found)
    for row in found:
        values = expected[row[:4]]
        assert row.mean == pytest.approx(float(values.mean()), abs=1e-12)
        assert row.standard_deviation == pytest.approx(float(values.std(correction=0)), rel=1e-12)
        assert row.largest == pytest.approx(float(values.abs().max()), rel=1e-12)
        assert row.elements == values.numel()


def test_a_state_that_grows_in_a_straight_line_has_a_known_deviation() -> None:
    for row in state_statistics(Counter(), random_tokens(3, 4096), [1, 64, 4096], chunk=100, batch_size=2):
        # Head h is (h + 1) t (-1, 0, 1); the whole has both heads, in equal numbers.
        scale = math.sqrt((1 + 4) / 2) if row.head is None else row.head + 1
        assert row.standard_deviation == pytest.approx(row.position * scale * math.sqrt(2 / 3), rel=1e-12)
        assert row.mean == pytest.approx(0, abs=1e-12)
        assert row.largest == row.position * (2 if row.head is None else row.head + 1)


def test_a_small_spread_about_a_large_mean_is_not_lost() -> None:
    class Shifted(Counter):
        def forward(self, tokens: torch.Tensor, state=None) -> Output:
            logits, after = super().forward(tokens, state)
            return Output(logits, after.map(lambda count: 1e9 + count))

    rows = state_statistics(Shifted(), random_tokens(5, 1), [1], batch_size=2)
    assert rows[0].standard_deviation == pytest.approx(math.sqrt(5 / 3), rel=1e-6)


@pytest.mark.parametrize("chunk", [1, 6, 100])
@pytest.mark.parametrize("burst", [1, 11, 20])
def test_a_state_that_is_not_finite_names_the_layer_and_the_first_position(burst: int, chunk: int) -> None:
    for entry in ("layers.0.hidden", "layers.1.hidden"):
        with pytest.raises(RunError, match=f"entry '{entry}' of the state is not finite after {burst} tokens"):
            state_statistics(Bursting(burst, entry), random_tokens(2, 20), [20], chunk=chunk)


def test_an_initial_state_that_is_not_finite_is_named() -> None:
    class BadStart(Layered):
        def initial_state(self, batch_size: int) -> State:
            return super().initial_state(batch_size).map(lambda tensor: tensor + math.nan, [Kind.RECURRENT])

    with pytest.raises(RunError, match=r"'layers.0.hidden' .* after 0 tokens"):
        state_statistics(BadStart(), random_tokens(2, 20), [20])


def test_memory_does_not_grow_with_the_length() -> None:
    def peak(length: int) -> int:
        tokens = random_tokens(2, length)
        with PeakMemory() as seen:
            state_statistics(Counter(), tokens, [1, length], chunk=32)
        return seen.bytes

    assert peak(4096) == peak(128)


def test_a_model_without_a_recurrent_state_is_refused_with_what_it_carries() -> None:
    class Attention(SequenceModel):
        def initial_state(self, batch_size: int) -> State:
            return State({"keys": torch.zeros(batch_size, 1)}, {"keys": Kind.CACHE})

        def forward(self, tokens: torch.Tensor, state=None) -> Output:
            return Output(torch.zeros(*tokens.shape, 5), state)

    with pytest.raises(InputError, match=r"carried: keys \(cache\)"):
        state_statistics(Attention(), random_tokens(2, 4), [4])


def test_bad_input_is_refused_with_what_would_be_right() -> None:
    tokens = random_tokens(2, 9)
    with pytest.raises(InputError, match=r"1\.\.9.*: 0 is not"):
        state_statistics(Counter(), tokens, [0, 3])
    with pytest.raises(InputError, match="none was given"):
        state_statistics(Counter(), tokens, [])
    with pytest.raises(InputError, match="1 row"):
        state_statistics(Counter(), tokens, [1], batch_size=0)
