import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recurrent_models import Bursting, Layered, LayeredWithPosition, PeakMemory, Uniform, Window, random_tokens

from lengthwise.errors import InputError, RunError
from lengthwise.evaluation.remembrance import effective_remembrance, remembrance_starts
from lengthwise.models.base import Output
from lengthwise.state import State


@settings(max_examples=25)
@given(
    kind=st.sampled_from([Layered, LayeredWithPosition]),
    rows=st.integers(1, 3),
    starts=st.lists(st.integers(0, 12), min_size=1, max_size=6),
    chunk=st.integers(1, 20),
    batch_size=st.integers(1, 20),
)
def test_it_is_the_total_variation_of_two_readings(
    kind: type[Layered], rows: int, starts: list[int], chunk: int, batch_size: int
) -> None:
    torch.manual_seed(0)
    model, tokens = kind(), random_tokens(rows, 13)
    found = effective_remembrance(model, tokens, starts, chunk=chunk, batch_size=batch_size)
    assert [result.start for result in found] == sorted(set(starts))
    whole = model(tokens).logits[:, -1].softmax(-1)
    for result in found:
        part = model(tokens[:, result.start :]).logits[:, -1].softmax(-1)
        # The largest difference of probabilities that any set of symbols can have.
        distances = (whole - part).detach().clamp(min=0).sum(-1)
        assert result.value == pytest.approx(float(distances.mean()), abs=1e-12)
        assert result.rows == rows
        if rows > 1:
            assert result.standard_error == pytest.approx(float(distances.std()) / math.sqrt(rows), abs=1e-12)
        else:
            assert math.isnan(result.standard_error)


def test_nothing_dropped_is_nothing_changed() -> None:
    (result,) = effective_remembrance(Layered(), random_tokens(3, 20), [0])
    assert result.value == 0


def test_a_model_that_ignores_its_state_remembers_nothing() -> None:
    results = effective_remembrance(Uniform(), random_tokens(3, 20), range(20))
    assert {result.value for result in results} == {0}


@pytest.mark.parametrize("width", [1, 4, 7])
def test_a_model_with_a_window_remembers_the_window_alone(width: int) -> None:
    results = effective_remembrance(Window(width), random_tokens(4, 20), range(20), chunk=3)
    assert all((result.value == 0) == (result.start <= 20 - width) for result in results)
    assert all(0 <= result.value <= 1 for result in results)


@pytest.mark.parametrize("kind", [Layered, LayeredWithPosition])
@pytest.mark.parametrize("batch_size", [1, 5, 100])
def test_no_token_is_read_more_often_than_it_must_be(kind: type[Layered], batch_size: int) -> None:
    model, starts = kind(), [3, 8, 9, 15]
    effective_remembrance(model, random_tokens(2, 20), starts, chunk=6, batch_size=batch_size)
    assert sum(model.tokens_read) == 2 * (20 + sum(20 - start for start in starts))


def test_restarts_share_calls_where_nothing_tells_them_apart() -> None:
    model = Layered()
    effective_remembrance(model, random_tokens(2, 32), range(0, 32, 4), chunk=100)
    assert len(model.tokens_read) == 8


def test_a_model_that_gives_logits_of_the_string_alone_will_do() -> None:
    class OfTheString(Window):
        def forward(self, tokens: torch.Tensor, state=None) -> Output:
            logits, after = super().forward(tokens, state)
            return Output(logits[:, -1], after)

    tokens = random_tokens(3, 12)
    assert effective_remembrance(OfTheString(4), tokens, range(12)) == effective_remembrance(
        Window(4), tokens, range(12)
    )


def test_memory_does_not_grow_with_the_length() -> None:
    def peak(length: int) -> int:
        tokens = random_tokens(2, length)
        with PeakMemory() as seen:
            effective_remembrance(Window(2), tokens, [0, 10, length - 20], chunk=16)
        return seen.bytes

    assert peak(4096) == peak(128)


def test_a_prediction_that_is_not_finite_names_the_restart_and_the_layer() -> None:
    with pytest.raises(RunError, match=r"from token 0: the entry 'layers.1.hidden' of the state"):
        effective_remembrance(Bursting(15), random_tokens(2, 20), [10])


def test_starts_are_spaced_from_the_first_token_to_the_last() -> None:
    assert remembrance_starts(101, 5) == [0, 25, 50, 75, 100]
    assert remembrance_starts(65, 7, "log") == [1, 2, 4, 8, 16, 32, 64]
    assert remembrance_starts(3, 50) == [0, 1, 2]


def test_bad_input_is_refused_with_what_would_be_right() -> None:
    tokens = random_tokens(2, 9)
    with pytest.raises(InputError, match=r"0\.\.8.*: 9 is not"):
        effective_remembrance(Uniform(), tokens, [0, 9])
    with pytest.raises(InputError, match="none was given"):
        effective_remembrance(Uniform(), tokens, [])
    with pytest.raises(InputError, match="1 reading"):
        effective_remembrance(Uniform(), tokens, [1], batch_size=0)
    with pytest.raises(InputError, match="2 tokens"):
        remembrance_starts(1)
    with pytest.raises(InputError, match="'linear' or 'log'"):
        remembrance_starts(9, 3, "cubic")


def test_a_state_with_its_layers_first_is_refused() -> None:
    class LayersFirst(Uniform):
        def initial_state(self, batch_size: int) -> State:
            return State({"h": torch.zeros(2, batch_size, 1)})

    with pytest.raises(InputError, match="must have the batch first"):
        effective_remembrance(LayersFirst(), random_tokens(3, 9), [2, 4])
