"""Checkpoints in the formats of the packages that published them: read, repaired, and given back as they came."""

# ruff: noqa: E402

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra hf)")

from official_checkpoints import OFFICIAL, change_settings
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner
from word_tokenizers import save_word_tokenizer

from lengthwise.cli.main import app
from lengthwise.errors import InputError
from lengthwise.interventions.passing import StatePassingConfig
from lengthwise.pretrained.blinkdl import save_time_state
from lengthwise.pretrained.checkpoint import Checkpoint
from lengthwise.pretrained.clauses import TRAINING
from lengthwise.pretrained.contents import Contents, read_pickle
from lengthwise.state import State

KNOWN = json.loads(Path(__file__).with_name("official_logits.json").read_text())
"""Logits of the small checkpoints after the last of `TOKENS`, from the code that met those of the official packages."""
TOKENS = torch.arange(22).reshape(2, 11) % 37


@pytest.fixture(params=OFFICIAL)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return OFFICIAL[request.param](tmp_path / request.param)


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_logits_are_those_of_the_official_package(folder: Path) -> None:
    with torch.no_grad():
        found = Checkpoint(folder).model()(TOKENS).logits[:, -1, :4]
    torch.testing.assert_close(found, torch.tensor(KNOWN[folder.name]), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_state_is_carried(folder: Path) -> None:
    Checkpoint(folder).require(TRAINING)


def test_what_is_not_trained_comes_back_byte_for_byte_and_what_is_under_its_name(folder: Path, tmp_path: Path) -> None:
    checkpoint = Checkpoint(folder)
    # The first layer of RWKV-7 has no layer before it, and files of its author hold what would mix that in.
    assert set(checkpoint.unread) == {f"blocks.0.att.v{n}" for n in range(3) if folder.name == "rwkv7"}
    model = checkpoint.model()
    model.save(tmp_path / "same")
    assert files(tmp_path / "same") == files(folder)
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    start = StatePassingConfig().build().begin(model, len(TOKENS), torch.Generator())
    model.train()(TOKENS, start).logits.square().mean().backward()
    optimiser.step()
    model.save(tmp_path / "trained")
    again = Checkpoint(tmp_path / "trained").model()
    with torch.no_grad():
        assert torch.equal(again(TOKENS).logits, model.eval()(TOKENS).logits)
    before, after = (Contents(path).read() for path in (folder, tmp_path / "trained"))
    assert list(before) == list(after)
    for name, tensor in before.items():
        assert (after[name].shape, after[name].dtype) == (tensor.shape, tensor.dtype), name
    gradients = {name for name, p in model.named_parameters() if p.grad is not None and bool(p.grad.abs().max() > 0)}
    assert len(gradients) == len(list(model.parameters()))
    assert {name for name, t in before.items() if torch.equal(after[name], t)} == set(checkpoint.unread)


@pytest.mark.parametrize("name", OFFICIAL)
def test_sixteen_bits_are_promoted_and_come_back(name: str, tmp_path: Path) -> None:
    folder = OFFICIAL[name](tmp_path / "half", torch.bfloat16)
    model = Checkpoint(folder).model()
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert bool(model(TOKENS).logits.isfinite().all())
    model.save(tmp_path / "out")
    assert files(tmp_path / "out") == files(folder)


def rename(folder: Path) -> None:
    held = read_pickle(folder / "pytorch_model.bin")
    held["backbone.layers.0.norm_2.weight"] = held.pop("backbone.layers.0.norm.weight")
    torch.save(held, folder / "pytorch_model.bin")


def add(folder: Path) -> None:
    held = read_pickle(folder / "pytorch_model.bin")
    torch.save(held | {"backbone.layers.0.mlp.fc1.weight": torch.ones(2)}, folder / "pytorch_model.bin")


def not_finite(folder: Path) -> None:
    held = read_pickle(folder / "pytorch_model.bin")
    held["backbone.norm_f.weight"][0] = torch.nan
    torch.save(held, folder / "pytorch_model.bin")


def integers(folder: Path) -> None:
    held = read_pickle(folder / "pytorch_model.bin")
    torch.save(held | {"backbone.norm_f.weight": torch.ones(16, dtype=torch.int8)}, folder / "pytorch_model.bin")


def code(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"a": Path}))


def cut(folder: Path) -> None:
    data = (folder / "pytorch_model.bin").read_bytes()
    (folder / "pytorch_model.bin").write_bytes(data[: len(data) // 2])


def adapter(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")


def nothing(folder: Path) -> None:
    (folder / "pytorch_model.bin").unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: change_settings(f, attn_layer_idx=[1]), r"attn_layer_idx \[1\] is attention layers .*\(a hybrid\)"),
        (
            lambda f: change_settings(f, d_intermediate=32),
            r"d_intermediate 32 is a variant that is not read here; only 0",
        ),
        (
            lambda f: change_settings(f, ssm_cfg={"layer": "Mamba3"}),
            r"'Mamba3' is not read here; only Mamba1 and Mamba2",
        ),
        (
            lambda f: change_settings(f, ssm_cfg={"layer": "Mamba2", "D_has_hdim": True}),
            r"ssm_cfg\.D_has_hdim is a var",
        ),
        (
            lambda f: change_settings(f, n_layer=3),
            r"describes 3 layers of width 16, and the weights are those of 2 layers",
        ),
        (
            lambda f: change_settings(f, ssm_cfg={"layer": "Mamba2", "headdim": 5}),
            r"values that no mamba2 has: Inconsistent configuration",
        ),
        (lambda f: change_settings(f, quantization_config={"bits": 4}), r"is quantised \(config\.json has a quanti"),
        (rename, r"is no whole mamba2: it lacks backbone\.layers\.0\.norm\.weight$"),
        (add, r"holds backbone\.layers\.0\.mlp\.fc1\.weight that no mamba2 has: it is a variant"),
        (not_finite, r"not a finite number: backbone\.norm_f\.weight"),
        (integers, r"is quantised \(backbone\.norm_f\.weight is int8\).* 16 or 32 bits"),
        (code, r"no file of tensors alone, or it is damaged \(.*can run code when it is opened"),
        (cut, r"no file of tensors alone, or it is damaged"),
        (adapter, r"holds an adapter \(adapter_config\.json\) beside its base.*merge_and_unload"),
        (nothing, r"has no tensor backbone\.embedding\.weight"),
    ],
)
def test_variants_and_damage_of_mamba_are_named(spoil: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    folder = OFFICIAL["mamba2"](tmp_path / "mamba2")
    spoil(folder)
    with pytest.raises(InputError, match=message):
        _ = Checkpoint(folder).loaded


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("gla", {"attn": {"layers": [1]}}, r"attn \{'layers': \[1\]\} is attention layers .*\(a hybrid\)"),
        ("gla", {"feature_map": "relu"}, r"feature_map 'relu' is a variant that is not read here; only None is"),
        ("gla", {"num_kv_heads": 1}, r"num_kv_heads 1 is a variant that is not read; only as many as num_heads are"),
        ("gla", {"num_heads": "two"}, r"num_heads should be a positive number, not 'two'"),
        ("gla", {"num_heads": 3}, r"3 heads do not divide the 8 key channels"),
        ("gla", {"norm_eps": 0}, r"norm_eps should be a positive number, not 0"),
        ("delta_net", {"qk_norm": "sum"}, r"qk_norm 'sum' is a variant"),
        ("gated_deltanet", {"use_short_conv": False}, r"use_short_conv False is a variant"),
        ("gated_deltanet", {"quantization_config": {"bits": 4}}, r"is quantised"),
    ],
)
def test_variants_of_fla_are_named(name: str, settings: dict[str, object], message: str, tmp_path: Path) -> None:
    folder = change_settings(OFFICIAL[name](tmp_path / name), **settings)
    with pytest.raises(InputError, match=message):
        _ = Checkpoint(folder).loaded


def without(name: str) -> Callable[[dict[str, torch.Tensor]], object]:
    return lambda held: held.pop(name)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("rwkv6", without("blocks.0.att.time_maa_x"), r"is RWKV-5 or a variant of RWKV-6, which is not read here"),
        ("rwkv6", lambda h: h.update({"blocks.0.att.time_state": h["emb.weight"]}), r"a learned initial state"),
        (
            "rwkv6",
            lambda h: h.update({"blocks.1.att.gate_w1": h["emb.weight"]}),
            r"blocks\.1\.att\.gate_w1 that no rwkv6",
        ),
        (
            "rwkv7",
            lambda h: h.update({"blocks.0.ffn.s_emb.weight": h["emb.weight"]}),
            r"s_emb\.weight that no rwkv7 has",
        ),
        ("rwkv7", without("blocks.1.ffn.x_k"), r"is no whole rwkv7: it lacks blocks\.1\.ffn\.x_k$"),
        (
            "rwkv7",
            lambda h: h.update({"head.weight": torch.ones(3, 16)}),
            r"head\.weight \[3, 16\] should be \[40, 16\]",
        ),
        ("rwkv7", lambda h: h.update({"blocks.0.att.r_k": torch.ones(3, 5)}), r"5 channels do not divide the width 16"),
        (
            "rwkv7",
            lambda h: h.update({"blocks.0.att.w1": torch.ones(16, 0)}),
            r"sizes that no rwkv7 has: decay_rank: Inp",
        ),
        ("rwkv4", without("blocks.0.att.key.weight"), r"has no tensor blocks\.0\.att\.key\.weight"),
    ],
)
def test_variants_of_rwkv_are_named(
    name: str, change: Callable[[dict[str, torch.Tensor]], object], message: str, tmp_path: Path
) -> None:
    file = OFFICIAL[name](tmp_path / name) / "rwkv.pth"
    held = read_pickle(file)
    change(held)
    torch.save(held, file)
    with pytest.raises(InputError, match=message):
        _ = Checkpoint(file).loaded


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_block": 1}, r"num_block is no setting of the package xlstm; did you mean 'num_blocks'\?"),
        ({"num_blocks": 2}, r"num_blocks \[40, 128, 2\], and the weights have \[40, 128, 1\]"),
        ({"num_heads": "many"}, r"values that no xlstm has"),
    ],
)
def test_settings_of_xlstm_that_do_not_fit_are_named(change: dict[str, object], message: str, tmp_path: Path) -> None:
    file = OFFICIAL["xlstm"](tmp_path / "xlstm") / "config.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | change))
    with pytest.raises(InputError, match=message):
        _ = Checkpoint(file.parent).loaded


def test_a_file_by_itself_is_a_checkpoint(tmp_path: Path) -> None:
    folder = OFFICIAL["rwkv7"](tmp_path / "rwkv7")
    (folder / "notes").write_text("mine")
    checkpoint = Checkpoint(folder / "rwkv.pth")
    checkpoint.model().save(tmp_path / "out")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["rwkv.pth"]
    assert checkpoint.format.call_for(tmp_path / "out").startswith(f"RWKV(model={str(tmp_path / 'out' / 'rwkv.pth')!r}")


def test_a_start_is_given_to_the_programs_of_rwkv(tmp_path: Path) -> None:
    """The memory of a head is stored with values before keys: the package rwkv turns it about as it loads it."""
    model = Checkpoint(OFFICIAL["rwkv6"](tmp_path / "rwkv6")).model()
    start = model.start_from(model(TOKENS).state)
    save_time_state(start.rows([1]), tmp_path / "start.pth")
    held = read_pickle(tmp_path / "start.pth")
    assert list(held) == ["blocks.0.att.time_state", "blocks.1.att.time_state"]
    assert torch.equal(held["blocks.1.att.time_state"], start["layers.1.matrix"][1].mT)
    for wrong, message in [(start, "with one row"), (State({"h": torch.zeros(1, 2)}), "an RWKV-6 or RWKV-7")]:
        with pytest.raises(InputError, match=message):
            save_time_state(wrong, tmp_path / "another.pth")
    with pytest.raises(InputError, match="exists already"):
        save_time_state(start.rows([0]), tmp_path / "start.pth")


def test_older_versions_of_a_format_are_told_by_their_names(tmp_path: Path) -> None:
    folder = OFFICIAL["gated_deltanet"](tmp_path / "new")
    held = load_file(folder / "model.safetensors")
    expected = Checkpoint(folder).model()(TOKENS).logits
    for i in range(2):
        held[f"model.layers.{i}.mlp.gate_proj.weight"] = torch.cat(
            [held[f"model.layers.{i}.mlp.gate_proj.weight"], held.pop(f"model.layers.{i}.mlp.up_proj.weight")]
        )
        held[f"model.layers.{i}.attn.D"] = torch.ones(2)
    held["model.embed_tokens.weight"] = held.pop("model.embeddings.weight")
    save_file(held, folder / "model.safetensors", {"format": "pt"})
    checkpoint = Checkpoint(folder)
    torch.testing.assert_close(checkpoint.model()(TOKENS).logits, expected)
    assert checkpoint.unread == ["model.layers.0.attn.D", "model.layers.1.attn.D"]
    checkpoint.model().save(tmp_path / "out")
    assert files(tmp_path / "out") == files(folder)


def test_an_embedding_may_be_the_output_too(tmp_path: Path) -> None:
    folder = change_settings(OFFICIAL["gla"](tmp_path / "gla"), tie_word_embeddings=True)
    held = load_file(folder / "model.safetensors")
    del held["lm_head.weight"]
    save_file(held, folder / "model.safetensors", {"format": "pt"})
    model = Checkpoint(folder).model()
    assert model.model.classifier.weight is model.model.embedding.weight
    model.save(tmp_path / "out")
    assert files(tmp_path / "out") == files(folder)


def test_near_misses_are_named_by_the_commands(tmp_path: Path) -> None:
    (tmp_path / "quantised").mkdir()
    (tmp_path / "quantised" / "model-Q4_K_M.gguf").write_bytes(b"GGUF")
    (tmp_path / "notes.txt").write_text("")
    for target, message in [
        ("state-spaces/mamba2-130m", "`hf download state-spaces/mamba2-130m --local-dir FOLDER`"),
        (tmp_path / "quantised", "model-Q4_K_M.gguf, which was made for llama.cpp"),
        (tmp_path / "notes.txt", "is no file of weights"),
    ]:
        for command in (["check"], ["diagnose", "--data", "stdlib"]):
            path = target if command == ["check"] else f"hf:{target}"
            ended = CliRunner().invoke(app, [*command, str(path)])
            assert (ended.exit_code, message in " ".join(ended.stderr.split())) == (2, True), ended.output


def test_the_command_tells_the_format_and_takes_known_logits(tmp_path: Path) -> None:
    folder = OFFICIAL["rwkv7"](tmp_path / "rwkv7")
    with torch.no_grad():
        logits = Checkpoint(folder).model()(TOKENS).logits
    save_file({"tokens": TOKENS, "logits": logits}, tmp_path / "right.safetensors")
    save_file({"tokens": TOKENS, "logits": logits[:, -1] + 1e-3}, tmp_path / "wrong.safetensors")
    for name, code in [("right", 0), ("wrong", 1)]:
        command = ["check", str(folder), "--json", "--expected", str(tmp_path / f"{name}.safetensors")]
        ended = CliRunner().invoke(app, command)
        found = json.loads(ended.stdout)
        assert (ended.exit_code, found["format"], found["family"]) == (code, "BlinkDL", "rwkv7")
        holds = {each["clause"]: each["holds"] for each in found["findings"]}
        assert holds.pop("logits as of its own package") is (code == 0)
        assert all(holds.values())
        assert "given back byte for byte" in holds
    save_file({"tokens": TOKENS}, tmp_path / "wrong.safetensors")
    assert "should hold tokens and logits" in CliRunner().invoke(app, command).stderr


@pytest.mark.slow
def test_a_checkpoint_is_repaired_in_its_own_format(tmp_path: Path) -> None:
    folder, texts, out = OFFICIAL["rwkv7"](tmp_path / "rwkv7"), tmp_path / "texts", tmp_path / "out"
    words, rng = [f"w{number}" for number in range(30)], np.random.default_rng(0)
    save_word_tokenizer(folder, words)
    texts.mkdir()
    for number in range(12):
        (texts / f"{number}.txt").write_text("\n".join(" ".join(rng.choice(words, size=9)) for _ in range(12)))
    settings = ["--context", "8", "--reach", "4", "--rows", "4", "--set", "evaluation.remembrance.starts=2"]
    trained = ["--steps", "2", "--batch-size", "4", "--out", str(out)]
    command = ["post-train", str(folder), "--data", str(texts), *settings, *trained]
    ended = CliRunner().invoke(app, command)
    assert ended.exit_code == 0, ended.output
    assert f"the checkpoint: RWKV(model='{out / 'rwkv.pth'}'" in ended.output
    before, after = (read_pickle(path / "rwkv.pth") for path in (folder, out))
    assert list(before) == list(after)
    unread = {f"blocks.0.att.v{n}" for n in range(3)}
    assert {name for name, tensor in before.items() if torch.equal(tensor, after[name])} == unread
    assert "(blocks.0) are as they were" in (out / "README.md").read_text()
    assert "finished before; nothing to do" in CliRunner().invoke(app, command).output
    without = CliRunner().invoke(app, ["diagnose", str(OFFICIAL["rwkv6"](tmp_path / "rwkv6")), "--data", str(texts)])
    assert without.exit_code == 2
    assert "has no tokenizer.json" in without.stderr
