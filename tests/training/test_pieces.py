"""Windows read in parts and in pieces: less memory, the same training."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import trainers_for_tests
from trainers_for_tests import regular, text, write_texts

from lengthwise.errors import InputError
from lengthwise.models.backbone import BackboneConfig
from lengthwise.models.base import ModelConfig, StringModel
from lengthwise.models.tree.ldru import LDRUConfig
from lengthwise.models.tree.regular_gpt import RegularGPTConfig
from lengthwise.pretrained.families import FAMILIES
from lengthwise.tasks.base import IGNORE, Batch, Point
from lengthwise.tasks.language_modelling import LanguageModelling
from lengthwise.tasks.regular.task import Regular
from lengthwise.training.loop import Trainer

os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture
def task(tmp_path: Path) -> LanguageModelling:
    return text(write_texts(tmp_path, ("the cat ", "sat on ", "a mat\n")))


def trainer(task: LanguageModelling, model: StringModel | None = None, **settings: object) -> Trainer:
    torch.manual_seed(0)
    model = model or BackboneConfig(width=8, layers=2).build(task.inputs, task.outputs).double()
    given = {"steps": 3, "batch_size": 5} | settings
    return trainers_for_tests.trainer(model, task, intervention="state_passing", **given)


@pytest.mark.parametrize("settings", [{"accumulation": 2}, {"accumulation": 5}, {"recompute": 4}, {"recompute": 100}])
def test_parts_and_pieces_change_nothing(task: LanguageModelling, settings: dict[str, int]) -> None:
    whole, parts = trainer(task), trainer(task, **settings)
    for _ in range(3):
        one, other = whole.train_step(), parts.train_step()
        # The loss is taken in float32.
        assert one == pytest.approx(other, rel=1e-5)
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(parts.model.state_dict()[name], value, rtol=1e-3, atol=1e-6)


def test_more_parts_than_windows_are_refused(task: LanguageModelling) -> None:
    with pytest.raises(InputError, match=r"6 parts a step \(training.accumulation\)"):
        trainer(task, accumulation=6)


def test_bfloat16_keeps_parameters_and_states_in_float32(task: LanguageModelling) -> None:
    exact = trainer(task)
    rounded = trainer(task, exact.model.float(), precision="bfloat16")
    losses = [(rounded.train_step()["loss"]) for _ in range(3)]
    assert losses[0] == pytest.approx(trainer(task).train_step()["loss"], rel=0.02)
    tensors, _ = rounded.state()
    assert not [name for name, value in tensors.items() if value.dtype == torch.bfloat16]


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_pieces_change_no_gradient_of_a_family_of_transformers(task: LanguageModelling, family: str) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed (extra hf)")
    from lengthwise.pretrained.loading import tiny_model

    gradients = list[torch.Tensor]()
    for recompute in (None, 4):
        torch.manual_seed(0)
        made = trainer(task, tiny_model(family, vocab_size=task.inputs.size), recompute=recompute)
        for _ in range(2):
            made.model.zero_grad()
            made._descend(1.0)
        gradients.append(torch.cat([p.grad.flatten() for p in made.model.parameters() if p.grad is not None]))
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-3, atol=1e-5)


SHAPES = {
    "backbone": BackboneConfig(width=8),
    "ldru": LDRUConfig(width=8),
    "regular_gpt": RegularGPTConfig(width=8, heads=2),
}


class Scattered(Regular):
    """Asks for few prefixes of each string, and for none of some."""

    def sample(self, rng: np.random.Generator, rows: int, point: Point) -> Batch:
        batch = self.label_prefixes(super().sample(rng, rows, point))
        kept = rng.random(batch.targets.shape) < rng.random((rows, 1))
        kept[::2] = False
        return Batch(batch.inputs, np.where(kept, batch.targets, IGNORE))


@pytest.mark.slow
@pytest.mark.parametrize("shape", list(SHAPES.values()), ids=list(SHAPES))
@pytest.mark.parametrize("parts", [3, 7])
def test_a_part_counts_by_how_much_it_is_asked(parts: int, shape: ModelConfig) -> None:
    task = Scattered(language="cycle_navigation")
    models = [shape.build(task.inputs, task.outputs).double() for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    whole, apart = (
        trainers_for_tests.trainer(model, task, batch_size=7, accumulation=count)
        for model, count in zip(models, (1, parts), strict=True)
    )
    for _ in range(5):
        assert apart.train_step() == pytest.approx(whole.train_step(), rel=1e-9)


def test_a_batch_that_asks_for_nothing_is_refused() -> None:
    task = regular()
    made = trainers_for_tests.trainer(BackboneConfig(width=8).build(task.inputs, task.outputs), task)
    made.stream.next_batch = lambda rng, point: Batch(np.zeros((6, 4), np.int64), np.full((6, 4), IGNORE))
    with pytest.raises(InputError, match=r"a batch of parity at \{'length': \d+\} asks for nothing"):
        made.train_step()
