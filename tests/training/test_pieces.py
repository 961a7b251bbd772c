"""Windows read in parts and in pieces: less memory, the same training."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lengthwise.errors import InputError
from lengthwise.interventions import INTERVENTIONS
from lengthwise.models.backbone import BackboneConfig
from lengthwise.pretrained.families import FAMILIES
from lengthwise.tasks.corpus import Corpus, TextConfig
from lengthwise.tasks.windows import RandomWindows
from lengthwise.training.config import TextTrainingConfig
from lengthwise.training.text import TextTrainer

os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    rng = np.random.default_rng(0)
    for number in range(8):
        (tmp_path / f"{number}.txt").write_text("".join(rng.choice(["the cat ", "sat on ", "a mat\n"], size=60)))
    settings = {"source": {"name": "files", "paths": [str(tmp_path)]}, "held_out": 0.3}
    return Corpus.load(TextConfig.model_validate(settings))


def trainer(corpus: Corpus, model: torch.nn.Module | None = None, **settings: Any) -> TextTrainer:
    torch.manual_seed(0)
    model = model or BackboneConfig(width=8, layers=2).build(corpus.vocabulary, corpus.vocabulary).double()
    config = TextTrainingConfig.model_validate({"steps": 3, "batch_size": 5, "context": 9} | settings)
    passing = INTERVENTIONS.load("state_passing")().build()
    return TextTrainer(model, RandomWindows(corpus, "train", 9, 5), passing, config, 0)


@pytest.mark.parametrize("settings", [{"accumulation": 2}, {"accumulation": 5}, {"recompute": 4}, {"recompute": 100}])
def test_parts_and_pieces_change_nothing(corpus: Corpus, settings: dict[str, int]) -> None:
    whole, parts = trainer(corpus), trainer(corpus, **settings)
    for _ in range(3):
        one, other = whole.train_step(), parts.train_step()
        # The loss is taken in float32.
        assert one == pytest.approx(other, rel=1e-5)
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(parts.model.state_dict()[name], value, rtol=1e-3, atol=1e-6)


def test_more_parts_than_windows_are_refused(corpus: Corpus) -> None:
    with pytest.raises(InputError, match=r"6 parts a step \(training.accumulation\)"):
        trainer(corpus, accumulation=6)


def test_bfloat16_keeps_parameters_and_states_in_float32(corpus: Corpus) -> None:
    exact = trainer(corpus)
    rounded = trainer(corpus, exact.model.float(), precision="bfloat16")
    losses = [(rounded.train_step()["loss"]) for _ in range(3)]
    assert losses[0] == pytest.approx(trainer(corpus).train_step()["loss"], rel=0.02)
    tensors, _ = rounded.state()
    assert not [name for name, value in tensors.items() if value.dtype == torch.bfloat16]


@pytest.mark.parametrize("family", FAMILIES)
def test_pieces_change_no_gradient_of_a_family_of_transformers(corpus: Corpus, family: str) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed (extra hf)")
    from lengthwise.pretrained.loading import tiny_model

    gradients = list[torch.Tensor]()
    for recompute in (None, 4):
        torch.manual_seed(0)
        made = trainer(corpus, tiny_model(family, vocab_size=corpus.vocabulary), recompute=recompute)
        for _ in range(2):
            made.model.zero_grad()
            for term in made.terms(1.0):
                term.total.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in made.model.parameters() if p.grad is not None]))
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-3, atol=1e-5)
