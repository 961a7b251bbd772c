"""A checkpoint that is loaded and checked once, and the models that are copied from it."""

import os
from pathlib import Path

import pytest
import torch

os.environ["HF_HUB_OFFLINE"] = "1"
pytest.importorskip("transformers", reason="transformers is not installed (extra hf)")

from lengthwise.pretrained import HuggingFaceConfig, library
from lengthwise.pretrained.checkpoint import Checkpoint
from lengthwise.pretrained.loading import tiny_model

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
    (tmp_path / "source" / "LICENSE").write_text("mine")
    source.export(model.state_dict(), tmp_path / "out")
    assert (tmp_path / "out" / "LICENSE").read_text() == "mine"
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
    monkeypatch.setattr(library, "require_contract", checks.append)
    settings = HuggingFaceConfig(path=source.path)
    at_hand = settings.made_from(source)
    assert at_hand.model_dump() == settings.model_dump()
    for _ in range(3):
        at_hand.build(48, 48)
    assert len(checks) == 1
    settings.made_from(other).build(48, 48)
    assert len(checks) == 2
