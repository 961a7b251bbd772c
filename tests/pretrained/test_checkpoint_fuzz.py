"""Damaged checkpoints: whatever their files hold, what cannot be used is said in a line, soon and in bounded memory."""

# ruff: noqa: E402

import copy
import json
import os
import random
import resource
import shutil
import signal
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra hf)")

from official_checkpoints import OFFICIAL
from safetensors.torch import load, save
from word_tokenizers import save_word_tokenizer

from lengthwise.errors import LengthwiseError
from lengthwise.pretrained.checkpoint import Checkpoint
from lengthwise.pretrained.clauses import READING
from lengthwise.pretrained.contents import PICKLED, read_pickle
from lengthwise.pretrained.loading import tiny_model
from lengthwise.tasks.sources import Document
from lengthwise.tasks.tokenizer import load_tokenizer

FAMILIES = ("mamba", "mamba2", "jamba", "qwen3_next", "qwen3_5", "rwkv", "xlstm", "zamba2", *OFFICIAL)
"""Of transformers, and of the formats that other packages publish."""
SECONDS, GIGABYTES = 20, 4
WORDS = [f"w{number}" for number in range(40)]
DEEP: Any = []
for _ in range(100):
    DEEP = [DEEP]
ODD: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 3, 10**9, 2**70, -(2**63), 1.5, float("nan"), 1e308, -1e-300),
    *("", "x", "\x00", "../../x", "mamba2", [], {}, [0], [None, "x"], {"a": 1}, DEEP),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Generator[tuple[Any, ...]]:
    if len(path) > 50:
        return
    for key, below in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(below, (*path, key))


def with_odd_values(rng: random.Random, text: str) -> str:
    """Replace, drop, add or move some values of a JSON document."""
    document = json.loads(text)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        found = list(places(document))
        if not found:
            break
        *above, last = rng.choice(found)
        holder = document
        for key in above:
            holder = holder[key]
        match rng.randrange(6):
            case 0:
                del holder[last]
            case 1 if isinstance(holder, dict):
                name = rng.choice(["x", "", "auto_map", "quantization_config", "model_type", "dtype"])
                holder[name] = copy.deepcopy(rng.choice(ODD))
            case 2:
                value: Any = document
                for key in rng.choice(found):
                    value = value[key] if isinstance(value, dict | list) else value
                holder[last] = copy.deepcopy(value)
            case _:
                holder[last] = copy.deepcopy(rng.choice(ODD))
    return json.dumps(document)


def with_damage(rng: random.Random, data: bytes) -> bytes:
    """Cut, flip, double or insert bytes."""
    damaged = bytearray(data)
    for _ in range(rng.choice([1, 1, 3])):
        at = rng.randrange(len(damaged) + 1)
        match rng.randrange(4):
            case 0:
                del damaged[at:]
            case 1 if at < len(damaged):
                damaged[at] ^= 1 << rng.randrange(8)
            case 2:
                damaged[at:at] = damaged[max(0, at - 30) : at]
            case _:
                damaged[at:at] = rng.randbytes(rng.randrange(1, 9))
    return bytes(damaged)


def with_another_header(rng: random.Random, data: bytes) -> bytes:
    """Change the header of a file of safetensors, whose length is then told rightly or not."""
    length = int.from_bytes(data[:8], "little")
    header, body = data[8 : 8 + length], data[8 + length :]
    if rng.random() < 0.1:
        return rng.choice([0, 7, 2**40, 2**63, 2**64 - 1]).to_bytes(8, "little") + header + body
    document = json.loads(header)
    name = rng.choice([name for name in document if name != "__metadata__"])
    entry = document[name]
    match rng.randrange(6):
        case 0:
            entry["dtype"] = rng.choice(["F64", "F32", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "F4", "x", None])
        case 1:
            entry["shape"] = rng.choice([[], [0], [1], [-1], [2**40], [2**63, 2**63], entry["shape"][::-1], None])
        case 2:
            entry["data_offsets"] = rng.choice([[0, 0], [0, 2**40], [-1, 3], [8, 4], [0], None])
        case 3:
            document[rng.choice(["x", "", "../x", "__metadata__", name.upper()])] = document.pop(name)
        case 4:
            del document[name]
        case _:
            document = json.loads(with_odd_values(rng, json.dumps(document)))
    changed = json.dumps(document).encode()
    changed += b" " * (-len(changed) % 8)
    return len(changed).to_bytes(8, "little") + changed + body


def with_other_tensors(rng: random.Random, data: bytes) -> bytes:
    """Change tensors in ways that leave the file a whole one."""
    held = load(data)
    for _ in range(rng.choice([1, 1, 3])):
        name = rng.choice(sorted(held))
        tensor = held[name].float()
        match rng.randrange(8):
            case 0:
                held[name] = tensor.to(rng.choice([torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn]))
            case 1:
                held[name] = tensor.to(rng.choice([torch.int64, torch.uint8, torch.bool]))
            case 2:
                held[name] = rng.choice(
                    [tensor.flatten(), tensor[None], tensor[:0], tensor.transpose(0, -1), tensor[:1]]
                )
            case 3:
                held[rng.choice(["x", "", "../x", name.upper(), f"model.{name}", rng.choice(sorted(held))])] = tensor
            case 4 if len(held) > 1:
                del held[name]
            case 5:
                held[name] = tensor * rng.choice([float("nan"), float("inf"), 1e30, 0.0])
            case 6:
                held[name] = torch.where(torch.arange(tensor.numel()).view(tensor.shape) == 0, torch.nan, tensor)
            case _:
                held[f"{name}.more"] = torch.zeros(rng.choice([0, 1, 100]))
    return save({name: tensor.clone().contiguous() for name, tensor in held.items()}, {"format": "pt"})


@contextmanager
def bounded() -> Generator[None]:
    """End what takes too long or too much memory."""

    def late(*_: object) -> None:
        raise KeyboardInterrupt(f"more than {SECONDS} s")

    held = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGPROF, late)
    resource.setrlimit(resource.RLIMIT_AS, (held + GIGABYTES * 2**30, limits[1]))
    # Of processor time, because the machine may be busy.
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        resource.setrlimit(resource.RLIMIT_AS, limits)


def use(folder: Path) -> str:
    """Use a checkpoint as diagnosis and post-training do, and return what was said of it."""
    try:
        checkpoint = Checkpoint(folder)
        tokenizer = load_tokenizer(str(checkpoint.tokenizer), checkpoint.separator)
        tokenizer.encode([Document("a", b"w3 w4 and \xc3\xa9")])
        checkpoint.require(READING)
        return f"{len(checkpoint.unread)} tensors are not read"
    except LengthwiseError as error:
        return str(error)


def checkpoint_of(family: str, folder: Path) -> Path:
    torch.manual_seed(0)
    if family in OFFICIAL:
        OFFICIAL[family](folder / "whole")
        save_word_tokenizer(folder / "whole", WORDS)
        return folder / "whole"
    # Sharded, so that there is an index to damage.
    tiny_model(family).model.save_pretrained(folder, max_shard_size="20KB")
    save_word_tokenizer(folder, WORDS)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made = dict[str, Path]()

    def whole(family: str) -> Path:
        if family not in made:
            made[family] = checkpoint_of(family, tmp_path_factory.mktemp(family))
        return made[family]

    return whole


def damaged(rng: random.Random, source: Path, folder: Path, files: list[str]) -> Path:
    shutil.copytree(source, folder)
    file = rng.choice(sorted(folder.glob(rng.choice(files))) or [file for each in files for file in folder.glob(each)])
    if file.suffix in PICKLED and rng.random() < 0.7:
        held = {name: tensor.clone() for name, tensor in read_pickle(file).items()}
        torch.save(load(with_other_tensors(rng, save(held))), file)
    elif file.suffix in PICKLED:
        file.write_bytes(with_damage(rng, file.read_bytes()))
    elif file.suffix == ".safetensors":
        change = rng.choice([with_damage, with_another_header, with_other_tensors, with_other_tensors])
        file.write_bytes(change(rng, file.read_bytes()))
    elif rng.random() < 0.8:
        file.write_text(with_odd_values(rng, file.read_text()))
    else:
        file.write_bytes(with_damage(rng, file.read_bytes()))
    return folder


@pytest.mark.slow
@pytest.mark.fuzz
@pytest.mark.parametrize(
    "files",
    [["config.json", "*token*.json"], ["*.safetensors", "*.index.json", "*.bin", "*.pth"]],
    ids=["settings", "weights"],
)
def test_damage_is_said_in_a_line(
    files: list[str], whole: Callable[[str], Path], tmp_path: Path, fuzz_budget: int
) -> None:
    for seed in range(fuzz_budget):
        rng = random.Random(seed)
        folder = damaged(rng, whole(rng.choice(FAMILIES)), tmp_path / str(seed), files)
        with bounded(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                said = use(folder)
            except BaseException as error:
                raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
        assert "\n" not in said, f"seed {seed}: {said}"
        shutil.rmtree(folder)
