import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recurrent_models import VOCABULARY, Bursting, Layered, PeakMemory, Uniform, Window, random_tokens

from lengthwise.errors import InputError, RunError
from lengthwise.evaluation.losses import perplexity
from lengthwise.evaluation.perplexity import (
    log_edges,
    octave_edges,
    octave_losses,
    position_losses,
    restarted_losses,
    row_losses,
)
from lengthwise.evaluation.verdict import verdict
from lengthwise.models.base import Output


def losses_position_by_position(model: Layered, tokens_BS: torch.Tensor) -> np.ndarray:
    """Read every prefix on its own, in numpy from the logits on: [B, S - 1]."""
    columns = []
    for t in range(1, tokens_BS.shape[1]):
        logits_BV = model(tokens_BS[:, :t]).logits[:, -1].detach().numpy()
        chosen_B = logits_BV[np.arange(len(logits_BV)), tokens_BS[:, t].numpy()]
        columns.append(np.log(np.exp(logits_BV).sum(1)) - chosen_B)
    return np.stack(columns, 1)


@settings(max_examples=25)
@given(
    rows=st.integers(1, 4),
    length=st.integers(1, 21),
    bins=st.integers(1, 5),
    chunk=st.integers(1, 30),
    batch_size=st.integers(1, 5),
)
def test_the_losses_are_those_of_every_prefix_read_alone(
    rows: int, length: int, bins: int, chunk: int, batch_size: int
) -> None:
    torch.manual_seed(0)
    model, tokens = Layered(), random_tokens(rows, length + 1)
    expected_BT = losses_position_by_position(model, tokens)
    found = position_losses(model, tokens, bins=bins, chunk=chunk, batch_size=batch_size)
    assert [loss.start for loss in found] == [1, *(loss.end + 1 for loss in found[:-1])]
    assert found[-1].end == length
    for loss in found:
        means_B = expected_BT[:, loss.start - 1 : loss.end].mean(1)
        assert loss.mean == pytest.approx(means_B.mean(), rel=1e-12)
        assert loss.perplexity == pytest.approx(np.exp(means_B.mean()), rel=1e-12)
        assert loss.rows == rows
        if rows > 1:
            assert loss.standard_error == pytest.approx(means_B.std(ddof=1) / np.sqrt(rows), rel=1e-9)
        else:
            assert math.isnan(loss.standard_error)


@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_octaves_hold_the_mean_of_each_row(chunk: int) -> None:
    model, tokens = Layered(), random_tokens(3, 33)
    expected_BT = losses_position_by_position(model, tokens)
    octaves = octave_losses(model, tokens, 4, chunk=chunk, batch_size=2)
    assert [(octave.start, octave.end) for octave in octaves] == [(3, 4), (5, 8), (9, 16), (17, 32)]
    for octave in octaves:
        assert octave.row_means == pytest.approx(expected_BT[:, octave.start - 1 : octave.end].mean(1), rel=1e-12)


def test_one_reading_serves_bins_and_octaves() -> None:
    model, tokens = Layered(), random_tokens(3, 51)
    fine, octaves = log_edges(50, 3), octave_edges(50, 6)
    model.tokens_read.clear()
    rows = row_losses(model, tokens, sorted({*fine, *octaves}))
    assert sum(model.tokens_read) == 3 * 50
    for both, alone in zip(rows.by_position(fine), position_losses(model, tokens, bins=3), strict=True):
        assert both[:4] == pytest.approx(alone[:4], rel=1e-12)
    for both, alone in zip(rows.by_position(octaves), octave_losses(model, tokens, 6), strict=True):
        assert both.row_means == pytest.approx(alone.row_means, rel=1e-12)
    with pytest.raises(InputError, match="not cut at 7"):
        rows.means([0, 7])


def test_a_uniform_model_has_the_logarithm_of_its_vocabulary() -> None:
    for loss in position_losses(Uniform(), random_tokens(3, 300), chunk=64):
        assert loss.mean == pytest.approx(math.log(VOCABULARY), rel=1e-6)
        assert loss.perplexity == pytest.approx(VOCABULARY, rel=1e-6)
        assert loss.standard_error == pytest.approx(0, abs=1e-7)


def test_a_model_with_a_window_has_the_same_loss_on_a_constant_row_once_the_window_is_full() -> None:
    losses = position_losses(Window(3), torch.full((2, 129), 2), bins=1, chunk=10)
    full = [loss.mean for loss in losses if loss.start >= 3]
    assert full == pytest.approx([full[0]] * len(full))
    assert losses[0].mean != pytest.approx(full[0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_logits_are_normalised_in_single_precision(dtype: torch.dtype) -> None:
    class Low(Window):
        def forward(self, tokens: torch.Tensor, state=None) -> Output:
            logits, after = super().forward(tokens, state)
            return Output(logits.to(dtype), after)

    class Rounded(Low):
        def forward(self, tokens: torch.Tensor, state=None) -> Output:
            logits, after = super().forward(tokens, state)
            return Output(logits.double(), after)

    low, exact = (position_losses(kind(2), random_tokens(2, 65)) for kind in (Low, Rounded))
    assert [loss.mean for loss in low] == pytest.approx([loss.mean for loss in exact], rel=1e-6)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length() -> None:
    def peak(length: int) -> int:
        tokens = random_tokens(2, length + 1)
        with PeakMemory() as seen:
            position_losses(Window(2), tokens, bins=1, chunk=32)
        return seen.bytes

    # Eight more octaves are eight more sums a row, and as many means.
    assert peak(2**15) - peak(2**7) <= 8 * 2 * 3 * 8


@given(length=st.integers(1, 300_000), bins=st.integers(1, 16))
def test_log_edges_are_integers_with_every_power_of_two_and_equal_parts(length: int, bins: int) -> None:
    edges = log_edges(length, bins)
    assert edges[0] == 0
    assert edges[-1] == length
    assert all(left < right for left, right in pairwise(edges))
    assert {2**j for j in range(20) if 2**j <= length} <= set(edges)
    for octave in (2**j for j in range(8, 18) if 2 ** (j + 1) <= length):
        inside = [edge for edge in edges if octave <= edge <= 2 * octave]
        assert len(inside) == bins + 1
        assert [math.log2(edge / octave) for edge in inside] == pytest.approx(
            [i / bins for i in range(bins + 1)], abs=1 / octave
        )


@given(context=st.integers(2, 300), length=st.integers(3, 20_000))
def test_octaves_double_and_end_with_the_length(context: int, length: int) -> None:
    if length <= context:
        with pytest.raises(InputError, match=f"rows of {2 * context + 1} tokens"):
            octave_edges(length, context)
        return
    edges = octave_edges(length, context)
    assert edges[:2] == [context // 2, context]
    assert edges[-1] == length
    assert all(right == 2 * left for left, right in pairwise(edges[1:-1]))
    if len(edges) > 3:
        assert 1.5 * edges[-2] <= length < 3 * edges[-2]


@pytest.mark.parametrize("chunk", [1, 4, 64])
@pytest.mark.parametrize("burst", [1, 9, 20])
def test_a_loss_that_is_not_finite_names_its_position_and_the_layer(burst: int, chunk: int) -> None:
    for entry in ("layers.0.hidden", "layers.1.hidden"):
        with pytest.raises(RunError, match=rf"position {burst} is not finite: the entry '{entry}' of the state"):
            position_losses(Bursting(burst, entry), random_tokens(2, 21), chunk=chunk)


def test_a_loss_that_is_not_finite_by_itself_says_that_the_state_is_finite() -> None:
    class Certain(Uniform):
        def forward(self, tokens: torch.Tensor, state=None) -> Output:
            logits, after = super().forward(tokens, state)
            return Output(logits.index_fill(-1, torch.tensor([1]), -math.inf), after)

    with pytest.raises(RunError, match="position 2 is not finite: every entry of the state is finite"):
        position_losses(Certain(), torch.tensor([[1, 0, 1, 0]]))


def test_the_model_keeps_its_parameters_and_gets_no_gradient() -> None:
    model = Layered()
    position_losses(model, random_tokens(2, 9))
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model(random_tokens(2, 9)).logits.requires_grad


def test_bad_input_is_refused_with_what_would_be_right() -> None:
    class OfTheString(Uniform):
        def forward(self, tokens: torch.Tensor, state=None) -> Output:
            logits, after = super().forward(tokens, state)
            return Output(logits[:, -1], after)

    tokens = random_tokens(2, 9)
    with pytest.raises(InputError, match="at least 2 tokens"):
        position_losses(Uniform(), tokens[:, :1])
    with pytest.raises(InputError, match=r"\[rows, tokens\]"):
        position_losses(Uniform(), tokens[0])
    with pytest.raises(InputError, match=r"integers .* not torch.float32"):
        position_losses(Uniform(), tokens.float())
    with pytest.raises(InputError, match="chunk"):
        position_losses(Uniform(), tokens, chunk=0)
    with pytest.raises(InputError, match="1 row"):
        position_losses(Uniform(), tokens, batch_size=0)
    with pytest.raises(InputError, match="every token"):
        position_losses(OfTheString(), tokens)
    with pytest.raises(InputError, match="vocabulary of 5"):
        position_losses(Uniform(), tokens + 3)
    with pytest.raises(InputError, match=r"0\.\.8"):
        row_losses(Uniform(), tokens, [0, 9])
    with pytest.raises(InputError, match="at least 1"):
        log_edges(8, 0)
    with pytest.raises(InputError, match="at least 2"):
        octave_edges(8, 1)


def test_a_perplexity_beyond_the_largest_float_is_infinite() -> None:
    assert perplexity(1e4) == math.inf
    assert perplexity(700) == math.exp(700)


@pytest.mark.parametrize(("context", "length"), [(4, 32), (5, 33), (6, 31), (7, 7), (2, 9)])
@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_restarted_losses_read_every_symbol_at_the_end_of_a_window(context: int, length: int, batch_size: int) -> None:
    model, tokens = Layered(), random_tokens(3, length + 1)
    half = context // 2
    edges = [*range(half, length + 1)]
    found = restarted_losses(model, tokens, context, edges, batch_size=batch_size)
    begins = [*range(0, length - context, context - half), length - context]
    for row in range(3):
        expected: dict[int, float] = {}
        for begin in begins:
            window = tokens[row : row + 1, begin : begin + context + 1]
            losses_T = losses_position_by_position(model, window)[0]
            for place in range(half, context):
                expected.setdefault(begin + place + 1, losses_T[place])
        assert found.sums_BN[row].tolist() == pytest.approx(
            [expected[p] for p in range(half + 1, length + 1)], rel=1e-12
        )


def test_restarted_losses_of_a_model_with_a_short_window_are_those_of_reading_on() -> None:
    model, tokens = Window(3), random_tokens(4, 65)
    edges = octave_edges(64, 8)
    anew, carried = restarted_losses(model, tokens, 8, edges), row_losses(model, tokens, edges)
    assert torch.allclose(anew.sums_BN, carried.sums_BN, rtol=1e-10)
    found = verdict(carried.by_position(edges), 8, anew.by_position(edges))
    assert found.name == "holds"
    assert all(ratio.ratio == pytest.approx(1, abs=1e-9) for ratio in found.ratios)


def test_windows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="windows of 8 in rows of 5 positions"):
        restarted_losses(Uniform(), random_tokens(2, 6), 8, [4, 5])
    with pytest.raises(InputError, match="edges start at 4 or later, not 2"):
        restarted_losses(Uniform(), random_tokens(2, 33), 8, [2, 8])
