import os
from pathlib import Path
from typing import Any

import pytest
import torch

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")
pytest.importorskip("accelerate", reason="the extra hf is not installed")

from lengthwise.errors import InputError  # noqa: E402
from lengthwise.interventions.passing import StatePassingConfig, TBPTTConfig  # noqa: E402
from lengthwise.interventions.repair import repair_of  # noqa: E402
from lengthwise.interventions.zero import ZeroConfig  # noqa: E402
from lengthwise.pretrained.loading import tiny_model  # noqa: E402
from lengthwise.pretrained.transformers_trainer import StatePassingTrainer  # noqa: E402
from lengthwise.state import State  # noqa: E402
from lengthwise.training.objectives.distil import DistilConfig  # noqa: E402

WINDOWS = torch.randint(48, (24, 9), generator=torch.Generator().manual_seed(0))


def arguments(folder: Path, **given: Any) -> dict[str, Any]:
    torch.manual_seed(0)
    settings = transformers.TrainingArguments(
        output_dir=str(folder),
        max_steps=3,
        per_device_train_batch_size=4,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        **given,
    )
    model = tiny_model("mamba2", vocab_size=48).model
    labels = WINDOWS.clone()
    labels[0, 3:5] = -100
    rows = [{"input_ids": row, "labels": label} for row, label in zip(WINDOWS, labels, strict=True)]
    return {"model": model, "args": settings, "train_dataset": rows}


def losses(trainer: Any) -> list[float]:
    trainer.train()
    return [float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.slow
@pytest.mark.parametrize("accumulation", [1, 2])
def test_the_control_trains_as_trainer_does(tmp_path: Path, accumulation: int) -> None:
    given = {"gradient_accumulation_steps": accumulation}
    expected = transformers.Trainer(**arguments(tmp_path, **given))
    found = StatePassingTrainer(intervention=ZeroConfig(), **arguments(tmp_path, **given))
    assert losses(found) == pytest.approx(losses(expected), rel=1e-4)
    pairs = zip(expected.model.parameters(), found.model.parameters(), strict=True)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in pairs)


def test_steps_start_from_final_states_and_the_checkpoint_is_an_ordinary_one(tmp_path: Path) -> None:
    trainer = StatePassingTrainer(intervention=StatePassingConfig(zero_probability=0.0), **arguments(tmp_path))
    starts: list[State] = []
    finals: list[State] = []
    begin, observe = trainer.intervention.begin, trainer.intervention.observe
    trainer.intervention.begin = lambda *a: starts.append(state := begin(*a)) or state
    trainer.intervention.observe = lambda final: finals.append(final.detach()) or observe(final)
    assert len(losses(trainer)) == 3
    name = "layers.0.recurrent"
    assert not starts[0][name].any()
    for final, start in zip(finals, starts[1:], strict=False):
        rows = [{tuple(row.flatten().tolist()) for row in state[name]} for state in (final, start)]
        assert rows[0] == rows[1]
    trainer.save_model(str(tmp_path / "out"))
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), trainer.model.parameters(), strict=True))


def test_states_are_passed_as_repairs_the_family_where_nothing_is_said(tmp_path: Path) -> None:
    trainer = StatePassingTrainer(**arguments(tmp_path))
    wanted = repair_of("mamba2").intervention().build()
    assert vars(trainer.intervention) == vars(wanted)
    assert trainer.intervention.always_initial(10) == 7


def test_evaluation_starts_from_the_models_own_state(tmp_path: Path) -> None:
    trainer = StatePassingTrainer(intervention=StatePassingConfig(), **arguments(tmp_path))
    batch = {"input_ids": WINDOWS, "labels": WINDOWS}
    trainer.model.eval()
    with torch.no_grad():
        assert float(trainer.compute_loss(trainer.model, batch)) == float(trainer.model(**batch).loss)


def test_what_cannot_be_passed_is_refused(tmp_path: Path) -> None:
    given = arguments(tmp_path)
    with pytest.raises(InputError, match="Trainer shuffles; use 'state_passing'"):
        StatePassingTrainer(intervention=TBPTTConfig(), **given)
    trainer = StatePassingTrainer(intervention=StatePassingConfig(), **given)
    batch = {"input_ids": WINDOWS, "labels": WINDOWS}
    with pytest.raises(InputError, match="pack the text"):
        trainer.compute_loss(trainer.model.train(), batch | {"attention_mask": WINDOWS > 3})
    with pytest.raises(InputError, match="labels is missing"):
        trainer.compute_loss(trainer.model, {"input_ids": WINDOWS})
    with pytest.raises(InputError, match="trains on one device"):
        trainer.compute_loss(torch.nn.Sequential(trainer.model), batch)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("pad", "end", "row", "ignored", "refused"),
    [
        (5, 7, [1, 2, 3, 5, 5], [3, 4], True),
        (5, 7, [1, 2, 3, 4, 5], [4], True),
        (5, 7, [5, 5, 1, 2, 3], [0, 1], True),
        (5, 7, [1, 2, 3, 4, 5], [], False),
        (5, 7, [1, 5, 5, 2, 3], [1, 2], False),
        (5, 7, [6, 6, 1, 2, 3], [0, 1], False),
        (7, 7, [1, 2, 3, 4, 7], [4], False),
        (7, [7, 8], [1, 2, 3, 7, 7], [3, 4], True),
        (None, 7, [1, 2, 3, 0, 0], [3, 4], True),
        (None, 7, [0, 0, 1, 2, 3], [0, 1], False),
        (None, None, [1, 2, 3, 0, 0], [], False),
    ],
)
def test_padding_is_seen_without_a_mask(
    tmp_path: Path, pad: int | None, end: Any, row: list[int], ignored: list[int], refused: bool, masked: bool
) -> None:
    trainer = StatePassingTrainer(intervention=StatePassingConfig(), **arguments(tmp_path))
    trainer.model.config.pad_token_id, trainer.model.config.eos_token_id = pad, end
    tokens = torch.tensor([[1, 2, 3, 4, 6], row])
    labels = tokens.clone()
    labels[1, ignored] = -100
    batch = {"input_ids": tokens, "labels": labels} | ({"attention_mask": torch.ones_like(tokens)} if masked else {})
    if refused:
        with pytest.raises(InputError, match="rows are padded"):
            trainer.compute_loss(trainer.model.train(), batch)
    else:
        assert bool(torch.isfinite(trainer.compute_loss(trainer.model.train(), batch)))


def test_a_repair_without_labels_learns_what_the_model_answers_from_its_initial_state(tmp_path: Path) -> None:
    given = arguments(tmp_path)
    batch = {"input_ids": WINDOWS[:4]}
    trainer = StatePassingTrainer(
        intervention=StatePassingConfig(zero_probability=0.0), distil=DistilConfig(burn_in=2), **given
    )
    model = trainer.model.train()
    with torch.no_grad():
        assert float(trainer.compute_loss(model, batch)) == pytest.approx(0, abs=1e-6)
        passed = float(trainer.compute_loss(model, batch))
    # The head is trained away from the teacher; labels are not looked at but counted.
    with torch.no_grad():
        [*model.parameters()][-1].mul_(2)
        moved = float(trainer.compute_loss(model, batch))
        labelled = batch | {"labels": WINDOWS[4:8]}
        assert 0 < passed < moved < float(trainer.compute_loss(model, labelled, num_items_in_batch=18)) * 2
        with pytest.raises(InputError, match="a burn_in of 2 leaves nothing of rows of 2 tokens"):
            trainer.compute_loss(model, {"input_ids": WINDOWS[:4, :2]})
    assert len(losses(trainer)) == 3
