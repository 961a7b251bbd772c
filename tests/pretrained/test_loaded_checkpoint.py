"""A checkpoint that is loaded and checked once, and the models that are copied from it."""

import os
import shutil
from pathlib import Path

import pytest
import torch

os.environ["HF_HUB_OFFLINE"] = "1"
pytest.importorskip("transformers", reason="transformers is not installed (extra hf)")

from lengthwise.errors import InputError
from lengthwise.pretrained import HuggingFaceConfig, library
from lengthwise.pretrained.checkpoint import Checkpoint
from lengthwise.pretrained.loading import tiny_model
from lengthwise.runs.recipe import Recipe, validate_recipe

TOKENS = torch.randint(3, 48, (2, 12), generator=torch.Generator().manual_seed(0))


def checkpoint(folder: Path, family: str, dtype: torch.dtype = torch.float32) -> Checkpoint:
    torch.manual_seed(0)
    tiny_model(family).to(dtype).save(folder)
    return Checkpoint(folder)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["mamba2", "rwkv"])
def test_copies_are_apart_and_as_they_were_saved(family: str, tmp_path: Path) -> None:
    source = checkpoint(tmp_path, family)
    saved = {name: tensor.clone() for name, tensor in source.loaded.state_dict().items()}
    first = source.model()
    expected = first(TOKENS).logits
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.fill_(1)
    second = source.model()
    for name, tensor in second.state_dict().items():
        assert torch.equal(tensor, saved[name]), name
    assert torch.equal(second(TOKENS).logits, expected)


def test_reading_for_evaluation_leaves_the_weights_as_they_are_trained() -> None:
    """transformers halves some weights of RWKV-4 there, which a checkpoint in the middle of training would keep."""
    torch.manual_seed(0)
    model = tiny_model("rwkv").eval()
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model(TOKENS)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())


def test_models_are_in_float32_and_what_is_written_in_the_dtypes_of_the_source(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "source", "mamba2", torch.bfloat16)
    model = source.model()
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    (tmp_path / "out").mkdir()
    source.export(model.state_dict(), tmp_path / "out")
    written, dtypes = (
        {name: parameter.dtype for name, parameter in one.named_parameters()}
        for one in (Checkpoint(tmp_path / "out").loaded, source.loaded)
    )
    assert written == dtypes


def test_settings_copy_from_a_checkpoint_at_hand_if_it_is_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, other = checkpoint(tmp_path / "source", "mamba2"), checkpoint(tmp_path / "other", "mamba2")
    checks: list[object] = []
    monkeypatch.setattr(library, "require_contract", lambda model, clauses: checks.append(clauses))
    settings = HuggingFaceConfig(path=source.path)
    at_hand = settings.made_from(source)
    assert at_hand.model_dump() == settings.model_dump()
    for _ in range(3):
        at_hand.build(48, 48)
    assert len(checks) == 1
    settings.made_from(other).build(48, 48)
    assert len(checks) == 2


def recipe_of(folder: Path) -> Recipe:
    settings = {"task": "parity", "model": {"name": "huggingface", "path": str(folder)}, "name": "of_checkpoint"}
    return validate_recipe(settings, "test")


def test_a_digest_is_of_what_a_checkpoint_holds_and_not_of_where_it_lies(tmp_path: Path) -> None:
    checkpoint(tmp_path / "here", "mamba2")
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    here = recipe_of(tmp_path / "here")
    assert here.stands_for().keys() == {"model"}
    assert recipe_of(tmp_path / "there").digest() == here.digest()
    (tmp_path / "there" / "NOTICE").write_text("decides nothing")
    assert recipe_of(tmp_path / "there").digest() == here.digest()
    sealed = here.beginning()
    weights = bytearray((tmp_path / "here" / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "here" / "model.safetensors").write_bytes(weights)
    assert here.digest() != recipe_of(tmp_path / "there").digest()
    with pytest.raises(InputError, match=r"stands for something else than when its run began \(model: "):
        sealed.sealed()


def test_runs_from_before_checkpoints_were_known_by_their_content_are_read(tmp_path: Path) -> None:
    checkpoint(tmp_path / "mamba2", "mamba2")
    recipe = recipe_of(Path("mamba2")).model_copy(update={"content": {}})
    assert recipe.digest() == "8240f66eb3cb8805"
    sealed = recipe_of(tmp_path / "mamba2").model_copy(update={"content": {}}).sealed()
    assert sealed.content == {}
