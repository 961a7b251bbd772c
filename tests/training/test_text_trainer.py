from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lengthwise.errors import InputError, RunError
from lengthwise.interventions import INTERVENTIONS
from lengthwise.models import MIXERS
from lengthwise.models.backbone import Backbone, BackboneConfig
from lengthwise.models.tree.ldru import LDRUConfig
from lengthwise.tasks.corpus import Corpus, TextConfig
from lengthwise.tasks.windows import AlignedWindows, RandomWindows, TextBatch
from lengthwise.training.checkpoint import load_checkpoint, save_checkpoint
from lengthwise.training.config import TextTrainingConfig
from lengthwise.training.text import TextTrainer


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    rng = np.random.default_rng(0)
    for number in range(8):
        words = rng.choice(["the cat sat ", "on the mat ", "and then ", "it ran\n"], size=60)
        (tmp_path / f"{number}.txt").write_text("".join(words))
    settings = {"source": {"name": "files", "paths": [str(tmp_path)]}, "held_out": 0.3}
    return Corpus.load(TextConfig.model_validate(settings))


SMALL = BackboneConfig(width=8, layers=2, dropout=0.1)


def trainer(
    corpus: Corpus, intervention: str, seed: int = 0, shape: BackboneConfig = SMALL, **settings: Any
) -> TextTrainer:
    torch.manual_seed(seed)
    model = shape.build(corpus.vocabulary, corpus.vocabulary)
    chosen = INTERVENTIONS.load(intervention)().build()
    kind = AlignedWindows if chosen.aligned else RandomWindows
    config = TextTrainingConfig.model_validate({"steps": 12, "batch_size": 4, "context": 9} | settings)
    return TextTrainer(model, kind(corpus, "train", 9, 4), chosen, config, seed)


@pytest.mark.parametrize("intervention", list(INTERVENTIONS))
@pytest.mark.parametrize("cut", [1, 7])
def test_a_restored_trainer_goes_on_bit_equal(corpus: Corpus, intervention: str, cut: int, tmp_path: Path) -> None:
    whole, first = trainer(corpus, intervention), trainer(corpus, intervention)
    expected = [whole.train_step() for _ in range(12)]
    metrics = [first.train_step() for _ in range(cut)]
    save_checkpoint(tmp_path / "checkpoint", *first.state())
    second = trainer(corpus, intervention, seed=5)
    second.restore(*load_checkpoint(tmp_path / "checkpoint"))
    for _ in range(12 - cut):
        torch.rand(17)
        metrics.append(second.train_step())
    assert metrics == expected
    assert second.finished
    for name, value in whole.model.state_dict().items():
        assert torch.equal(second.model.state_dict()[name], value), name


def test_the_loss_is_the_mean_cross_entropy_of_the_next_symbol(corpus: Corpus) -> None:
    made = trainer(corpus, "zero")
    made.model.eval()
    windows = RandomWindows(corpus, "train", 9, 4)
    symbols_BS = torch.from_numpy(windows.next_batch(np.random.default_rng(0)).tokens_BS)
    log_p = made.model(symbols_BS[:, :-1]).logits.log_softmax(-1)
    expected = -log_p.gather(-1, symbols_BS[:, 1:, None]).mean()
    torch.testing.assert_close(next(made.terms(1.0)).total, expected)


def test_an_intervention_changes_nothing_but_the_initial_state(corpus: Corpus) -> None:
    """The first step starts from zero either way; from the second on the passed state tells."""
    zero, passing = trainer(corpus, "zero"), trainer(corpus, "state_passing")
    losses = [(zero.train_step()["loss"], passing.train_step()["loss"]) for _ in range(3)]
    assert losses[0][0] == losses[0][1]
    assert losses[1][0] != losses[1][1]


def test_it_learns(corpus: Corpus) -> None:
    made = trainer(corpus, "zero", steps=150, optimiser={"learning_rate": 0.02, "warm_up": 0.1})
    losses = [made.train_step()["loss"] for _ in range(150)]
    assert np.mean(losses[-10:]) < 0.5 * losses[0]


def test_a_state_that_is_not_finite_is_named(corpus: Corpus) -> None:
    broken = trainer(corpus, "zero")
    assert isinstance(broken.model, Backbone)
    broken.model.layers[1].norm.weight.data[0] = float("nan")
    with pytest.raises(RunError, match=r"loss became nan at step 1 \(length 9\); .* layers\.1\.hidden$"):
        broken.train_step()


@pytest.mark.parametrize(("mixer", "entry"), [("elman", "hidden"), ("mamba2", "matrix")])
@pytest.mark.parametrize("settings", [{}, {"accumulation": 2}, {"precision": "bfloat16"}])
def test_the_place_where_a_state_is_not_finite_is_named(
    corpus: Corpus, mixer: str, entry: str, settings: dict[str, Any]
) -> None:
    """One symbol, which stands at one place of one window, is read as something that is not finite."""
    made = trainer(corpus, "zero", shape=BackboneConfig(width=32, mixer=MIXERS.load(mixer)()), **settings)
    symbols_BS = RandomWindows(corpus, "train", 9, 4).next_batch(np.random.default_rng(0)).tokens_BS.copy()
    symbols_BS[:] = 5
    symbols_BS[1, 6] = 7
    made.windows.next_batch = lambda rng: TextBatch(symbols_BS, np.ones(4, dtype=np.bool_))
    embedding = next(module for module in made.model.modules() if isinstance(module, torch.nn.Embedding))
    embedding.weight.data[7] = float("inf")
    with pytest.raises(RunError, match=rf"at position 7 of the window .* layers\.0\.{entry}$"):
        made.train_step()


def test_windows_of_another_text_are_refused(corpus: Corpus, tmp_path: Path) -> None:
    made = trainer(corpus, "tbptt")
    tensors, values = made.state()
    values["windows"]["fingerprint"] = "another"
    with pytest.raises(InputError, match="the text has changed"):
        trainer(corpus, "tbptt").restore(tensors, values)


def test_a_model_that_only_reads_out_whole_strings_is_refused(corpus: Corpus) -> None:
    unit = LDRUConfig(width=8).build(corpus.vocabulary, corpus.vocabulary)
    windows = RandomWindows(corpus, "train", 9, 4)
    made = TextTrainer(unit, windows, INTERVENTIONS.load("zero")().build(), TextTrainingConfig(steps=2), 0)
    with pytest.raises(InputError, match="readout: prefixes"):
        made.train_step()


def test_a_setting_of_the_optimiser_leaves_the_others_at_the_defaults_for_text() -> None:
    whole, part = (TextTrainingConfig.model_validate(s).optimiser for s in ({}, {"optimiser": {"learning_rate": 0.5}}))
    assert part == whole.model_copy(update={"learning_rate": 0.5})
    assert (part.tail, part.amsgrad) == ("cosine", False)
