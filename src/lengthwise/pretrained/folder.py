"""The folder of a checkpoint: its settings, the files of its weights, and what they hold."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import safetensors

from lengthwise.errors import InputError
from lengthwise.files import read_object, refuse_irregular
from lengthwise.pretrained.families import family_of

FLOATS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""Numbers that are stored as they are, by the names of safetensors and of torch."""
SINGLE = "model.safetensors"
_INDEX = ".index.json"
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_AGAIN = "copy it again from where the checkpoint came from"


class Stored(NamedTuple):
    """Where a tensor lies in the files of a checkpoint."""

    name: str
    file: Path
    dtype: str
    """As safetensors name it, such as ``BF16``."""
    shape: list[int]
    begin: int
    """The first of its bytes in the file."""


def read_checked(folder: Path, remote_code: bool) -> tuple[dict[str, Any], list[Stored]]:
    """Return the settings of a checkpoint of a supported architecture, and where its weights lie.

    Raises:
        InputError: the folder is no checkpoint, brings its own code without leave, has another architecture, or holds
            pickled weights, damaged ones or none.
    """
    settings = settings_of(folder)
    if settings.get("auto_map") and not remote_code:
        files = ", ".join(sorted(file.name for file in folder.glob("*.py"))) or "its auto_map"
        raise InputError(
            f"{folder} brings code of its own ({files}), which would be run; read it and allow it with "
            "remote_code: true (--remote-code), or delete auto_map from config.json to use transformers' own"
        )
    family_of(str(settings["model_type"]))
    refuse_adapter(folder)
    return settings, list(stored_tensors(weight_files(folder, settings)))


def refuse_adapter(folder: Path) -> None:
    """Refuse weights beside which lie those of an adapter, of which one would be passed over."""
    if (folder / "adapter_config.json").exists():
        raise InputError(
            f"{folder} holds an adapter (adapter_config.json) beside its base, and only one of the two would be read; "
            "merge them (merge_and_unload of peft), or move the files of the adapter out of the folder"
        )


def read_settings(file: Path) -> dict[str, Any]:
    """Return the settings in a JSON file of a checkpoint."""
    try:
        return read_object(file, "settings", given=True)
    except InputError as error:
        raise InputError(f"{error}; {_AGAIN}") from error


def weight_files(folder: Path, settings: dict[str, Any]) -> list[Path]:
    """Return the files of weights that transformers reads.

    Raises:
        InputError: there are none, some of the shards are missing, or the index of the shards is damaged.
    """
    named = settings.get("transformers_weights") or SINGLE
    if not isinstance(named, str) or Path(named).name != named:
        raise InputError(f"{folder / 'config.json'}: transformers_weights should name a file beside it, not {named!r}")
    index = folder / (named if named.endswith(_INDEX) else f"{named}{_INDEX}")
    if not named.endswith(_INDEX) and (folder / named).is_file():
        return [folder / named]
    if not index.is_file():
        raise _no_weights(folder)
    return shards_of(index)


def shards_of(index: Path) -> list[Path]:
    """Return the files that an index of shards names.

    Raises:
        InputError: some of them are missing, or it is damaged.
    """
    folder, places = index.parent, read_settings(index).get("weight_map")
    shards = list(cast("dict[str, Any]", places).values()) if isinstance(places, dict) else []
    if not shards or not all(isinstance(shard, str) and shard and Path(shard).name == shard for shard in shards):
        raise InputError(f"{index} has no weight_map from tensors to files beside it; {_AGAIN}")
    files = [folder / shard for shard in sorted(set(shards))]
    if missing := [file.name for file in files if not file.is_file()]:
        raise InputError(f"{folder} lacks shards that its {index.name} names: {', '.join(missing[:3])}; {_AGAIN}")
    return files


def stored_tensors(files: Sequence[Path]) -> Iterator[Stored]:
    """Yield what files of safetensors hold, once they were seen to be whole.

    Raises:
        InputError: one of them is damaged.
    """
    for file in files:
        refuse_irregular(file, given=True)
        try:
            with safetensors.safe_open(file, framework="pt"):
                pass
        except (safetensors.SafetensorError, OSError) as error:
            raise InputError(
                f"{file} is cut short or no safetensors file ({error}); {_AGAIN}, here it has "
                f"{file.stat().st_size:,} bytes"
            ) from error
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            header: dict[str, Any] = json.loads(opened.read(length))
        for name, entry in header.items():
            if name != "__metadata__":
                yield Stored(name, file, entry["dtype"], entry["shape"], 8 + length + entry["data_offsets"][0])


def hash_of(files: Sequence[Path]) -> str:
    """Return a hash of files and their names."""
    hashes = [f"{file.name} {_hash(file, *_version(file))}" for file in files]
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()[:16]


def _version(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns


@functools.lru_cache(maxsize=1024)
def _hash(file: Path, size: int, changed: int) -> str:
    """Return the hash of a file, which is read once as long as size and time of its last change stay."""
    del size, changed
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def settings_of(folder: Path) -> dict[str, Any]:
    """Return what the config.json of a folder says."""
    if not folder.is_dir():
        hub = re.fullmatch(r"[\w.-]+/[\w.-]+", str(folder))
        raise InputError(
            f"{folder} is no folder; give that of a checkpoint, with its config.json and *.safetensors"
            + (f"; nothing is downloaded here, `hf download {folder} --local-dir FOLDER` does that" if hub else "")
        )
    file = folder / "config.json"
    if not file.is_file():
        found = sorted(entry.name for entry in folder.iterdir())
        held = f", only {', '.join(found[:5])}" if found else " and is empty"
        of_adapter = "; give its base, with the adapter merged into it" if "adapter_config.json" in found else ""
        raise InputError(f"{folder} is no checkpoint of transformers: it has no config.json{held}{of_adapter}")
    settings = read_settings(file)
    if "model_type" in settings:
        return settings
    raise InputError(f"{file} is no configuration of transformers: it has no model_type")


def _no_weights(folder: Path) -> InputError:
    if pickled := sorted(file.name for pattern in _PICKLED for file in folder.glob(pattern)):
        return InputError(
            f"{folder} holds pickled weights ({', '.join(pickled[:3])}), which can run code when they are opened; "
            "where you trust them, convert them once: AutoModelForCausalLM.from_pretrained(FOLDER, "
            "use_safetensors=False).save_pretrained(NEW_FOLDER), and copy the tokenizer and the other files beside them"
        )
    others = ", ".join(sorted(file.name for file in folder.glob("*.safetensors"))[:3])
    return InputError(
        f"{folder} has a config.json but no weights; {SINGLE} is read, or the shards that {SINGLE}{_INDEX} names"
        f"{f', and not {others}' if others else ''}"
    )
