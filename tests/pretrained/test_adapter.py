"""Models of transformers as sequence models, on the installed version."""

# ruff: noqa: E402

import copy
import json
import math
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.checkpoint import checkpoint as checkpoint_call

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra hf)")

from typer.testing import CliRunner

from lengthwise.cli.main import app
from lengthwise.errors import InputError, RunError
from lengthwise.evaluation.contract import check_contract, relative_difference
from lengthwise.evaluation.serving import POSITIONS, check_serving
from lengthwise.interventions.passing import StatePassingConfig
from lengthwise.pretrained import HuggingFaceConfig, library, load_huggingface
from lengthwise.pretrained.adapter import HuggingFaceModel
from lengthwise.pretrained.checkpoint import Checkpoint
from lengthwise.pretrained.clauses import CLAUSES, READING, TRAINING
from lengthwise.pretrained.families import FAMILIES
from lengthwise.pretrained.library import check_library, require_contract
from lengthwise.pretrained.loading import tiny_model
from lengthwise.pretrained.patches import SEEN_RIGHT, PatchedCache
from lengthwise.state import Kind, State

transformers.utils.logging.set_verbosity_error()

ONE_OF_EACH_PATCH = [
    "mamba",
    "zamba",
    "bamba",
    "qwen3_next",
    "kimi_linear",
    "rwkv",
    "xlstm",
    "minimax",
    "recurrent_gemma",
]
UNPATCHED_FAULTS = {
    "mamba": "chunks of 19 and 13",
    "bamba": "chunks of 19 and 13",
    "nemotron_h": "token by token",
    "olmo_hybrid": "gradient through the cache",
    "rwkv": "token by token",
    "minimax": "chunks of 19 and 13",
    "recurrent_gemma": "chunks of 19 and 13",
}


def model_of(family: str, seed: int = 0, **settings: object) -> HuggingFaceModel:
    torch.manual_seed(seed)
    return tiny_model(family, **settings)


def tokens_of(rows: int, length: int, seed: int = 1) -> Tensor:
    return torch.randint(3, 48, (rows, length), generator=torch.Generator().manual_seed(seed))


def one_call(model: HuggingFaceModel, tokens: Tensor) -> Tensor:
    return model.model(input_ids=tokens, use_cache=False).logits


def chunks(model: HuggingFaceModel, tokens: Tensor, *sizes: int) -> Tensor:
    state, logits = None, []
    for piece in tokens.split(list(sizes), 1):
        read, state = model(piece, state)
        logits.append(read)
    return torch.cat(logits, 1)


def gradients(model: HuggingFaceModel, read: Callable[[], Tensor]) -> Tensor:
    logits = read()
    weighted = (logits * torch.arange(logits.numel()).cos().reshape(logits.shape)).sum()
    found = torch.autograd.grad(weighted, list(model.parameters()), allow_unused=True)
    return torch.cat([g.flatten() for g in found if g is not None])


def assert_near(found: Tensor, expected: Tensor, tolerance: float = 1e-4) -> None:
    assert found.shape == expected.shape
    assert float((found - expected).detach().abs().max()) <= tolerance * float(expected.detach().abs().max())


def attributes(model: HuggingFaceModel) -> dict[str, dict[str, int]]:
    return {name: {key: id(value) for key, value in vars(m).items()} for name, m in model.model.named_modules()}


@pytest.mark.parametrize("family", FAMILIES)
def test_chunks_equal_the_librarys_single_call_in_value_and_gradient(family: str) -> None:
    model, tokens = model_of(family), tokens_of(2, 21)
    assert_near(chunks(model, tokens, 11, 1, 9), one_call(model, tokens))
    through_chunks = gradients(model, lambda: chunks(model, tokens, 12, 9))
    assert_near(through_chunks, gradients(model, lambda: one_call(model, tokens)))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_recurrent_entry_gets_a_gradient_and_gives_one(family: str) -> None:
    model, tokens = model_of(family), tokens_of(2, 9)
    before = model(tokens).state.detach().map(lambda t: t.requires_grad_(), [Kind.RECURRENT])
    logits, after = model(tokens[:, :3], before)
    names = [name for name, kind in before.kinds.items() if kind is Kind.RECURRENT]
    entries = [before[name] for name in names]
    assert names
    assert all(g is not None for g in torch.autograd.grad(logits.sum(), entries, retain_graph=True, allow_unused=True))
    final = torch.autograd.grad(sum(after[name].sum() for name in names), entries, allow_unused=True)
    assert all(g is not None for g in final)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["mamba2", "jamba", "falcon_h1", "minimax", "recurrent_gemma"])
def test_the_whole_contract(family: str) -> None:
    findings = check_contract(model_of(family), 48, length=13, batch_size=2)
    assert all(finding.holds for finding in findings), findings


def test_a_model_can_be_copied_after_it_was_checked() -> None:
    model, tokens = model_of("recurrent_gemma"), tokens_of(2, 9)
    check_library(model)
    assert torch.equal(copy.deepcopy(model)(tokens).logits, model(tokens).logits)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_no_clause_of_serving_is_broken(family: str) -> None:
    findings = check_serving(model_of(family), 48, length=13)
    assert not [finding for finding in findings if finding.broken]
    assert all(finding.clause == POSITIONS for finding in findings if finding.not_asked)


def test_a_copy_gives_its_own_weights_as_trained() -> None:
    model = model_of("rwkv", num_hidden_layers=2, rescale_every=1)
    trained = {name: weight.clone() for name, weight in model.train().state_dict().items()}
    copied = copy.deepcopy(model)
    copied.eval()(tokens_of(1, 3))
    assert all(torch.equal(weight, trained[name]) for name, weight in copied.state_dict().items())


@pytest.mark.parametrize("family", ONE_OF_EACH_PATCH)
def test_patches_leave_no_trace(family: str) -> None:
    model, tokens = model_of(family), tokens_of(2, 12)
    module = sys.modules[type(model.model).__module__]
    names = dict(vars(module))
    with torch.no_grad():
        before = one_call(model, tokens)
        model.initial_state(2)
        weights = {name: w.clone() for name, w in model.state_dict().items()}
        kept = attributes(model)
        chunks(model, tokens, 5, 7)
        with pytest.raises(IndexError):
            model(torch.full((2, 3), 48))
        assert attributes(model) == kept
        assert torch.equal(one_call(model, tokens), before)
    assert dict(vars(module)) == names
    assert all(torch.equal(w, weights[name]) for name, w in model.state_dict().items())


@pytest.mark.parametrize("family", [*ONE_OF_EACH_PATCH[:-1], "mamba2"])
def test_the_unpatched_model_is_what_a_user_of_the_library_gets(family: str) -> None:
    model, tokens = model_of(family), tokens_of(2, 14)
    keyword = {"rwkv": "state", "mamba": "cache_params", "mamba2": "cache_params", "xlstm": "cache_params"}.get(
        family, "past_key_values"
    )
    cache, logits = {}, []
    with torch.no_grad():
        for piece in tokens.split([8, 5, 1], 1)[:2]:
            output = model.model(input_ids=piece, use_cache=True, **cache)
            cache = {keyword: getattr(output, keyword)}
            logits.append(output.logits)
        unpatched = chunks(HuggingFaceModel(model.model, patched=False), tokens[:, :13], 8, 5)
    assert torch.equal(torch.cat(logits, 1), unpatched)


@pytest.mark.slow
@pytest.mark.skipif(transformers.__version__ not in SEEN_RIGHT, reason="faults of another version of transformers")
@pytest.mark.parametrize(("family", "clause"), UNPATCHED_FAULTS.items())
def test_the_check_sees_what_the_library_does_wrong_alone(family: str, clause: str) -> None:
    findings = {finding.clause: finding for finding in check_library(model_of(family))}
    assert tuple(findings) == CLAUSES
    assert findings[clause].alone is not None
    assert not findings[clause].alone.holds
    assert all(finding.holds for finding in findings.values())


def test_state_passing_touches_recurrent_entries_only() -> None:
    model, tokens = model_of("jamba"), tokens_of(4, 10)
    passing, rng = StatePassingConfig(zero_probability=0).build(), torch.Generator().manual_seed(0)
    _, final = model(tokens, passing.begin(model, 4, rng))
    passing.observe(final)
    start, initial = passing.begin(model, 4, rng), model.initial_state(4)
    assert set(start.kinds.values()) == {Kind.RECURRENT, Kind.CONV, Kind.CACHE, Kind.POSITION}
    for name, kind in start.kinds.items():
        if kind is Kind.RECURRENT:
            assert {tuple(row.flatten().tolist()) for row in start[name]} == {
                tuple(row.flatten().tolist()) for row in final[name]
            }
        else:
            assert torch.equal(start[name], initial[name])
    assert start["layers.1.keys"].shape == (4, 2, 0, 8)
    assert not torch.equal(model(tokens, start).logits, model(tokens, initial).logits)


def test_a_passed_state_of_recurrent_gemma_is_not_reset() -> None:
    model, tokens = model_of("recurrent_gemma"), tokens_of(2, 6)
    start = model.start_from(model(tokens).state)
    assert start["position"].tolist() == [1, 1]
    forgotten = start.map(torch.zeros_like, [Kind.RECURRENT])
    assert not torch.allclose(model(tokens, start).logits, model(tokens, forgotten).logits, rtol=1e-3)


def test_rows_of_states_are_joined_at_their_own_positions() -> None:
    model, tokens = model_of("bamba"), tokens_of(2, 12)
    states = [model.start_from(model(tokens[:, :n]).state) for n in (3, 7)]
    shifted = State({**states[1], "position": states[1]["position"] + 40}, states[1].kinds)
    together = model(tokens, State.concat([states[0].rows([0]), shifted.rows([1])])).logits
    alone = torch.cat([model(tokens[:1], states[0].rows([0])).logits, model(tokens[1:], shifted.rows([1])).logits])
    assert_near(together, alone)


@pytest.mark.parametrize("family", ["mamba", "mamba2", "qwen3_next", "rwkv"])
def test_a_model_in_bfloat16_reads_on_from_its_own_state_and_a_fresh_one(family: str) -> None:
    model, tokens = model_of(family).bfloat16(), tokens_of(2, 8)
    state = model(tokens, model.initial_state(2)).state
    assert torch.isfinite(model(tokens, state).logits).all()
    assert {state[name].dtype for name, kind in state.kinds.items() if kind is Kind.RECURRENT} == {torch.float32}


def test_state_is_carried_in_training_mode() -> None:
    for family in ("mamba2", "rwkv", "xlstm"):
        model, tokens = model_of(family), tokens_of(2, 12)
        model.train()
        assert_near(chunks(model, tokens, 5, 7), one_call(model, tokens))
        assert model.model.training


@pytest.mark.parametrize("family", ["mamba", "jamba", "qwen3_next", "rwkv"])
def test_chunks_of_tokens_can_be_checkpointed_and_the_librarys_own_way_is_refused(family: str) -> None:
    model, tokens = model_of(family).train(), tokens_of(2, 12)

    def read() -> Tensor:
        logits, state = checkpoint_call(model, tokens[:, :7], model.initial_state(2), use_reentrant=False)
        return torch.cat([logits, checkpoint_call(model, tokens[:, 7:], state, use_reentrant=False).logits], 1)

    assert_near(gradients(model, read), gradients(model, lambda: chunks(model, tokens, 7, 5)))
    # The library renamed it, and warns of the old name.
    new = hasattr(model.model, "activation_checkpointing_enable")
    getattr(model.model, f"{'activation' if new else 'gradient'}_checkpointing_enable")()
    with pytest.raises(InputError, match="does not carry a state"):
        model(tokens)


@pytest.mark.parametrize("family", ["mamba2", "rwkv"])
def test_save_writes_a_checkpoint_that_the_library_reads_alone(family: str, tmp_path: Path) -> None:
    model, tokens = model_of(family), tokens_of(2, 12)
    expected = one_call(model, tokens)
    (source := tmp_path / "source").mkdir()
    model.model.generation_config.max_new_tokens = 7
    model.save(source)
    (source / "tokenizer.json").write_text("{}")
    loaded = load_huggingface(source)
    assert loaded.model.generation_config.max_new_tokens == 7
    assert torch.equal(loaded(tokens).logits, model(tokens).logits)
    loaded.save(tmp_path / "repaired")
    assert (tmp_path / "repaired" / "tokenizer.json").read_text() == "{}"
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "repaired").eval()
    assert torch.equal(again(input_ids=tokens, use_cache=False).logits, expected)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    model_of("mamba2").save(folder)
    return folder


def changed(checkpoint: Path, folder: Path, **settings: object) -> Path:
    shutil.copytree(checkpoint, folder)
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    return folder


def test_folders_that_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere is no folder"):
        load_huggingface(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(InputError, match=r"no config\.json, only notes\.txt"):
        load_huggingface(tmp_path)
    with pytest.raises(InputError, match=r"'gpt2' is not supported here; supported: mamba, falcon_mamba, .*xlstm"):
        load_huggingface(changed(checkpoint, tmp_path / "gpt2", model_type="gpt2"))
    (empty := changed(checkpoint, tmp_path / "empty") / "model.safetensors").unlink()
    with pytest.raises(InputError, match="but no weights"):
        load_huggingface(empty.parent)
    torch.save({}, empty.parent / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"pickled weights \(pytorch_model\.bin\).*convert them once"):
        load_huggingface(empty.parent)
    with pytest.raises(InputError, match="lacks weights that its architecture has"):
        load_huggingface(changed(checkpoint, tmp_path / "deeper", num_hidden_layers=3))
    with pytest.raises(
        InputError, match=r"config\.json describes other weights.* has the sizes \[128\] by .* and \[96\] in .* more$"
    ):
        load_huggingface(changed(checkpoint, tmp_path / "wider", state_size=16))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_hidden_layers": 10**8}, r"describes 100,000,000 layers, and .* holds 21 tensors"),
        ({"vocab_size": 10**7}, r"describes other weights .* holds: 640,\d+,\d+ numbers, and there are \d+,"),
        ({"vocab_size": 0}, r"vocab_size should be a number of symbols, not 0$"),
        (
            {"num_heads": 5},
            r"config\.json has values .* hidden_size \* expand \(64\) must equal .* \(80\); it was written by 5",
        ),
        (
            {"hidden_size": "abc"},
            r"config\.json has values .* 'hidden_size' expected int, got str \(value: 'abc'\); it was",
        ),
        ({"dtype": "float33"}, r"config\.json has values .* no attribute 'float33'; it was written by"),
        ({"hidden_act": "relux"}, r"cannot load .*: KeyError: 'relux'$"),
    ],
)
def test_values_that_the_library_does_not_take_are_refused(
    checkpoint: Path, tmp_path: Path, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message) as refused:
        load_huggingface(changed(checkpoint, tmp_path / "changed", **settings))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kept", [slice(0), slice(5), slice(-100)])
def test_weights_that_are_cut_short_are_refused(checkpoint: Path, tmp_path: Path, kept: slice) -> None:
    file = changed(checkpoint, tmp_path / "cut") / "model.safetensors"
    file.write_bytes(file.read_bytes()[kept])
    with pytest.raises(InputError, match=rf"model\.safetensors is cut short .* has {file.stat().st_size:,} bytes$"):
        load_huggingface(file.parent)


def test_weights_that_are_not_finite_are_told_as_such(checkpoint: Path, tmp_path: Path) -> None:
    folder = changed(checkpoint, tmp_path / "spoiled")
    held = load_file(folder / "model.safetensors")
    held["backbone.norm_f.weight"][3] = torch.nan
    save_file(held, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"not a finite number: backbone\.norm_f\.weight$"):
        load_huggingface(folder)


def test_a_model_that_the_library_builds_and_cannot_read_with_is_refused() -> None:
    with pytest.raises(InputError, match=r"cannot read 3 rows of 32 tokens with this mamba2: ZeroDivisionError"):
        check_library(model_of("mamba2", chunk_size=0))


def test_code_in_a_checkpoint_is_refused_unless_allowed(checkpoint: Path, tmp_path: Path) -> None:
    folder = changed(checkpoint, tmp_path / "code", auto_map={"AutoModelForCausalLM": "own.Model"})
    (folder / "own.py").write_text("raise SystemExit('code was run')")
    with pytest.raises(InputError, match=r"code of its own \(own\.py\).*remote_code: true"):
        load_huggingface(folder)
    with pytest.raises(SystemExit, match="code was run"):
        load_huggingface(folder, remote_code=True)


def test_settings_build_models_for_their_vocabulary(checkpoint: Path) -> None:
    tiny = HuggingFaceConfig(family="rwkv").build(30, 30)
    assert tiny(torch.tensor([[29]])).logits.shape == (1, 1, 30)
    assert HuggingFaceConfig(path=checkpoint).build(40, 40).vocabulary == 48
    with pytest.raises(InputError, match="the text has 49 tokens and the model 48 symbols"):
        HuggingFaceConfig(path=checkpoint).build(49, 49)
    with pytest.raises(InputError, match="as many classes as symbols"):
        HuggingFaceConfig().build(48, 2)
    with pytest.raises(InputError, match="unknown family 'mamba3'; did you mean 'mamba"):
        HuggingFaceConfig(family="mamba3").build(48, 48)
    with pytest.raises(InputError, match="did you mean 'state_size'"):
        tiny_model("mamba2", state_sise=4)


def test_a_state_that_no_scan_reads_is_an_error() -> None:
    model = model_of("mamba2")
    cache = PatchedCache(model.model.config)
    with pytest.raises(RunError, match="starts without a state"):
        cache.take()
    cache.layers[0].recurrent_states[0] = torch.zeros(1, 4, 16, 8)
    cache.get_recurrent_state(0)
    with pytest.raises(RunError, match="did not read its carried state"):
        cache.check_all_taken()


@pytest.mark.slow
def test_a_broken_contract_is_refused_with_the_measured_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("mamba2")
    require_contract(model, CLAUSES)
    monkeypatch.setattr(library, "TOLERANCE", 0.0)
    with pytest.raises(InputError, match=r"mamba2 does not carry its state rightly.*chunks of 19 and 13 \de-0"):
        require_contract(model, CLAUSES)
    assert CliRunner().invoke(app, ["check", "hf-config:mamba2"]).exit_code == 1


@pytest.mark.slow
def test_the_command_checks_a_checkpoint_and_a_family(checkpoint: Path) -> None:
    for subject in (f"hf:{checkpoint}", "hf-config:mamba2"):
        ended = CliRunner().invoke(app, ["check", subject])
        lines = ended.stdout.splitlines()
        assert ended.exit_code == 0, ended.output
        assert lines[0].startswith(f"mamba2: transformers {transformers.__version__}")
        assert [line.split("\t")[0] for line in lines[2:]] == list(CLAUSES)
        assert all(line.endswith("\tholds") for line in lines[2:])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["hf:nowhere"], "nowhere is no folder"),
        (["hf-config:mambo"], "unknown family 'mambo'; did you mean 'mamba'?"),
        (["hf-config:mamba2", "--set", "state_sise=3"], "mamba2 has no setting 'state_sise'"),
        (["hf-config:mamba2", "--set", "num_heads=5"], "transformers builds no mamba2 with {'num_heads': 5}: Incons"),
        (["hf-config:mamba2", "--set", "chunk_size=0"], "transformers cannot read 3 rows of 32 tokens"),
        (["hf-config:mamba2", "--length", "9"], "leave --length out"),
    ],
)
def test_bad_input_of_the_command(arguments: list[str], message: str) -> None:
    ended = CliRunner().invoke(app, ["check", *arguments])
    assert ended.exit_code == 2
    assert message in ended.stderr


@pytest.mark.parametrize(
    ("expected", "found"),
    [(1.0, math.nan), (math.nan, 1.0), (math.inf, 1.0), (1.0, math.inf), (math.inf, math.inf), (math.nan, math.nan)],
)
def test_what_is_not_finite_is_infinitely_far_from_anything(expected: float, found: float) -> None:
    """An infinity over an infinity is NaN, which `max` passes over when it does not come first."""
    assert relative_difference(torch.tensor([1.0, expected]), torch.tensor([1.0, found])) == math.inf
    assert relative_difference(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0])) == 0


def with_settings(folder: Path, settings: dict[str, object]) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "model.safetensors").write_bytes(b"")
    return folder


@pytest.mark.parametrize("family", ["hgrn2", "gated_deltaproduct"])
def test_recurrent_families_that_are_not_read_yet_are_not_said_to_have_no_state(family: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"'{family}' is not supported here yet \(.*flash-linear-attention\)"):
        load_huggingface(with_settings(tmp_path / "a", {"model_type": family}))


def test_other_formats_are_told_by_what_they_hold(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match=r"no config\.json, only adapter_config\.json; give its base"):
        load_huggingface(tmp_path / "adapter")
    (changed(checkpoint, tmp_path / "both") / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match=r"an adapter .* beside its base.*merge_and_unload"):
        load_huggingface(tmp_path / "both")


def test_shards_that_are_missing_or_not_listed_are_named(checkpoint: Path, tmp_path: Path) -> None:
    folder = changed(checkpoint, tmp_path / "shards")
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    with pytest.raises(InputError, match=r"but no weights; .*, and not other\.safetensors$"):
        load_huggingface(folder)
    for places, message in (
        ({}, "no weight_map"),
        ({"a": "../b"}, "no weight_map"),
        ({"a": "b"}, "shards .* names: b"),
    ):
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
        with pytest.raises(InputError, match=message):
            load_huggingface(folder)


def test_published_settings_of_xlstm_are_read_without_its_kernels(tmp_path: Path) -> None:
    model = model_of("xlstm")
    model.save(tmp_path / "xlstm")
    published = {"chunkwise_kernel": "chunkwise--triton_xl_chunk", "sequence_kernel": "native_sequence__triton"}
    file = tmp_path / "xlstm" / "config.json"
    settings = json.loads(file.read_text()) | published | {"step_kernel": "triton"}
    file.write_text(json.dumps({k: v for k, v in settings.items() if k not in ("hidden_size", "num_hidden_layers")}))
    tokens = tokens_of(2, 9)
    assert torch.equal(load_huggingface(tmp_path / "xlstm")(tokens).logits, model(tokens).logits)


BIASES = {
    "mamba": ("use_bias",),
    "mamba2": ("use_bias",),
    "falcon_mamba": ("use_bias",),
    "jamba": ("mamba_proj_bias",),
    "zamba": ("mamba_proj_bias",),
    "bamba": ("mamba_proj_bias",),
    "falcon_h1": ("mamba_proj_bias", "projectors_bias", "attention_bias", "mlp_bias"),
    "granitemoehybrid": ("mamba_proj_bias", "attention_bias"),
    "nemotron_h": ("use_bias", "mamba_proj_bias", "attention_bias", "mlp_bias"),
    "zamba2": ("add_bias_linear",),
}


@pytest.mark.parametrize("family", BIASES)
def test_padding_on_the_left_changes_nothing_where_projections_have_biases(family: str) -> None:
    model = model_of(family, **dict.fromkeys(BIASES[family], True))
    biases = [p for name, p in model.named_parameters() if name.endswith("in_proj.bias")]
    assert biases
    with torch.no_grad():
        for bias in biases:
            bias.normal_(std=0.5)
        tokens, before = tokens_of(2, 9), torch.tensor([0, 4])
        mask = (torch.arange(9) >= before[:, None]).long()
        padded = model.left_padded_logits(tokens * mask, mask)
        assert_near(padded[:1], one_call(model, tokens[:1]))
        assert_near(padded[1:, 4:], one_call(model, tokens[1:, 4:]))


def test_a_mask_of_anything_but_padding_on_the_left_is_refused() -> None:
    model, tokens = model_of("mamba"), tokens_of(2, 3)
    for mask in (torch.tensor([[1, 1, 0], [1, 1, 1]]), torch.tensor([[1, 0, 1], [1, 1, 1]]), torch.ones(2, 2)):
        with pytest.raises(InputError, match="zeros only before the ones"):
            model.left_padded_logits(tokens, mask)


def test_a_use_asks_for_the_clauses_that_it_needs(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[set[str]]()
    original = check_library

    def counting(model: HuggingFaceModel, clauses: set[str]) -> list[library.LibraryFinding]:
        asked.append(set(clauses))
        return original(model, clauses=clauses)

    monkeypatch.setattr(library, "check_library", counting)
    opened = Checkpoint(checkpoint)
    for clauses in (READING, READING, TRAINING):
        opened.require(clauses)
    assert asked == [set(READING), set(TRAINING) - set(READING)]
    assert "left padding" not in {*TRAINING, *READING}
