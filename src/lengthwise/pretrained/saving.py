"""Saving a checkpoint: the folder that it came from once more, with other bytes where its weights are."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open
from torch import Tensor

from lengthwise.errors import InputError, StoppedError, reason_of
from lengthwise.files import move_into_place
from lengthwise.pretrained.folder import FLOATS, Stored, read_settings, stored_tensors, weight_files

if TYPE_CHECKING:
    from lengthwise.pretrained.adapter import HuggingFaceModel

_NOT_OF_IT = {".git", ".cache"}
"""What tools keep beside a checkpoint: its history, and where a download stands."""
_OTHER_FORMATS = (
    *("pytorch_model*.bin", "consolidated*", "*.pth", "*.ckpt", "*.gguf", "*.onnx", "*.h5", "*.msgpack"),
    *("model*.bin", "model*.pt"),
)
"""Weights in formats that are not read, which would come back untrained."""


class Source:
    """The folder of a checkpoint as what another one is written from.

    Args:
        folder: it.

    Raises:
        InputError: something in it cannot be given back as it is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        files = weight_files(folder, read_settings(folder / "config.json"))
        self.tensors = list(stored_tensors(files))
        self.files = list(_files(folder))
        names = {stored.name for stored in self.tensors}
        others = [file for file in sorted(folder.glob("*.safetensors")) if file not in files]
        again = [file.name for file in others if names & {stored.name for stored in stored_tensors([file])}]
        again += [file.name for pattern in _OTHER_FORMATS for file in sorted(folder.glob(pattern))]
        if again:
            raise InputError(
                f"{folder} holds the same weights a second time ({', '.join(dict.fromkeys(again))}), which would come "
                "back untrained; copy the checkpoint without them"
            )

    def unread(self, model: HuggingFaceModel) -> list[str]:
        """Return the tensors that a model does not read, once all others were seen to go back as they came.

        Args:
            model: as it was loaded.

        Raises:
            InputError: a tensor that it reads would not go back as it is.
        """
        weights = self._by_name(model)
        for stored in self.tensors:
            if stored.name in weights:
                with safe_open(stored.file, framework="pt") as file:
                    there = _bytes(file.get_tensor(stored.name))
                if not torch.equal(there, _as_stored(weights[stored.name], stored)):
                    raise InputError(
                        f"{stored.file} holds {stored.name} with other values than transformers reads, so that it "
                        "cannot be given back as it is"
                    )
        return [stored.name for stored in self.tensors if stored.name not in weights]

    def write(self, model: HuggingFaceModel, out: Path, place: Callable[[Path], Path] = lambda file: file) -> None:
        """Copy all files, with the weights of a model in the places of those that it was loaded with.

        Args:
            model: it.
            out: a folder that exists.
            place: where in it a file of the source goes.
        """
        weights = self._by_name(model)
        for file in self.files:
            self._copy(file, out / place(file))
        for stored in self.tensors:
            if stored.name in weights:
                with (out / stored.file.name).open("r+b") as written:
                    written.seek(stored.begin)
                    written.write(_as_stored(weights[stored.name], stored).numpy().data)

    def _by_name(self, model: HuggingFaceModel) -> dict[str, Tensor]:
        """Return the floating-point weights of a model by their names in the folder."""
        from transformers.core_model_loading import revert_weight_conversion

        weights = {name.removeprefix("model."): weight for name, weight in model.state_dict().items()}
        try:
            named = revert_weight_conversion(model.model, weights)
        # Conversions of any architecture, of which some cannot be reverted.
        except Exception as error:
            why = reason_of(error)
            raise InputError(f"transformers does not give the weights of {self.folder} back: {why}") from error
        stored, base = {each.name for each in self.tensors}, f"{model.model.base_model_prefix}."
        found, left = dict[str, Tensor](), dict[str, Tensor]()
        for name, weight in named.items():
            own = next((own for own in (name, name.removeprefix(base)) if own in stored), None)
            (left if own is None else found)[own or name] = weight
        tied = {weight.data_ptr() for weight in found.values()}
        if lost := [name for name, weight in left.items() if weight.data_ptr() not in tied]:
            raise InputError(f"{self.folder} has no place for {', '.join(lost[:3])}, which its model holds")
        return {name: weight for name, weight in found.items() if weight.is_floating_point()}

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
