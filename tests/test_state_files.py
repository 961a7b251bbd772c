import os
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn
from traps import Trap, device, fifo, link

from lengthwise.errors import InputError, StoppedError
from lengthwise.state import Kind, State
from lengthwise.tensor_file import TensorFile
from lengthwise.training.checkpoint import save_checkpoint


def of_every_kind() -> State:
    return State(
        {
            "matrix": torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)).transpose(1, 2),
            "half": torch.full((2, 1), 1 / 3, dtype=torch.bfloat16),
            "phase": torch.ones(2, 2, dtype=torch.complex64) * 1j,
            "lowest": torch.full((2, 1), float("-inf")),
            "position": torch.tensor([7, 2**40]),
            "keys": torch.zeros(2, 1, 0, 4),
        },
        {"half": Kind.CONV, "position": Kind.POSITION, "keys": Kind.CACHE},
    )


def assert_equal(one: State, other: State) -> None:
    assert dict(one.kinds) == dict(other.kinds)
    assert all(one[name].dtype == other[name].dtype and torch.equal(one[name], other[name]) for name in other)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "prefix.safetensors"


def test_a_state_comes_back_bit_equal_with_its_kinds(path: Path) -> None:
    for state in (of_every_kind(), State({})):
        state.save(path)
        assert_equal(State.load(path), state)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_any_reader_of_safetensors_finds_the_entries(path: Path) -> None:
    of_every_kind().save(str(path))
    assert torch.equal(safetensors.torch.load_file(path)["matrix"], of_every_kind()["matrix"])


def test_a_state_goes_on_with_the_model_that_made_it_alone(path: Path) -> None:
    model, state = nn.Linear(2, 3), of_every_kind()
    state.save(path, model)
    again = nn.Linear(2, 3)
    again.load_state_dict(model.state_dict())
    assert_equal(State.load(path, again), state)
    with torch.no_grad():
        again.bias[0] += 1e-6
    named = nn.Sequential(model)
    for other in (again, nn.Linear(2, 3), model.double(), named):
        with pytest.raises(InputError, match=r"prefix.safetensors is of another model: its fingerprint is \w{16}, and"):
            State.load(path, other)
    assert_equal(State.load(path), state)


def test_buffers_count_too(path: Path) -> None:
    model = nn.BatchNorm1d(2)
    State({"h": torch.zeros(1)}).save(path, model)
    model.get_buffer("running_mean").add_(1)
    with pytest.raises(InputError, match="of another model"):
        State.load(path, model)


def test_a_state_of_nobody_knows_which_model_is_no_models(path: Path) -> None:
    of_every_kind().save(path)
    with pytest.raises(InputError, match=r"does not say of which model it is: state.save\(path, model\) writes it"):
        State.load(path, nn.Linear(1, 1))


@pytest.mark.parametrize("size", [0, 5, 100, -1])
def test_a_file_cut_short_is_refused_by_name(path: Path, size: int) -> None:
    of_every_kind().save(path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InputError, match=r"state .*prefix.safetensors is truncated, corrupt or not a state"):
        State.load(path)


def test_every_changed_byte_is_seen(path: Path) -> None:
    State({"h": torch.arange(3.0)[None]}, {"h": Kind.CONV}).save(path)
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(InputError, match=r"prefix\.safetensors"):
            State.load(path)


def test_what_is_something_else_is_refused_by_name(path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no state .*prefix.safetensors"):
        State.load(path)
    safetensors.torch.save_file({"h": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="a safetensors file, but not a state of lengthwise"):
        State.load(path)
    save_checkpoint(path, {"h": torch.zeros(1)}, {})
    with pytest.raises(InputError, match="a safetensors file, but not a state of lengthwise"):
        State.load(path)


H = {"h": torch.zeros(2, 1)}


@pytest.mark.parametrize(
    ("tensors", "values"),
    [
        (H, {}),
        (H, {"kinds": ["recurrent"]}),
        (H, {"kinds": {}}),
        (H, {"kinds": {"h": "recurrent", "c": "conv"}}),
        (H, {"kinds": {"h": "memory"}}),
        (H, {"kinds": {"h": None}}),
        (H | {"c": torch.zeros(3, 1)}, {"kinds": {"h": "recurrent", "c": "recurrent"}}),
        ({"h": torch.tensor(1.0)}, {"kinds": {"h": "recurrent"}}),
    ],
)
def test_contents_that_are_no_state_are_refused_by_name(path: Path, tensors: Any, values: Any) -> None:
    TensorFile("state", "lengthwise-state-1").save(path, tensors, values)
    told = r"(its entries need a kind each, and the same number of rows|'\w+' is no kind of entry)"
    with pytest.raises(InputError, match=rf"state .*prefix\.safetensors is corrupt: {told}"):
        State.load(path)


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "{", ""])
def test_values_that_are_no_object_are_refused_by_name(path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    def written(values: object, **options: object) -> str:
        del values, options
        return text

    with monkeypatch.context() as changed:
        changed.setattr("lengthwise.tensor_file.json.dumps", written)
        State({}).save(path)
    with pytest.raises(InputError, match=r"prefix\.safetensors is corrupt: its values are not"):
        State.load(path)


def test_a_file_that_is_too_large_is_refused_before_it_is_read(path: Path) -> None:
    of_every_kind().save(path)
    with pytest.raises(InputError, match=r"it has [\d,]+ bytes, and 100 are the most"):
        State.load(path, most=100)
    os.truncate(path, 2**40)
    with pytest.raises(InputError, match=r"it has 1,099,511,627,776 bytes, and 1,073,741,824 are the most"):
        State.load(path)


@pytest.mark.parametrize("trap", [link, fifo, device])
def test_nothing_is_read_or_written_through_what_is_no_file(path: Path, trap: Trap) -> None:
    elsewhere = path.with_name("elsewhere")
    State(H).save(elsewhere)
    before = elsewhere.read_bytes()
    trap(path, elsewhere)
    with pytest.raises(InputError, match="and not a regular file"):
        State.load(path)
    State(H | {"c": torch.zeros(2)}).save(path)
    assert elsewhere.read_bytes() == before
    assert set(State.load(path)) == {"h", "c"}


def test_a_place_that_cannot_be_written_is_told(path: Path) -> None:
    with pytest.raises(StoppedError, match=r"cannot write the state .*nowhere"):
        State(H).save(path.parent / "nowhere" / "state")


def test_requests_that_share_a_prefix_have_memory_of_their_own() -> None:
    state = of_every_kind()
    before = state.map(torch.clone)
    forked = state.fork(3, row=1)
    for copy in range(3):
        assert_equal(forked.rows([copy]), state.rows([1]))
    forked["matrix"][0] += 1
    assert_equal(state, before)
    assert_equal(forked.rows([1, 2]), state.fork(2, row=1))


@pytest.mark.parametrize(("copies", "row"), [(0, 0), (1, 2), (1, -1)])
def test_a_row_that_is_not_there_is_not_copied(copies: int, row: int) -> None:
    with pytest.raises(InputError, match=f"2 rows has no {copies} copies of row {row}"):
        of_every_kind().fork(copies, row)


def test_entries_that_have_grown_apart_are_not_joined() -> None:
    one, other = (State({"keys": torch.zeros(1, 4, length, 2)}) for length in (3, 5))
    with pytest.raises(InputError, match=r"entry 'keys' is \[1, 4, 3, 2\] and \[1, 4, 5, 2\] cannot be joined"):
        State.concat([one, other])
