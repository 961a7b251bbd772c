"""States to the caches of transformers and back, on the installed version."""

# ruff: noqa: E402

import os

import pytest
import torch

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra hf)")

from lengthwise.errors import InputError
from lengthwise.pretrained.adapter import HuggingFaceModel
from lengthwise.pretrained.families import FAMILIES
from lengthwise.pretrained.loading import tiny_model
from lengthwise.state import Kind, State

transformers.utils.logging.set_verbosity_error()

READ, WHOLE = 9, 14


def model_and_tokens(family: str, rows: int = 2) -> tuple[HuggingFaceModel, torch.Tensor]:
    torch.manual_seed(0)
    return tiny_model(family), torch.randint(3, 48, (rows, WHOLE))


@torch.no_grad()
@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"recurrent_gemma"}))
def test_a_state_comes_back_from_the_librarys_cache(family: str) -> None:
    model, tokens = model_and_tokens(family)
    state = model(tokens[:, :READ]).state
    again = model.from_cache(model.to_cache(state), READ)
    assert dict(again.kinds) == dict(state.kinds)
    assert all(torch.equal(again[name], state[name]) for name in state)
    before = again.map(torch.clone)
    for cached in model.to_cache(again), model.to_cache(state):
        model.from_cache(cached, READ).map(torch.zero_)
    assert all(torch.equal(again[name], before[name]) for name in before)


@torch.no_grad()
@pytest.mark.parametrize(
    ("family", "keyword"),
    [
        ("mamba", "cache_params"),
        ("mamba2", "cache_params"),
        ("jamba", "past_key_values"),
        ("qwen3_next", "past_key_values"),
        ("xlstm", "cache_params"),
        ("rwkv", "state"),
    ],
)
def test_the_library_goes_on_from_a_state_and_a_state_from_the_library(family: str, keyword: str) -> None:
    # With more rows the library's RWKV mixes them when it reads a single token.
    model, tokens = model_and_tokens(family, rows=1)
    expected = model(tokens).logits
    cache = model.to_cache(model(tokens[:, :READ]).state)
    output = model.model(input_ids=tokens[:, READ : READ + 1], use_cache=True, **{keyword: cache})
    state = model.from_cache(getattr(output, keyword), READ + 1)
    after = model(tokens[:, READ + 1 :], state).logits
    torch.testing.assert_close(output.logits[:, -1], expected[:, READ], rtol=0, atol=2e-5)
    torch.testing.assert_close(after, expected[:, READ + 1 :], rtol=0, atol=2e-5)


def test_what_the_librarys_cache_cannot_hold_is_refused() -> None:
    model, tokens = model_and_tokens("recurrent_gemma")
    for convert in (lambda: model.to_cache(model(tokens).state), lambda: model.from_cache(None, 1)):
        with pytest.raises(InputError, match="recurrent_gemma of transformers keeps its state in its modules"):
            convert()
    model, tokens = model_and_tokens("jamba")
    state = model(tokens).state
    moved = State({**state, "position": state["position"] + torch.tensor([0, 1])}, state.kinds)
    assert moved.kinds["position"] is Kind.POSITION
    with pytest.raises(InputError, match=r"counts positions by the 14 keys in its cache, and .* are at \[14, 15\]"):
        model.to_cache(moved)
