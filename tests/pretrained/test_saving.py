"""What a checkpoint comes back as: every file and tensor of its source but the bytes of what was trained."""

# ruff: noqa: E402

import errno
import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra hf)")

from safetensors.torch import load_file, save_file

from lengthwise.errors import InputError, StoppedError
from lengthwise.pretrained import load_huggingface
from lengthwise.pretrained.adapter import HuggingFaceModel
from lengthwise.pretrained.checkpoint import Checkpoint
from lengthwise.pretrained.families import FAMILIES
from lengthwise.pretrained.folder import Stored, stored_tensors
from lengthwise.pretrained.loading import tiny_model

TEXT = {
    "head_dim": 8,
    "hidden_size": 16,
    "intermediate_size": 16,
    "layer_types": ["linear_attention", "full_attention"],
    "linear_key_head_dim": 4,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_value_head_dim": 4,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "num_key_value_heads": 1,
    "tie_word_embeddings": True,
    "vocab_size": 48,
}
VISION = {"depth": 1, "hidden_size": 8, "intermediate_size": 8, "num_heads": 1, "out_hidden_size": 16, "patch_size": 4}


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def tensors(folder: Path) -> dict[str, bytes]:
    found = dict[str, bytes]()
    for stored in stored_tensors(shards(folder)):
        size = torch.Size(stored.shape).numel() * {"F32": 4, "BF16": 2, "F16": 2}[stored.dtype]
        found[stored.name] = stored.file.read_bytes()[stored.begin : stored.begin + size]
    return found


def places(folder: Path) -> list[Stored]:
    return [stored._replace(file=Path(stored.file.name)) for stored in stored_tensors(shards(folder))]


def others(folder: Path) -> dict[str, bytes]:
    files = [file for file in folder.rglob("*") if file.is_file() and file not in shards(folder)]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def wrapper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model with a vision tower in several shards and two dtypes, and what lies beside it on the hub."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("wrapper")
    config = transformers.Qwen3_5Config(text_config=TEXT, vision_config=VISION, tie_word_embeddings=True)
    model = transformers.Qwen3_5ForConditionalGeneration(config).bfloat16()
    model.save_pretrained(folder, max_shard_size="8KB")
    for file in shards(folder):
        held = load_file(file)
        save_file({k: t.float() * 1.001 if k.endswith("A_log") else t for k, t in held.items()}, file, {"by": "hand"})
    for name in ("NOTICE", "USE_POLICY.md", "assets/picture.png", ".gitattributes", "chat_template.jinja", "LICENSE"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(name.encode() + b"\xff\x00")
    (folder / "merges.txt").symlink_to("NOTICE")
    for name in (".git", ".cache/huggingface"):
        (folder / name).mkdir(parents=True)
        (folder / name / "of_a_tool").write_text("")
    return folder


def test_every_tensor_and_file_comes_back_but_what_was_trained(wrapper: Path, tmp_path: Path) -> None:
    checkpoint = Checkpoint(wrapper)
    model = checkpoint.model()
    with torch.no_grad():
        model.model.get_input_embeddings().weight.add_(1)
        for name, parameter in model.named_parameters():
            if name.endswith("A_log"):
                parameter.add_(1)
    model.save(tmp_path / "out")
    assert len(shards(wrapper)) > 2
    assert {"F32", "BF16"} == {stored.dtype for stored in places(wrapper)}
    assert places(tmp_path / "out") == places(wrapper)
    before, after = tensors(wrapper), tensors(tmp_path / "out")
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"model.language_model.embed_tokens.weight", "model.language_model.layers.0.linear_attn.A_log"}
    assert set(checkpoint.unread) == {name for name in before if ".visual." in name} != set()
    kept = {name: data for name, data in others(wrapper).items() if not name.startswith((".git/", ".cache/"))}
    assert others(tmp_path / "out") == kept
    assert {"NOTICE", "assets/picture.png", ".gitattributes", "model.safetensors.index.json"} < kept.keys()
    assert (tmp_path / "out" / "merges.txt").readlink() == Path("NOTICE")
    whole = transformers.Qwen3_5ForConditionalGeneration.from_pretrained(tmp_path / "out")
    embedded = whole.get_input_embeddings().weight.float()
    assert torch.equal(embedded, model.model.get_input_embeddings().weight.bfloat16().float())


@pytest.mark.parametrize("family", FAMILIES)
def test_an_untrained_model_comes_back_byte_for_byte(family: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    tiny_model(family).model.save_pretrained(tmp_path / "source")
    checkpoint = Checkpoint(tmp_path / "source")
    assert checkpoint.unread == []
    model = checkpoint.model()
    model(torch.tensor([[3, 4]]))
    model.save(tmp_path / "out")
    files = {file.name: file.read_bytes() for file in (tmp_path / "source").iterdir()}
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == files
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5)
    model.save(tmp_path / "trained")
    again = load_huggingface(tmp_path / "trained")
    for name, weight in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], weight), name


@pytest.fixture
def source(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    tiny_model("mamba").model.save_pretrained(tmp_path / "source")
    return tmp_path / "source"


def test_weights_without_the_prefix_of_the_model_keep_their_names(source: Path, tmp_path: Path) -> None:
    held = load_file(source / "model.safetensors")
    save_file({k.removeprefix("backbone."): t for k, t in held.items()}, source / "model.safetensors", {"format": "pt"})
    model = load_huggingface(source)
    with torch.no_grad():
        model.model.get_input_embeddings().weight.add_(1)
    model.save(tmp_path / "out")
    assert places(tmp_path / "out") == places(source)
    assert torch.equal(
        load_file(tmp_path / "out" / "model.safetensors")["embeddings.weight"], held["backbone.embeddings.weight"] + 1
    )


def test_settings_of_quantisation_stay(source: Path, tmp_path: Path) -> None:
    settings = json.loads((source / "config.json").read_text())
    settings["quantization_config"] = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    (source / "config.json").write_text(json.dumps(settings))
    load_huggingface(source).save(tmp_path / "out")
    assert (tmp_path / "out" / "config.json").read_bytes() == (source / "config.json").read_bytes()


def test_files_in_the_cache_of_hugging_face_are_written_as_files(source: Path, tmp_path: Path) -> None:
    snapshot, blobs = tmp_path / "hub" / "snapshots" / "0a1b", tmp_path / "hub" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for number, file in enumerate(sorted(source.iterdir())):
        shutil.copy(file, blobs / str(number))
        (blobs / str(number)).chmod(0o444)
        (snapshot / file.name).symlink_to(f"../../blobs/{number}")
    load_huggingface(snapshot).save(tmp_path / "out")
    for file in (tmp_path / "out").iterdir():
        assert not file.is_symlink()
        assert file.stat().st_mode & stat.S_IWUSR
        assert file.read_bytes() == (source / file.name).read_bytes()


def link_outside(source: Path) -> None:
    (source.parent / "secret").write_text("mine")
    (source / "notes").symlink_to("../secret")


def folder_outside(source: Path) -> None:
    (source / "assets").symlink_to("/etc")


def link_to_nothing(source: Path) -> None:
    (source / "notes").symlink_to("nowhere")


def no_file(source: Path) -> None:
    os.mkfifo(source / "pipe")


def second_format(source: Path) -> None:
    (source / "pytorch_model.bin").write_bytes(b"")


def second_copy(source: Path) -> None:
    shutil.copy(source / "model.safetensors", source / "model.fp16.safetensors")


def eight_bits(source: Path) -> None:
    held = load_file(source / "model.safetensors")
    name = "backbone.layers.0.mixer.in_proj.weight"
    save_file(held | {name: held[name].to(torch.float8_e4m3fn)}, source / "model.safetensors", {"format": "pt"})


def sixty_four_bits(source: Path) -> None:
    held = load_file(source / "model.safetensors")
    save_file({k: t.double() for k, t in held.items()}, source / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (link_outside, r"notes is a link to .*secret, outside of the checkpoint; put a copy"),
        (folder_outside, r"assets is a link to /etc, outside"),
        (link_to_nothing, r"notes is a link to nothing"),
        (no_file, r"pipe is no ordinary file"),
        (second_format, r"a second time \(pytorch_model\.bin\), which would come back untrained"),
        (second_copy, r"a second time \(model\.fp16\.safetensors\)"),
        (eight_bits, r"in_proj\.weight as F8_E4M3 \[128, 32\], .* not quantised"),
        (sixty_four_bits, r"as F64 .* 16 or 32 bits"),
    ],
)
def test_what_cannot_be_given_back_is_refused_before_any_work(
    source: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(source)
    with pytest.raises(InputError, match=message):
        _ = Checkpoint(source).unread


def test_weights_that_changed_since_they_were_read_are_refused(source: Path) -> None:
    checkpoint = Checkpoint(source)
    checkpoint.model()
    held = load_file(source / "model.safetensors")
    save_file({k: t + 1 for k, t in held.items()}, source / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match="with other values than the model reads"):
        _ = checkpoint.unread


@pytest.mark.parametrize("apart", [0, 1])
def test_an_output_that_is_stored_beside_a_tied_embedding_is_written_with_it(
    source: Path, tmp_path: Path, apart: int
) -> None:
    """Where the two differ, transformers does not tie them, whatever config.json says."""
    held = load_file(source / "model.safetensors")
    held["lm_head.weight"] = held["backbone.embeddings.weight"] + apart
    save_file(held, source / "model.safetensors", {"format": "pt"})
    model = load_huggingface(source)
    with torch.no_grad():
        model.model.get_input_embeddings().weight.add_(2)
    model.save(tmp_path / "out")
    after = load_file(tmp_path / "out" / "model.safetensors")
    assert torch.equal(after["backbone.embeddings.weight"], held["backbone.embeddings.weight"] + 2)
    assert torch.equal(after["lm_head.weight"], held["lm_head.weight"] + (0 if apart else 2))


def test_a_folder_takes_its_name_when_it_is_whole(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, out = load_huggingface(source), tmp_path / "out"
    (out := tmp_path / "out").mkdir()
    (out / "notes").write_text("mine")
    with pytest.raises(InputError, match="out exists already; give a new folder"):
        model.save(out)
    (out / "notes").unlink()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfile", full)
        with pytest.raises(StoppedError, match="No space left on device; nothing of it"):
            model.save(out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source"]
    model.save(out)
    assert {file.name for file in out.iterdir()} == {file.name for file in source.iterdir()}
    HuggingFaceModel(tiny_model("mamba").model).save(tmp_path / "fresh")
    assert load_huggingface(tmp_path / "fresh").family == "mamba"
