import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lengthwise.errors import InputError
from lengthwise.state import Kind, State

KINDS = {"conv": Kind.CONV, "position": Kind.POSITION}


def state(rows: int = 4) -> State:
    generator = torch.Generator().manual_seed(rows)
    return State(
        {
            "matrix": torch.randn(rows, 2, 3, generator=generator),
            "conv": torch.randn(rows, 5, generator=generator),
            "position": torch.arange(rows),
        },
        KINDS,
    )


def assert_equal(one: State, other: State) -> None:
    assert list(one) == list(other)
    assert dict(one.kinds) == dict(other.kinds)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_state_is_a_mapping_of_tensors_with_kinds() -> None:
    found = state()
    assert list(found) == ["matrix", "conv", "position"]
    assert len(found) == 3
    assert "conv" in found
    assert dict(found.kinds) == {"matrix": Kind.RECURRENT} | KINDS
    assert found.batch_size == 4
    assert found.numel() == 4 * (6 + 5 + 1)


def test_what_was_given_can_change_without_changing_the_state() -> None:
    tensors = {"a": torch.zeros(2)}
    made = State(tensors)
    tensors["b"] = torch.zeros(2)
    assert list(made) == ["a"]
    with pytest.raises(AttributeError):
        made.tensors = {}


def test_kinds_of_entries_that_are_not_there_are_refused() -> None:
    with pytest.raises(InputError, match="does not have: cache, conv"):
        State({"a": torch.zeros(2)}, {"conv": Kind.CONV, "cache": Kind.CACHE})


@given(order=st.permutations(range(4)), cut=st.integers(0, 4))
def test_rows_joined_again_are_the_state(order: list[int], cut: int) -> None:
    shuffled = state().rows(order)
    back = [order.index(row) for row in range(4)]
    assert_equal(shuffled.rows(torch.tensor(back)), state())
    assert_equal(State.concat([state().rows(slice(cut)), state().rows(slice(cut, None))]), state())


def test_a_map_touches_the_chosen_kinds_only() -> None:
    zeroed = state().map(torch.zeros_like, [Kind.RECURRENT, Kind.POSITION])
    assert not zeroed["matrix"].any()
    assert not zeroed["position"].any()
    assert torch.equal(zeroed["conv"], state()["conv"])
    assert dict(zeroed.kinds) == dict(state().kinds)
    assert not any(tensor.any() for tensor in state().map(torch.zeros_like).values())


def test_a_detached_state_has_the_values_without_the_history() -> None:
    grown = state().map(lambda t: t.requires_grad_() * 2, [Kind.RECURRENT])
    assert grown["matrix"].requires_grad
    assert not grown.detach()["matrix"].requires_grad
    assert_equal(grown.detach(), grown)


def test_a_dtype_is_for_floating_point_entries_only() -> None:
    moved = state().to(torch.float64, torch.device("cpu"))
    assert [moved[name].dtype for name in moved] == [torch.float64, torch.float64, torch.int64]
    assert_equal(moved.to(torch.float32), state())
    assert state().to("meta")["position"].device.type == "meta"


def test_states_that_do_not_fit_are_not_joined() -> None:
    with pytest.raises(InputError, match="matrix, conv, position against a"):
        State.concat([state(), State({"a": torch.zeros(4)})])
    with pytest.raises(InputError, match="no states"):
        State.concat([])


def test_a_state_without_entries_has_no_rows() -> None:
    with pytest.raises(InputError, match="no batch size"):
        _ = State({}).batch_size


@pytest.mark.parametrize("shape", [(2, 4, 3), (), (5,)])
def test_entries_without_the_batch_in_front_are_refused_by_name(shape: tuple[int, ...]) -> None:
    assert state().of_rows(4)["matrix"].shape[0] == 4
    with pytest.raises(InputError, match=r"entry 'h' of the state is .* for 4 rows: entries must have the batch first"):
        State({"matrix": torch.zeros(4, 1), "h": torch.zeros(shape)}).of_rows(4)
