"""Saving a checkpoint: the folder that it came from once more, with other bytes where its weights are."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open
from torch import Tensor

from lengthwise.errors import InputError, StoppedError
from lengthwise.files import move_into_place
from lengthwise.pretrained.contents import PICKLED, headers, read_pickle
from lengthwise.pretrained.folder import FLOATS, Stored, stored_tensors

if TYPE_CHECKING:
    from lengthwise.pretrained.formats import Format
    from lengthwise.pretrained.model import PretrainedModel

_NOT_OF_IT = {".git", ".cache"}
"""What tools keep beside a checkpoint: its history, and where a download stands."""
_OTHER_FORMATS = (
    *("pytorch_model*.bin", "consolidated*", "*.pth", "*.ckpt", "*.gguf", "*.onnx", "*.h5", "*.msgpack"),
    *("model*.bin", "model*.pt"),
)
"""Weights in formats that are not read, which would come back untrained."""


class Source:
    """A checkpoint as what another one is written from.

    Args:
        checkpoint: it.

    Raises:
        InputError: something beside it cannot be given back as it is.
    """

    def __init__(self, checkpoint: Format) -> None:
        self.checkpoint, self.folder = checkpoint, checkpoint.contents.folder
        files = checkpoint.files
        self.tensors = [stored for file in files for stored in headers(file)]
        # A file by itself is all of its checkpoint, whatever lies beside it.
        alone = checkpoint.path.is_file()
        self.files = [Path(checkpoint.path.name)] if alone else list(_files(self.folder))
        names = {stored.name for stored in self.tensors}
        others = [] if alone else [file for file in sorted(self.folder.glob("*.safetensors")) if file not in files]
        again = [file.name for file in others if names & {stored.name for stored in stored_tensors([file])}]
        if not alone:
            found = [file for pattern in _OTHER_FORMATS for file in sorted(self.folder.glob(pattern))]
            again += [file.name for file in found if file not in files]
        if again:
            raise InputError(
                f"{self.folder} holds the same weights a second time ({', '.join(dict.fromkeys(again))}), which would "
                "come back untrained; copy the checkpoint without them"
            )

    def unread(self, model: PretrainedModel) -> list[str]:
        """Return the tensors that a model does not read, once all others were seen to go back as they came.

        Args:
            model: as it was loaded.

        Raises:
            InputError: a tensor that it reads would not go back as it is.
        """
        weights = self.checkpoint.named(model)
        for file, stored_in_file in self._by_file():
            there = _tensors(file)
            for stored in stored_in_file:
                if stored.name in weights and not torch.equal(
                    _bytes(there(stored.name)), _as_stored(weights[stored.name], stored)
                ):
                    raise InputError(
                        f"{stored.file} holds {stored.name} with other values than the model reads, so that it "
                        "cannot be given back as it is"
                    )
        return [stored.name for stored in self.tensors if stored.name not in weights]

    def write(self, model: PretrainedModel, out: Path, place: Callable[[Path], Path] = lambda file: file) -> None:
        """Copy all files, with the weights of a model in the places of those that it was loaded with.

        Args:
            model: it.
            out: a folder that exists.
            place: where in it a file of the source goes.
        """
        weights = self.checkpoint.named(model)
        for file in self.files:
            self._copy(file, out / place(file))
        for file, stored_in_file in self._by_file():
            changed = [(each, _as_stored(weights[each.name], each)) for each in stored_in_file if each.name in weights]
            (_write_pickle if file.suffix in PICKLED else _write_bytes)(out / file.name, changed)

    def _by_file(self) -> Iterator[tuple[Path, list[Stored]]]:
        for file in dict.fromkeys(stored.file for stored in self.tensors):
            yield file, [stored for stored in self.tensors if stored.file == file]

    def _copy(self, file: Path, target: Path) -> None:
        """Copy a file; links within the folder stay such, others are the file that they stand for."""
        source, root = self.folder / file, self.folder.resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        if source.is_symlink() and source.resolve().is_relative_to(root):
            target.symlink_to(os.path.relpath(source.resolve(), source.parent.resolve()))
            return
        shutil.copyfile(source, target)
        # What a cache makes read-only is to be written here.
        target.chmod(source.stat().st_mode | 0o600)


@contextmanager
def new_folder(out: Path) -> Generator[Path]:
    """Give a folder to fill, which takes its name once that went well; a folder that is there must be empty.

    Raises:
        InputError: there is something already.
        StoppedError: it cannot be written; nothing of it is left.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(f"{out} exists already; give a new folder")
    partial = out.resolve().with_name(f".{out.resolve().name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        move_into_place(partial, out)
    except OSError as error:
        raise StoppedError(f"cannot write {out}: {error.strerror or error}; nothing of it is left") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files of a checkpoint, by their paths in it."""
    root = folder.resolve()
    # The layout of the cache of Hugging Face, whose snapshots link to their files.
    allowed = [root, *([root.parent.parent / "blobs"] if root.parent.name == "snapshots" else [])]
    for here, folders, names in os.walk(root):
        linked = [name for name in folders if Path(here, name).is_symlink()]
        if Path(here) == root:
            folders[:] = [name for name in folders if name not in _NOT_OF_IT]
        for file in sorted(Path(here, name) for name in [*names, *linked]):
            target = Path(os.path.realpath(file))
            if not any(target.is_relative_to(each) for each in allowed):
                raise InputError(f"{file} is a link to {target}, outside of the checkpoint; put a copy in its place")
            if not (target.is_file() or (target.is_dir() and file.is_symlink())):
                raise InputError(f"{file} is {'a link to nothing' if file.is_symlink() else 'no ordinary file'}")
            yield file.relative_to(root)


def _tensors(file: Path) -> Callable[[str], Tensor]:
    """Return what gives the tensors in a file by their names."""
    if file.suffix in PICKLED:
        return read_pickle(file, on_disk=True).__getitem__
    return safe_open(file, framework="pt").get_tensor


def _write_bytes(file: Path, changed: Sequence[tuple[Stored, Tensor]]) -> None:
    """Put bytes in their places in a file of safetensors."""
    with file.open("r+b") as written:
        for stored, data in changed:
            written.seek(stored.begin)
            written.write(data.numpy().data)


def _write_pickle(file: Path, changed: Sequence[tuple[Stored, Tensor]]) -> None:
    """Write a pickle again with other values; one whose values are as they were stays byte for byte."""
    held, same = read_pickle(file), True
    for stored, data in changed:
        if not torch.equal(_bytes(held[stored.name]), data):
            same = False
            # In place: tensors that share their numbers do so afterwards, and the order of names stays.
            held[stored.name].copy_(data.view(held[stored.name].dtype).view(held[stored.name].shape))
    if not same:
        torch.save(held, file)


def _as_stored(weight: Tensor, stored: Stored) -> Tensor:
    """Return the bytes of a weight as its file holds it."""
    if stored.dtype not in FLOATS or stored.dtype == "F64" or list(weight.shape) != stored.shape:
        raise InputError(
            f"{stored.file} holds {stored.name} as {stored.dtype} {stored.shape}, and trained it would be "
            f"{str(weight.dtype).removeprefix('torch.')} {list(weight.shape)}; give a checkpoint in 16 or 32 bits that "
            "is not quantised"
        )
    return _bytes(weight.detach().cpu().to(getattr(torch, FLOATS[stored.dtype])))


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)
