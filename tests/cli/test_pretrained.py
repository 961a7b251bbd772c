"""Checkpoints of transformers diagnosed, post-trained and given back, through the command line."""

# ruff: noqa: E402

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra hf)")

import calls_for_tests
from calls_for_tests import ok
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models
from word_tokenizers import save_word_tokenizer

from lengthwise.errors import InputError
from lengthwise.evaluation.contract import Finding
from lengthwise.interventions.repair import LEARNING_RATE, repair_of
from lengthwise.pretrained import library, load_huggingface
from lengthwise.pretrained.checkpoint import Checkpoint
from lengthwise.pretrained.loading import tiny_model
from lengthwise.runs.folder import RunFolder
from lengthwise.runs.pretrained import measured, post_trained
from lengthwise.runs.recipe import Recipe, load_recipe
from lengthwise.runs.repair import post_training
from lengthwise.runs.rows import read_evaluation
from lengthwise.runs.run import Outcome, read_run, train_run
from lengthwise.training.checkpoint import load_checkpoint

WORDS = [f"w{number}" for number in range(45)]
FEW = ("--context", 8, "--reach", 4, "--rows", 4, "--set", "evaluation.remembrance.starts=2")
VISION = {"depth": 1, "hidden_size": 8, "intermediate_size": 8, "num_heads": 1, "out_hidden_size": 32, "patch_size": 4}
TRAINED = (*FEW, "--batch-size", 4, "--learning-rate", 0.01)


def refused(*arguments: object) -> str:
    return " ".join(calls_for_tests.refused(*arguments).split())


def load_all(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for file in sorted(folder.glob("*.safetensors")) for name, tensor in load_file(file).items()}


def checkpoint(folder: Path, family: str, dtype: torch.dtype = torch.float32, **settings: object) -> Path:
    torch.manual_seed(0)
    tiny_model(family, **settings).to(dtype).save(folder)
    save_word_tokenizer(folder, WORDS)
    return folder


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("texts"), np.random.default_rng(0)
    for number in range(12):
        (folder / f"{number}.txt").write_text("\n".join(" ".join(rng.choice(WORDS, size=9)) for _ in range(12)) + "\n")
    return folder


@pytest.fixture(scope="module")
def mamba2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = checkpoint(tmp_path_factory.mktemp("checkpoints") / "small mamba2", "mamba2")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Small\n\nWhat it is.\n")
    return folder


@pytest.mark.slow
def test_a_checkpoint_is_diagnosed(mamba2: Path, texts: Path, tmp_path: Path) -> None:
    shown = ok("diagnose", f"hf:{mamba2}", "--data", texts, "--out", tmp_path / "page", *FEW)
    assert "perplexity at" in shown
    assert (tmp_path / "page" / "index.html").is_file()
    (recipe,) = (tmp_path / "page" / "runs").rglob("recipe.yaml")
    head, rows = read_evaluation(RunFolder(recipe.parent).evaluation)
    assert {row.metric for row in rows} >= {"loss", "ratio", "remembrance", "state_std"}
    assert (head.model, head.step, head.training_length) == ("mamba2", 0, 8)
    assert not RunFolder(recipe.parent).checkpoint.exists()


@pytest.mark.slow
def test_a_single_file_is_cut_into_documents(mamba2: Path, texts: Path, tmp_path: Path) -> None:
    (tmp_path / "all.txt").write_text("".join(file.read_text() for file in sorted(texts.iterdir())))
    ok("diagnose", f"hf:{mamba2}", "--data", tmp_path / "all.txt", "--out", tmp_path / "page", *FEW)


@pytest.mark.slow
def test_each_command_loads_and_checks_once(
    mamba2: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counter[str]()

    def count(owner: object, name: str) -> None:
        original = getattr(owner, name)

        def counting(*arguments: object, **options: object) -> object:
            counted[name] += 1
            return original(*arguments, **options)

        monkeypatch.setattr(owner, name, counting)

    count(transformers.AutoModelForCausalLM, "from_pretrained")
    count(library, "check_library")
    count(Recipe, "model_validate")
    ok("diagnose", f"hf:{mamba2}", "--data", texts, "--out", tmp_path / "page", *FEW)
    assert counted == {"from_pretrained": 1, "check_library": 1, "model_validate": 1}
    counted.clear()
    ok("post-train", f"hf:{mamba2}", "--data", texts, "--out", tmp_path / "out", "--steps", 2, *TRAINED)
    assert counted == {"from_pretrained": 1, "check_library": 1, "model_validate": 2}


@pytest.mark.slow
def test_what_was_post_trained_is_what_was_measured(texts: Path, tmp_path: Path) -> None:
    """transformers holds other weights of RWKV-4 while it evaluates than while it trains."""
    source, out = checkpoint(tmp_path / "rwkv", "rwkv"), tmp_path / "out"
    ok("post-train", f"hf:{source}", "--data", texts, "--out", out, "--steps", 3, *TRAINED)
    ok("diagnose", f"hf:{out}", "--data", texts, "--out", tmp_path / "page", *FEW)
    (recipe,) = (tmp_path / "page" / "runs").rglob("recipe.yaml")
    runs = [RunFolder(out / "lengthwise" / "rwkv.state_passing" / "seed-0"), RunFolder(recipe.parent)]
    trained, written = (
        [row.value for row in read_evaluation(run.evaluation)[1] if row.metric == "loss"] for run in runs
    )
    assert trained == pytest.approx(written, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["mamba2", "mamba", "bamba"])
def test_what_is_given_back_is_an_ordinary_checkpoint(family: str, texts: Path, tmp_path: Path) -> None:
    source, out = checkpoint(tmp_path / family, family), tmp_path / "out"
    before = {file.name: file.read_bytes() for file in source.iterdir()}
    shown = ok("post-train", f"hf:{source}", "--data", texts, "--out", out, "--steps", 3, *TRAINED)
    assert "before" in shown
    assert {file.name: file.read_bytes() for file in source.iterdir()} == before
    assert set(before) < {file.name for file in out.iterdir()}
    library_model = transformers.AutoModelForCausalLM.from_pretrained(out).eval()
    tokens = torch.randint(3, 48, (2, 30), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        alone = library_model(input_ids=tokens, use_cache=False).logits
        torch.testing.assert_close(load_huggingface(out)(tokens).logits, alone, rtol=1e-4, atol=1e-5)
    tensors, values = load_checkpoint(
        out / "lengthwise" / f"{family}.state_passing" / "seed-0" / "checkpoint.safetensors"
    )
    assert values["step"] == 3
    for name, weight in library_model.state_dict().items():
        assert torch.equal(tensors[f"model.model.{name}"], weight), name
    assert not torch.equal(
        library_model.get_input_embeddings().weight,
        transformers.AutoModelForCausalLM.from_pretrained(source).get_input_embeddings().weight,
    )
    assert transformers.AutoTokenizer.from_pretrained(out)("w3 w4")["input_ids"] == [6, 7]


@pytest.mark.slow
def test_the_model_card_is_kept_and_extended(mamba2: Path, texts: Path, tmp_path: Path) -> None:
    command = ("post-train", f"hf:{mamba2}", "--data", texts, "--out", tmp_path / "out", "--steps", 2, *TRAINED)
    ok(*command)
    card = (tmp_path / "out" / "README.md").read_text()
    assert card.startswith((mamba2 / "README.md").read_text().rstrip())
    assert "2 steps whose windows start from states as `state_passing`" in card
    assert "| perplexity within T | " in card
    assert f"{tmp_path / 'out'}: finished before; nothing to do" in ok(*command)
    assert (tmp_path / "out" / "README.md").read_text() == card


@pytest.mark.slow
def test_a_vision_tower_and_runs_of_before_come_back_and_the_card_says_so(texts: Path, tmp_path: Path) -> None:
    source, out = checkpoint(tmp_path / "source", "qwen3_5"), tmp_path / "out"
    settings = json.loads((source / "config.json").read_text())
    config = transformers.Qwen3_5Config(text_config=settings, vision_config=VISION, tie_word_embeddings=False)
    transformers.Qwen3_5ForConditionalGeneration(config).save_pretrained(source, max_shard_size="20KB")
    (source / "model.safetensors").unlink()
    (source / "README.md").write_bytes(b"# Caf\xe9\n")
    (source / "assets" / "deep").mkdir(parents=True)
    (source / "assets" / "deep" / "NOTICE").write_text("mine")
    (source / "lengthwise").mkdir()
    (source / "lengthwise" / "notes").write_text("of before")
    ok("post-train", f"hf:{source}", "--data", texts, "--out", out, "--steps", 2, *TRAINED)
    assert not out.with_name("out.partial").exists()
    card = (out / "README.md").read_bytes()
    assert card.startswith(b"# Caf\xe9")
    assert b"tensors that its language model does not read (model.visual) are as they were." in card
    for file in (file.relative_to(source) for file in source.rglob("*") if file.is_file()):
        if file.name == "notes":
            assert (out / "lengthwise" / "source" / "notes").read_text() == "of before"
        elif file.suffix != ".safetensors" and file.name != "README.md":
            assert (out / file).read_bytes() == (source / file).read_bytes()
    before, after = (load_all(folder) for folder in (source, out))
    assert before.keys() == after.keys()
    same = {name for name, tensor in before.items() if torch.equal(tensor, after[name])}
    assert same == {name for name in before if ".visual." in name} != set()
    whole = transformers.Qwen3_5ForConditionalGeneration.from_pretrained(out)
    assert torch.equal(whole.get_input_embeddings().weight, after["model.language_model.embed_tokens.weight"])


def test_what_cannot_be_given_back_is_refused_before_anything_is_measured(
    mamba2: Path, texts: Path, tmp_path: Path
) -> None:
    shutil.copytree(mamba2, tmp_path / "twice")
    (tmp_path / "twice" / "pytorch_model.bin").write_bytes(b"")
    command = ("post-train", f"hf:{tmp_path / 'twice'}", "--data", texts, "--out", tmp_path / "out", *TRAINED)
    assert "the same weights a second time (pytorch_model.bin)" in refused(*command)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["twice"]


@pytest.mark.slow
def test_a_model_whose_padding_leaks_in_the_library_is_diagnosed_and_post_trained(texts: Path, tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "biased", "mamba", use_bias=True)
    held = load_all(source)
    for name in held:
        if name.endswith("in_proj.bias"):
            held[name].normal_(std=0.5)
    save_file(held, source / "model.safetensors", {"format": "pt"})
    assert all(line.endswith("holds") for line in ok("check", f"hf:{source}").splitlines()[2:])
    ok("diagnose", f"hf:{source}", "--data", texts, "--out", tmp_path / "page", *FEW)
    ok("post-train", f"hf:{source}", "--data", texts, "--out", tmp_path / "out", "--steps", 2, *TRAINED)


@pytest.mark.slow
def test_a_post_training_with_other_settings_does_not_go_on_from_one_that_was_interrupted(
    mamba2: Path, texts: Path, tmp_path: Path
) -> None:
    command = ("post-train", f"hf:{mamba2}", "--data", texts, "--out", tmp_path / "out", "--steps", 2, *TRAINED)
    ok(*command)
    (tmp_path / "out").rename(tmp_path / "out.partial")
    assert "out.partial holds another run" in refused(*command, "--seed", 3)
    assert "steps: 2, now 3" in refused(*command, "--set", "training.steps=3")
    ok(*command)
    other = (*command, "--set", "training.steps=3")
    assert "was post-trained in another way; give a new folder, or add --replace" in refused(*other)
    before = load_all(tmp_path / "out")
    ok(*other, "--replace")
    after = load_all(tmp_path / "out")
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert "nothing to do" in ok(*other, "--replace")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "notes.txt").write_text("mine")
    mine = (
        "post-train",
        f"hf:{mamba2}",
        "--data",
        texts,
        "--out",
        tmp_path / "own",
        "--steps",
        2,
        *TRAINED,
        "--replace",
    )
    assert "exists and is not what this command makes" in refused(*mine)


def test_a_checkpoint_is_measured_on_another_text_before_and_after(mamba2: Path, texts: Path, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("a log in a fog sat on a mat. " * 300)
    out, other = tmp_path / "out", tmp_path / "other.txt"
    command = (
        "post-train",
        f"hf:{mamba2}",
        "--data",
        texts,
        "--out",
        out,
        "--steps",
        2,
        *TRAINED,
        "--also-measure",
        other,
    )
    shown = ok(*command)
    assert shown.partition(f"on {other}:")[2].count("perplexity within T") == 1
    assert len([*out.glob("lengthwise/*.perplexity-*/seed-0/evaluation.jsonl")]) == 2
    again = ok(*command)
    assert "finished before" in again
    assert again.partition(f"on {other}:")[2].count("perplexity within T") == 1


def test_ways_to_start_a_checkpoint_are_compared(mamba2: Path, texts: Path, tmp_path: Path) -> None:
    options = ("--data", texts, "--context", 8, "--reach", 4, "--rows", 2, "--out", tmp_path / "page")
    shown = ok("compare-starts", f"hf:{mamba2}", "--repaired", f"hf:{mamba2}", *options)
    assert all(way in shown for way in ("whole", "reset every 8", "burn-in of 4", "carried from another"))
    assert (tmp_path / "page" / "starts.csv").exists()


@pytest.mark.slow
def test_weights_keep_their_dtype(texts: Path, tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "half", "mamba2", torch.bfloat16)
    options = ("--bfloat16", "--gradient-checkpointing", 3, "--accumulation", 2)
    ok("post-train", f"hf:{source}", "--data", texts, "--out", tmp_path / "out", "--steps", 2, *TRAINED, *options)
    before, after = (
        {name: p.dtype for name, p in transformers.AutoModelForCausalLM.from_pretrained(folder).named_parameters()}
        for folder in (source, tmp_path / "out")
    )
    assert before == after
    assert torch.bfloat16 in after.values()


def test_a_checkpoint_is_repaired_as_a_run_of_its_family_is(mamba2: Path, texts: Path) -> None:
    source = Checkpoint(mamba2)
    before, repair = measured(source, str(texts), ["task.context=8"]), repair_of("mamba2")
    made = post_trained(source, before, "state_passing", 6)
    assert (made.intervention, made.training.batch_size) == (repair.intervention(), repair.batch_size)
    assert made.training.optimiser.learning_rate == LEARNING_RATE
    assert made.training.batch_size == 8 * made.training.accumulation
    chosen = post_trained(source, before, "state_passing", 6, ["training.batch_size=4"])
    assert (chosen.training.batch_size, chosen.training.accumulation) == (4, 1)
    run = load_recipe("text/mamba2/base")
    assert post_training(run, 0, "state_passing", 6).intervention == made.intervention


@pytest.mark.slow
def test_an_interrupted_post_training_goes_on_bit_equal(mamba2: Path, texts: Path, tmp_path: Path) -> None:
    source = Checkpoint(mamba2)
    before = measured(
        source, str(texts), ["task.context=8", "evaluation.perplexity.reach=4", "evaluation.perplexity.rows=4"]
    )
    recipe = post_trained(source, before, "state_passing", 6, ["training.batch_size=4"])
    whole, cut = tmp_path / "whole" / recipe.name / "seed-0", tmp_path / "cut" / recipe.name / "seed-0"
    assert train_run(recipe, 0, whole) is Outcome.TRAINED
    asked = iter([False, False, True])
    assert train_run(recipe, 0, cut, stop=lambda: next(asked)) is Outcome.INTERRUPTED
    assert load_checkpoint(RunFolder(cut).checkpoint)[1]["step"] == 3
    assert train_run(recipe, 0, cut) is Outcome.TRAINED
    one, other = (load_checkpoint(RunFolder(run).checkpoint)[0] for run in (whole, cut))
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one_with_twice_the_batch(mamba2: Path, texts: Path, tmp_path: Path) -> None:
    """States pass as they come, so that each process's own memory holds what the rows of the one would pass."""
    passing = ("--set", "intervention.permute=false", "--set", "intervention.zero_share=0")
    command = ["post-train", f"hf:{mamba2}", "--data", texts, "--steps", 4, *FEW, "--learning-rate", 0.01, *passing]
    ok(*command, "--batch-size", 4, "--out", tmp_path / "one")
    program = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    program += ["-m", "lengthwise.cli.main", *map(str, command), "--batch-size", "2", "--out", str(tmp_path / "two")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run(program, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert result.returncode == 0, result.stderr
    runs = [
        RunFolder(tmp_path / out / "lengthwise" / "small_mamba2.state_passing" / "seed-0") for out in ("one", "two")
    ]
    one, two = (load_checkpoint(run.checkpoint) for run in runs)
    assert two[1]["processes"] == 2
    assert [run.metrics_rows()[-1]["sequences"] for run in runs] == [16, 16]
    losses = [run.metrics_rows()[-1]["loss"] for run in runs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for name, tensor in one[0].items():
        if name.startswith("model."):
            torch.testing.assert_close(two[0][name], tensor, rtol=1e-3, atol=1e-5)
        if name.startswith("intervention."):
            each = [two[0][name.replace("intervention.", f"intervention.process{rank}.")] for rank in range(2)]
            torch.testing.assert_close(torch.stack(each, 1).flatten(0, 1), tensor, rtol=1e-3, atol=1e-5)
    runs[1].finished.unlink()
    recipe, seed = read_run(runs[1])
    with pytest.raises(InputError, match="begun by 2 processes"):
        train_run(recipe, seed, runs[1].path)


RESUMED = """
import sys
from pathlib import Path

from lengthwise.runs.pretrained import measured, post_trained
from lengthwise.runs.run import Outcome, train_run
from lengthwise.pretrained.checkpoint import Checkpoint
from lengthwise.training.processes import processes_here

folder, texts, out = map(Path, sys.argv[1:])
source = Checkpoint(folder)
changes = ["task.context=8", "evaluation.perplexity.reach=4", "evaluation.perplexity.rows=4"]
before = measured(source, str(texts), changes)
recipe = post_trained(source, before, "state_passing", 6, ["training.batch_size=2"])
asked = iter([False, False, True])
with processes_here("cpu") as processes:
    assert train_run(recipe, 0, out / "whole", processes=processes) is Outcome.TRAINED
    assert train_run(recipe, 0, out / "cut", stop=lambda: next(asked), processes=processes) is Outcome.INTERRUPTED
    assert train_run(recipe, 0, out / "cut", processes=processes) is Outcome.TRAINED
"""


@pytest.mark.slow
def test_an_interrupted_run_of_two_processes_goes_on_bit_equal(mamba2: Path, texts: Path, tmp_path: Path) -> None:
    (tmp_path / "resumed.py").write_text(RESUMED)
    program = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    program += [str(tmp_path / "resumed.py"), str(mamba2), str(texts), str(tmp_path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run(program, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert result.returncode == 0, result.stderr
    whole, cut = (load_checkpoint(RunFolder(tmp_path / run).checkpoint) for run in ("whole", "cut"))
    assert whole[1]["processes"] == cut[1]["processes"] == 2
    assert any(name.startswith("intervention.process1.") for name in whole[0])
    assert whole[0].keys() == cut[0].keys()
    for name, tensor in whole[0].items():
        assert torch.equal(tensor, cut[0][name]), name


def broken(source: Path, folder: Path, file: str, **changes: object) -> Path:
    shutil.copytree(source, folder)
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def test_what_is_no_usable_checkpoint_is_refused(mamba2: Path, texts: Path, tmp_path: Path) -> None:
    data = ("--data", texts, "--out", tmp_path / "page", *FEW)
    assert "is no folder" in refused("diagnose", f"hf:{tmp_path / 'nowhere'}", *data)
    assert "it has no config.json, only 0.txt" in refused("diagnose", f"hf:{texts}", *data)
    (tmp_path / "empty").mkdir()
    assert "it has no config.json and is empty" in refused("diagnose", f"hf:{tmp_path / 'empty'}", *data)
    (tmp_path / "bare").mkdir()
    shutil.copy(mamba2 / "tokenizer.json", tmp_path / "bare")
    shutil.copy(mamba2 / "tokenizer_config.json", tmp_path / "bare")
    assert "it has no config.json" in refused("diagnose", f"hf:{tmp_path / 'bare'}", *data)
    gpt2 = broken(mamba2, tmp_path / "gpt2", "config.json", model_type="gpt2")
    for _ in range(2):
        message = refused("diagnose", f"hf:{gpt2}", *data)
        assert "'gpt2' is not supported here" in message
        assert "mamba2" in message
        (gpt2 / "tokenizer.json").unlink(missing_ok=True)
    (untokenized := broken(mamba2, tmp_path / "untokenized", "config.json") / "tokenizer.json").unlink()
    assert "no tokenizer.json" in refused("diagnose", f"hf:{untokenized.parent}", *data)
    code = broken(mamba2, tmp_path / "code", "config.json", auto_map={"AutoModelForCausalLM": "own.Model"})
    assert "--remote-code" in refused("diagnose", f"hf:{code}", *data)
    pickled = tmp_path / "pickled"
    shutil.copytree(mamba2, pickled)
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    assert "convert them once" in refused("diagnose", f"hf:{pickled}", *data)


def test_a_tokenizer_that_does_not_match_is_refused(mamba2: Path, texts: Path, tmp_path: Path) -> None:
    for words in (10, 90):
        vocabulary = {f"w{number}": number for number in range(words)} | {"<end>": words}
        other = tmp_path / str(words)
        shutil.copytree(mamba2, other)
        Tokenizer(models.WordLevel(vocabulary, "w0")).save(str(other / "tokenizer.json"))
        message = refused("diagnose", f"hf:{other}", "--data", texts, "--out", tmp_path / "page", *FEW)
        assert f"has {words + 1} tokens and the model 48 symbols" in message
    nameless = broken(mamba2, tmp_path / "nameless", "tokenizer_config.json", eos_token=None)
    assert "task.text.separator" in refused("diagnose", f"hf:{nameless}", "--data", texts)


def cut(source: Path, folder: Path, file: str) -> Path:
    shutil.copytree(source, folder)
    whole = (folder / file).read_bytes()
    (folder / file).write_bytes(whole[: len(whole) // 2])
    return folder


@pytest.mark.parametrize("command", ["check", "diagnose", "post-train"])
def test_files_that_cannot_be_read_are_one_line(mamba2: Path, texts: Path, tmp_path: Path, command: str) -> None:
    def line(folder: Path) -> str:
        text = ("--data", texts, "--out", tmp_path / "out", *FEW) if command != "check" else ()
        shown = calls_for_tests.refused(command, f"hf:{folder}", *text).strip().splitlines()
        assert len(shown) == 1, shown
        return shown[0]

    weights = line(cut(mamba2, tmp_path / "weights", "model.safetensors"))
    assert f"{tmp_path / 'weights' / 'model.safetensors'} is cut short" in weights
    assert f"{tmp_path / 'half' / 'config.json'} is not JSON" in line(cut(mamba2, tmp_path / "half", "config.json"))
    heads = line(broken(mamba2, tmp_path / "heads", "config.json", num_heads=5))
    assert f"{tmp_path / 'heads' / 'config.json'} has values" in heads
    if command != "check":
        tokenizer = line(cut(mamba2, tmp_path / "tokenizer", "tokenizer_config.json"))
        assert f"{tmp_path / 'tokenizer' / 'tokenizer_config.json'} is not JSON" in tokenizer
        assert "copy it again" in tokenizer
        (tmp_path / "tokenizer" / "tokenizer_config.json").write_text("[]")
        assert "tokenizer_config.json is not a JSON object" in line(tmp_path / "tokenizer")


def test_a_broken_contract_is_refused(
    mamba2: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [library.LibraryFinding("token by token", None, Finding("token by token", 0.5, library.TOLERANCE))]
    monkeypatch.setattr(library, "check_library", lambda model, clauses: found)
    message = refused("diagnose", f"hf:{mamba2}", "--data", texts, "--out", tmp_path / "page", *FEW)
    assert "token by token 5e-01, allowed 1e-04" in message


def test_options_and_folders_that_do_not_fit_are_refused(mamba2: Path, texts: Path, tmp_path: Path) -> None:
    model = f"hf:{mamba2}"
    assert "needs text: --data" in refused("diagnose", model)
    assert "needs --out" in refused("post-train", model, "--data", texts)
    assert "--data" in refused("post-train", texts, "--data", texts)
    assert "hf:PATH" in refused("diagnose", texts, "--context", 8)
    for wrong in (mamba2, mamba2 / "out", mamba2.parent):
        said = refused("post-train", model, "--data", texts, "--out", wrong, "--replace")
        assert "is the checkpoint itself, in it or around it" in said
    assert "exists and is not what this command makes" in refused("post-train", model, "--data", texts, "--out", texts)
    assert "does not exist" in refused("diagnose", model, "--data", tmp_path / "lost", "--out", tmp_path / "page")
    old = refused("diagnose", model, "--data", texts, "--set", "evaluation.remembrance_starts=8")
    assert "evaluation.remembrance_starts: unknown key" in old
    assert "regular" not in old
    short = refused("post-train", model, "--data", texts, "--out", tmp_path / "out", "--context", 5000)
    assert "text" in short
    assert "did you mean" in refused(
        "post-train", model, "--data", texts, "--out", tmp_path / "new", "--intervention", "zeros"
    )
