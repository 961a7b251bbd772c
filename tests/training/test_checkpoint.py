import contextlib
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lengthwise.errors import InputError, RunError
from lengthwise.training.checkpoint import check_checkpoint, load_checkpoint, misfit, save_checkpoint

TENSORS = {"weight": torch.arange(6.0).reshape(2, 3), "step": torch.tensor(7), "none": torch.zeros(0, 4)}
VALUES = {"step": 7, "rng": {"state": 2**127 + 1, "half": None}, "rate": 0.1 + 0.2, "list": [1, 2.5, "x", True]}


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, TENSORS, VALUES)
    return path


def test_comes_back_bit_equal(saved: Path) -> None:
    tensors, values = load_checkpoint(saved)
    assert_same(tensors, TENSORS)
    assert values == VALUES
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


@pytest.mark.slow
@given(
    array=arrays.arrays(arrays.scalar_dtypes().filter(lambda d: d.kind in "fiu" and d.byteorder != ">"), (3, 2)),
    number=st.floats(allow_nan=False, allow_infinity=False),
)
def test_any_number_comes_back_bit_equal(
    tmp_path_factory: pytest.TempPathFactory, array: object, number: float
) -> None:
    path = tmp_path_factory.mktemp("any") / "checkpoint.safetensors"
    tensor = torch.from_numpy(array)
    save_checkpoint(path, {"x": tensor}, {"number": number})
    tensors, values = load_checkpoint(path)
    assert torch.equal(tensors["x"].view(torch.uint8), tensor.view(torch.uint8))
    assert str(values["number"]) == str(number)


def test_tensors_that_share_memory_are_kept_apart(tmp_path: Path) -> None:
    whole = torch.arange(8.0)
    save_checkpoint(tmp_path / "c", {"a": whole, "b": whole, "transposed": whole.reshape(2, 4).T}, {})
    assert_same(load_checkpoint(tmp_path / "c")[0], {"a": whole, "b": whole, "transposed": whole.reshape(2, 4).T})


def test_replacing_a_file_leaves_loaded_tensors_alone(saved: Path) -> None:
    tensors, _ = load_checkpoint(saved)
    save_checkpoint(saved, {name: tensor + 1 for name, tensor in TENSORS.items()}, {})
    assert_same(tensors, TENSORS)


@pytest.mark.slow
@given(fraction=st.floats(0, 1, exclude_max=True))
def test_truncated_anywhere(tmp_path_factory: pytest.TempPathFactory, fraction: float) -> None:
    path = tmp_path_factory.mktemp("truncated") / "checkpoint.safetensors"
    save_checkpoint(path, TENSORS, VALUES)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * fraction)])
    with pytest.raises(InputError, match=r"checkpoint\.safetensors.* truncated"):
        load_checkpoint(path)


@pytest.mark.slow
@given(data=st.data())
def test_no_flipped_bit_goes_unseen(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("flipped") / "checkpoint.safetensors"
    save_checkpoint(path, TENSORS, VALUES)
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    with contextlib.suppress(InputError):
        tensors, values = load_checkpoint(path)
        assert_same(tensors, TENSORS)
        assert values == VALUES


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no checkpoint .*nowhere"):
        load_checkpoint(tmp_path / "nowhere")


def test_a_foreign_safetensors_file(tmp_path: Path) -> None:
    safetensors.torch.save_file({"x": torch.ones(1)}, tmp_path / "foreign")
    with pytest.raises(InputError, match="not a checkpoint of lengthwise"):
        load_checkpoint(tmp_path / "foreign")


def test_values_that_json_cannot_hold_leave_the_old_file(saved: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        save_checkpoint(saved, TENSORS, {"loss": float("nan")})
    assert_same(load_checkpoint(saved)[0], TENSORS)


def test_a_full_disk_leaves_the_old_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=rf"{os.strerror(errno.ENOSPC)}; the previous one is intact"):
        save_checkpoint(saved, {"x": torch.ones(100_000)}, {})
    assert_same(load_checkpoint(saved)[0], TENSORS)
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_a_quick_look_tells_a_whole_file_from_a_cut_one(saved: Path) -> None:
    check_checkpoint(saved)
    os.truncate(saved, saved.stat().st_size - 1)
    with pytest.raises(InputError, match="truncated"):
        check_checkpoint(saved)
    with pytest.raises(InputError, match="no checkpoint"):
        check_checkpoint(saved.with_name("nothing"))


def test_the_first_tensor_that_does_not_fit_is_told() -> None:
    model = {"a": torch.ones(2), "b": torch.ones(3, 4)}
    assert misfit(model, {"b": torch.zeros(3, 4), "a": torch.zeros(2)}) == ""
    told = misfit(model, {"a": torch.ones(2), "b": torch.ones(4, 3)})
    assert told == "its tensor 'b' has the shape [4, 3], that of the model [3, 4]"
    assert misfit(model, {"a": torch.ones(2)}) == "it has no tensor 'b'"
    assert misfit(model, {**model, "c": torch.ones(1)}) == "the model has no tensor 'c'"


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from lengthwise import files
from lengthwise.training import checkpoint

def die(*arguments):
    if point == "torn":
        os.ftruncate(arguments[0], os.fstat(arguments[0]).st_size // 2)
    os.kill(os.getpid(), signal.SIGKILL)

path, point = Path(sys.argv[1]), sys.argv[2]
match point:
    case "torn" | "written":
        files.os.fsync = die
    case "named":
        files._sync = die
checkpoint.save_checkpoint(path, {"x": torch.full((5000,), 2.0)}, {"step": 2})
"""


@pytest.mark.slow
@pytest.mark.parametrize(("point", "step"), [("torn", 1), ("written", 1), ("named", 2)])
def test_killed_in_the_middle_of_a_write(tmp_path: Path, point: str, step: int) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, {"x": torch.full((5000,), 1.0)}, {"step": 1})
    ended = subprocess.run([sys.executable, "-c", KILLED, str(path), point], check=False)
    assert ended.returncode == -signal.SIGKILL
    tensors, values = load_checkpoint(path)
    assert values == {"step": step}
    assert torch.equal(tensors["x"], torch.full((5000,), float(step)))
    save_checkpoint(path, {"x": torch.full((5000,), 3.0)}, {"step": 3})
    assert load_checkpoint(path)[1] == {"step": 3}
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
