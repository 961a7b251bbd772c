"""Every statistical bound is five standard errors: a false alarm once in 1.7 million comparisons, under 1e-3 in all."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from models_for_interventions import Shifted, final, generator, tokens
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lengthwise.errors import InputError
from lengthwise.interventions.passing import Passing, StatePassingConfig, TBPTTConfig
from lengthwise.state import State

NEVER = {"zero_probability": 0.0}


def after(passing: Passing, model: Shifted, seen: State) -> Passing:
    """Let an intervention see a final state."""
    passing.begin(model, seen.batch_size, generator())
    passing.observe(seen)
    return passing


def sources(state: State, seen: State) -> list[int]:
    """Return from which row of a final state each row comes, whole in all recurrent entries."""
    same = [(state[n].flatten(1)[:, None] == seen[n].flatten(1)[None]).all(-1) for n in ("heads", "hidden")]
    assert torch.equal(same[0], same[1])
    assert same[0].sum(1).tolist() == [1] * state.batch_size
    return same[0].long().argmax(1).tolist()


@pytest.mark.slow
@given(rows=st.integers(2, 12), seed=st.integers(0, 999))
def test_every_row_gets_the_state_of_another_row_and_none_is_lost(rows: int, seed: int) -> None:
    model = Shifted()
    seen = final(model, rows)
    found = sources(after(StatePassingConfig(**NEVER).build(), model, seen).begin(model, rows, generator(seed)), seen)
    assert sorted(found) == list(range(rows))
    assert all(source != row for row, source in enumerate(found))


@pytest.mark.slow
def test_every_other_row_is_equally_likely() -> None:
    rows, draws, rng = 5, 4000, generator(1)
    model = Shifted()
    seen = final(model, rows)
    passing = after(StatePassingConfig(**NEVER).build(), model, seen)
    counts = torch.zeros(rows, rows)
    for _ in range(draws):
        counts[torch.arange(rows), sources(passing.begin(model, rows, rng), seen)] += 1
    error = 5 * math.sqrt(0.25 * 0.75 / draws)
    assert (counts / draws - (1 - torch.eye(rows)) / 4).abs().max() < error


@given(rows=st.integers(1, 8), batch_size=st.integers(1, 12), seed=st.integers(0, 99))
def test_a_batch_of_another_size_draws_rows_anew(rows: int, batch_size: int, seed: int) -> None:
    model = Shifted()
    seen = final(model, rows)
    passing = after(StatePassingConfig(**NEVER).build(), model, seen)
    found = sources(passing.begin(model, batch_size, generator(seed)), seen)
    assert len(found) == batch_size
    assert rows == 1 or all(source != row for row, source in enumerate(found))


def test_states_can_be_passed_as_they_come() -> None:
    model = Shifted()
    seen = final(model, 3)
    passing = after(StatePassingConfig(permute=False, **NEVER).build(), model, seen)
    found = [sources(passing.begin(model, size, generator()), seen) for size in (3, 2, 7)]
    assert found == [[0, 1, 2], [0, 1], [0, 1, 2, 0, 1, 2, 0]]


@pytest.mark.parametrize("config", [StatePassingConfig, TBPTTConfig])
@pytest.mark.parametrize("conv_states", [None, False, True])
def test_conv_states_are_reset_or_carried_with_their_row_and_positions_always_reset(
    config: type[StatePassingConfig] | type[TBPTTConfig], conv_states: bool | None
) -> None:
    model = Shifted()
    seen = final(model, 4)
    choices = NEVER if conv_states is None else NEVER | {"conv_states": conv_states}
    state = after(config(**choices).build(), model, seen).begin(model, 4, generator())
    carried = config is TBPTTConfig if conv_states is None else conv_states
    expected = seen["shift"][sources(state, seen)] if carried else torch.zeros(4, 6, dtype=torch.float64)
    assert torch.equal(state["shift"], expected)
    assert state["position"].tolist() == [0] * 4


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (StatePassingConfig(conv_states=True), 0.1),
        (StatePassingConfig(conv_states=True, zero_probability=0.3), 0.3),
        (TBPTTConfig(zero_probability=0.3), 0.3),
    ],
    ids=["default", "state passing", "tbptt"],
)
def test_rows_start_from_the_initial_state_by_chance(config: StatePassingConfig | TBPTTConfig, expected: float) -> None:
    rows, model = 5000, Shifted()
    passing = after(config.build(), model, final(model, rows))
    state = passing.begin(model, rows, generator(1))
    fresh = ~state["heads"].flatten(1).any(1)
    for name in ("hidden", "shift"):
        assert torch.equal(~state[name].any(1), fresh)
    assert fresh.double().mean().item() == pytest.approx(expected, abs=5 * math.sqrt(expected * (1 - expected) / rows))


@pytest.mark.parametrize("config", [StatePassingConfig, TBPTTConfig])
@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_certain_chances(config: type[StatePassingConfig] | type[TBPTTConfig], chance: float) -> None:
    model = Shifted()
    state = after(config(zero_probability=chance).build(), model, final(model, 50)).begin(model, 50, generator())
    assert state["heads"].flatten(1).any(1).tolist() == [chance == 0] * 50


@pytest.mark.parametrize("config", [StatePassingConfig, TBPTTConfig])
@pytest.mark.parametrize(("share", "always"), [(0.0, 0), (0.25, 2), (0.5, 4), (1.0, 8)])
def test_a_share_of_the_rows_always_starts_from_the_initial_state(
    config: type[StatePassingConfig] | type[TBPTTConfig], share: float, always: int
) -> None:
    model = Shifted()
    seen = final(model, 8)
    passing = after(config(zero_share=share, **NEVER).build(), model, seen)
    for seed in range(5):
        state = passing.begin(model, 8, generator(seed))
        assert not state["hidden"][:always].any()
        assert not state["heads"][:always].any()
        carried = sources(state.rows(slice(always, None)), seen) if always < 8 else []
        # What rows that always start anew end with is passed to nobody, so the others' states grow old.
        assert sorted(carried) == list(range(always, 8))


@pytest.mark.parametrize("config", [StatePassingConfig, TBPTTConfig])
@pytest.mark.parametrize("rows", [2, 3, 5])
def test_a_small_batch_keeps_a_row_that_passes_its_state(
    config: type[StatePassingConfig] | type[TBPTTConfig], rows: int
) -> None:
    model = Shifted()
    seen = final(model, rows)
    passing = after(config(zero_share=0.95, **NEVER).build(), model, seen)
    assert passing.always_initial(rows) == rows - 1
    assert sources(passing.begin(model, rows, generator()).rows(slice(rows - 1, None)), seen) == [rows - 1]


@pytest.mark.parametrize("config", [StatePassingConfig, TBPTTConfig])
def test_of_a_row_alone_the_share_is_a_chance(config: type[StatePassingConfig] | type[TBPTTConfig]) -> None:
    model, rng, steps = Shifted(), generator(), 400
    passing = after(config(zero_share=0.7, **NEVER).build(), model, final(model, 1))
    fresh = sum(not passing.begin(model, 1, rng)["hidden"].any() for _ in range(steps)) / steps
    assert fresh == pytest.approx(0.7, abs=5 * math.sqrt(0.7 * 0.3 / steps))


def test_begun_rows_of_a_new_sequence_do_not_matter_to_state_passing() -> None:
    model = Shifted()
    passing = after(StatePassingConfig().build(), model, final(model, 6))
    plain, told = (passing.begin(model, 6, generator(), fresh) for fresh in (None, torch.ones(6, dtype=torch.bool)))
    assert all(torch.equal(told[name], entry) for name, entry in plain.items())


def loss(logits: Tensor, read: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), read[:, 1:].flatten())


def gradients(model: Shifted, value: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(value, list(model.parameters())))


@pytest.mark.parametrize("config", [StatePassingConfig, TBPTTConfig])
def test_no_gradient_reaches_the_batch_before(config: type[StatePassingConfig] | type[TBPTTConfig]) -> None:
    model, passing = Shifted(), config().build()
    tensor = passing.begin(model, 4, generator())["heads"].requires_grad_()
    state = State({**model.initial_state(4), "heads": tensor}, model.initial_state(4).kinds)
    _, before = model(tokens(4, 6), state)
    passing.observe(before)
    logits, _ = model(tokens(4, 6, 1)[:, :-1], passing.begin(model, 4, generator()))
    loss(logits, tokens(4, 6, 1)).backward()
    assert tensor.grad is None
    assert model.embedding.weight.grad is not None


def test_a_memory_is_not_changed_by_what_becomes_of_the_final_state() -> None:
    model = Shifted()
    seen = final(model, 3)
    passing = after(TBPTTConfig().build(), model, seen)
    expected = seen["heads"].clone()
    seen["heads"].zero_()
    assert torch.equal(passing.begin(model, 3, generator())["heads"], expected)


@pytest.mark.parametrize("cuts", [(8,), (1,), (3, 7, 8), (15,)])
def test_tbptt_is_the_whole_sequence_with_the_gradient_stopped_at_the_cuts(cuts: tuple[int, ...]) -> None:
    model, tbptt, read = Shifted(), TBPTTConfig().build(), tokens(4, 16)
    whole, state = model(read).logits, model.initial_state(4)
    rng = generator()
    for piece, expected in zip(read.tensor_split(cuts, 1), whole.tensor_split(cuts, 1), strict=True):
        logits, final_state = model(piece, tbptt.begin(model, 4, rng))
        tbptt.observe(final_state)
        torch.testing.assert_close(logits, expected, rtol=1e-12, atol=1e-12)
        cut_logits, state = model(piece, state.detach())
        found, wanted = (gradients(model, values.cos().sum()) for values in (logits, cut_logits))
        for gradient, cut_gradient in zip(found, wanted, strict=True):
            torch.testing.assert_close(gradient, cut_gradient, rtol=1e-12, atol=1e-12)


def test_rows_that_begin_a_new_sequence_are_read_as_if_alone() -> None:
    model, tbptt, read = Shifted(), TBPTTConfig().build(), tokens(4, 16)
    fresh = torch.tensor([True, False, False, True])
    tbptt.observe(model(read[:, :8], tbptt.begin(model, 4, generator(), torch.ones(4, dtype=torch.bool))).state)
    logits = model(read[:, 8:], tbptt.begin(model, 4, generator(), fresh)).logits
    torch.testing.assert_close(logits[fresh], model(read[fresh, 8:]).logits, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(logits[~fresh], model(read[~fresh]).logits[:, 8:], rtol=1e-12, atol=1e-12)


def test_tbptt_needs_the_same_rows() -> None:
    model = Shifted()
    tbptt = after(TBPTTConfig().build(), model, final(model, 4))
    with pytest.raises(InputError, match="4 rows cannot go on as 3; keep the batch size, or use 'state_passing'"):
        tbptt.begin(model, 3, generator())


@pytest.mark.parametrize("fresh", [torch.ones(3, dtype=torch.bool), torch.ones(4), torch.ones(4, 1, dtype=torch.bool)])
def test_a_mark_for_each_row_is_needed(fresh: Tensor) -> None:
    model = Shifted()
    tbptt = after(TBPTTConfig().build(), model, final(model, 4))
    with pytest.raises(InputError, match="fresh_B must be 4 booleans"):
        tbptt.begin(model, 4, generator(), fresh)
