import json
import os
import socket
from pathlib import Path

import pytest
from traps import Trap, device, fifo, link

from lengthwise.errors import InputError, StoppedError
from lengthwise.files import (
    append,
    move_into_place,
    read_bytes,
    read_object,
    read_rows,
    read_text,
    refuse_irregular,
    write_atomically,
)


def hard_link(path: Path, target: Path) -> None:
    path.hardlink_to(target)


def listening(path: Path, target: Path) -> None:
    del target
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


def folder(path: Path, target: Path) -> None:
    del target
    path.mkdir()


def test_a_system_that_opens_no_folders_and_syncs_only_what_it_may_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, writable = os.open, dict[int, bool]()

    def open_like_windows(path: Path, flags: int, mode: int = 0o777) -> int:
        if Path(path).is_dir():
            raise PermissionError(13, "Permission denied", str(path))
        descriptor = opened(path, flags, mode)
        writable[descriptor] = bool(flags & (os.O_WRONLY | os.O_RDWR))
        return descriptor

    def sync_like_windows(descriptor: int) -> None:
        assert writable[descriptor], "a file that was opened for reading cannot be synced"

    monkeypatch.setattr("lengthwise.files._WINDOWS", True)
    monkeypatch.setattr(os, "open", open_like_windows)
    monkeypatch.setattr(os, "fsync", sync_like_windows)
    write_atomically(tmp_path / "file", b"contents", "file")
    made = tmp_path / "made"
    made.mkdir()
    write_atomically(made / "inside", b"more", "file")
    move_into_place(made, tmp_path / "named")
    assert [path.read_bytes() for path in (tmp_path / "file", tmp_path / "named/inside")] == [b"contents", b"more"]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "target"
    path.write_text("precious")
    return path


@pytest.mark.parametrize("trap", [link, hard_link, fifo, device, listening])
@pytest.mark.parametrize("place", ["file", ".file.partial"])
def test_nothing_is_written_through_what_lies_in_its_place(
    trap: Trap, place: str, target: Path, tmp_path: Path
) -> None:
    trap(tmp_path / place, target)
    write_atomically(tmp_path / "file", b"new", "file")
    assert target.read_text(encoding="utf-8") == "precious"
    assert (tmp_path / "file").is_file()
    assert not (tmp_path / "file").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"


@pytest.mark.parametrize("trap", [link, fifo, device, listening, folder])
def test_nothing_is_appended_to_and_nothing_read_from_what_is_no_file(trap: Trap, target: Path, tmp_path: Path) -> None:
    path = tmp_path / "file"
    trap(path, target)
    with pytest.raises((InputError, StoppedError), match=str(path)):
        append(path, "line\n")
    for read in (read_bytes, read_text, read_object):
        with pytest.raises(InputError, match=str(path)):
            read(path, "file")
    with pytest.raises(InputError, match=str(path)):
        read_rows(path)
    with pytest.raises(InputError, match="not a regular file"):
        refuse_irregular(path)
    assert target.read_text(encoding="utf-8") == "precious"


def test_a_file_that_the_user_names_may_be_a_link_but_neither_a_fifo_nor_a_device(target: Path, tmp_path: Path) -> None:
    for name, trap in (("link", link), ("fifo", fifo), ("device", device), ("folder", folder)):
        trap(tmp_path / name, target)
    assert read_text(tmp_path / "link", "file", given=True) == "precious"
    refuse_irregular(tmp_path / "link", given=True)
    for name in ("fifo", "device", "folder"):
        with pytest.raises(InputError, match=f"{name} is a {name}, and not a regular file"):
            read_text(tmp_path / name, "file", given=True)
        with pytest.raises(InputError, match="not a regular file"):
            refuse_irregular(tmp_path / name, given=True)


def test_no_more_is_read_than_fits(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(InputError, match=r"large: it has 1,099,511,627,776 bytes"):
        read_bytes(tmp_path / "large", "file")
    (tmp_path / "small").write_bytes(b"four")
    assert read_bytes(tmp_path / "small", "file", most=4) == b"four"
    with pytest.raises(InputError, match="4 bytes, and 3 are the most"):
        read_bytes(tmp_path / "small", "file", most=3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is not JSON"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "'c' is given twice"),
        (b"[1]", "is not a JSON object"),
        (b"[" * 200_000, "is not JSON"),
        (b'{"a": "\xff"}', "is not UTF-8: byte 7 is 0xff"),
    ],
)
def test_a_damaged_object_is_told(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_object(tmp_path / "file", "file")


def test_rows_are_objects(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_text('{"a": 1}\n[1]\n{"a": 2}\n{"a"')
    assert read_rows(path, whole=False) == [{"a": 1}, {"a": 2}]
    with pytest.raises(InputError, match="line 2: not a JSON object"):
        read_rows(path)
    assert read_rows(tmp_path / "nothing") == []


def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **settings: object) -> None:
        raise OSError(28, "No space left on device")

    old = tmp_path / "old"
    old.write_text(json.dumps({"a": 1}))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoppedError, match=r"cannot write the file .*old: No space left on device; the previous one"):
        write_atomically(old, b"new", "file")
    with pytest.raises(StoppedError, match=r"new: No space left on device; there was none before"):
        write_atomically(tmp_path / "new", b"new", "file")
    with pytest.raises(StoppedError, match="No space left"):
        append(tmp_path / "rows", "line\n", to_disk=True)
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert read_object(old, "file") == {"a": 1}
