import math

import pytest
import torch
from torch import Tensor

from lengthwise.errors import InputError
from lengthwise.evaluation.perplexity import octave_edges, restarted_losses, row_losses
from lengthwise.evaluation.starts import Starts
from lengthwise.models.backbone import BackboneConfig
from lengthwise.models.base import SequenceModel
from lengthwise.models.mixers.recurrent import GRUConfig
from lengthwise.state import State
from lengthwise.tasks.language_modelling import LanguageModelling

CONTEXT, REACH, ROWS = 8, 8, 4


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> LanguageModelling:
    folder = tmp_path_factory.mktemp("texts")
    for number in range(10):
        (folder / f"{number}.txt").write_text("".join(chr(97 + (number * k * k) % 7) for k in range(400)))
    source = {"name": "files", "paths": [str(folder)]}
    return LanguageModelling.model_validate({"text": {"source": source, "held_out": 0.5}, "context": CONTEXT})


@pytest.fixture(scope="module")
def model(task: LanguageModelling) -> SequenceModel:
    torch.manual_seed(0)
    made = BackboneConfig(width=8, layers=1, mixer=GRUConfig(hidden_size=8)).build(task.inputs, task.outputs)
    assert isinstance(made, SequenceModel)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(3)
    return made.eval()


def tokens_of(task: LanguageModelling) -> Tensor:
    return torch.from_numpy(task.held_out(ROWS, REACH * CONTEXT))


def mean_at(losses_BT: Tensor, end: int) -> float:
    return float(losses_BT[:, end // 2 : end].mean())


def read_in(model: SequenceModel, tokens_BS: Tensor, window: int, burn_in: int) -> Tensor:
    """Return the loss of each symbol, each read from the window that it belongs to: a loop over positions."""
    found = torch.zeros(len(tokens_BS), tokens_BS.shape[1] - 1)
    stride = window - burn_in
    with torch.no_grad():
        for place in range(found.shape[1]):
            begin = 0 if place < window else stride * ((place - window) // stride + 1)
            logits = model(tokens_BS[:, begin : place + 1]).logits[:, -1]
            found[:, place] = torch.nn.functional.cross_entropy(logits, tokens_BS[:, place + 1], reduction="none")
    return found


def test_every_way_reads_as_it_says(model: SequenceModel, task: LanguageModelling) -> None:
    rows = list(Starts(reach=REACH, rows=ROWS, every=16, burn_in=16).measure(model, task, 0))
    found = {(row.axes["way"], row.axes["contexts"]): row.value for row in rows if row.metric == "start_loss"}
    tokens_BS = tokens_of(task)
    length = REACH * CONTEXT
    expected = {
        "whole": read_in(model, tokens_BS, length, 0),
        "reset every 16": read_in(model, tokens_BS, 16, 0),
        "burn-in of 16": read_in(model, tokens_BS, 32, 16),
    }
    for way, losses_BT in expected.items():
        for multiple in (1, 4, REACH):
            assert found[way, multiple] == pytest.approx(mean_at(losses_BT, multiple * CONTEXT), abs=1e-5), way
    with torch.no_grad():
        final = model(tokens_BS[:, :-1]).state.rows([3, 0, 1, 2])
        logits = model(tokens_BS[:, :-1], model.start_from(final)).logits
    carried = torch.nn.functional.cross_entropy(logits.transpose(1, 2), tokens_BS[:, 1:], reduction="none")
    assert found["carried from another", REACH] == pytest.approx(mean_at(carried, length), abs=1e-5)
    assert len({round(value, 6) for value in found.values()}) > 5
    others = {(row.axes["way"], row.metric): row.value for row in rows if row.metric != "start_loss"}
    assert others["whole", "start_cost"] == others["reset every 16", "start_cost"] == 1
    assert 1.5 <= others["burn-in of 16", "start_cost"] <= 2
    assert others["whole", "start_state"] == 8
    assert all(row.low is not None and row.low < row.value for row in rows if row.metric == "start_loss")


def test_ways_and_windows_that_do_not_fit_are_refused(model: SequenceModel, task: LanguageModelling) -> None:
    only = list(Starts(reach=2, rows=2, ways=("whole",)).measure(model, task, 0))
    assert {row.axes["way"] for row in only} == {"whole"}
    with pytest.raises(InputError, match=r"starts.every needs windows of 99 positions .* 16: give 2 to 16"):
        Starts(reach=2, every=99).check(model, task)
    with pytest.raises(InputError, match=r"starts.burn_in needs windows of 18 .*: give 1 to 8"):
        Starts(reach=2, burn_in=9).check(model, task)
    with pytest.raises(InputError, match="a burn-in of 8 leaves nothing of windows of 8"):
        restarted_losses(model, tokens_of(task), 8, [4, 8, 16], burn_in=8)


def test_a_state_given_is_that_which_rows_start_from(model: SequenceModel, task: LanguageModelling) -> None:
    tokens_BS, edges = tokens_of(task), octave_edges(REACH * CONTEXT, CONTEXT)
    start = State({name: entry + 0.5 for name, entry in model.initial_state(ROWS).items()})
    found = row_losses(model, tokens_BS, edges, state=start, batch_size=3)
    assert torch.equal(found.sums_BN, row_losses(model, tokens_BS, edges, state=start, batch_size=3, chunk=512).sums_BN)
    assert not torch.allclose(found.sums_BN, row_losses(model, tokens_BS, edges).sums_BN)
    assert math.isfinite(float(found.sums_BN.sum()))
