import pytest
import torch
from torch import nn

from lengthwise.errors import InputError
from lengthwise.evaluation.contract import check_contract
from lengthwise.interventions.noise import FittedNoiseConfig
from lengthwise.interventions.passing import StatePassingConfig
from lengthwise.models.recurrent import RecurrentModel

SYMBOLS, WIDTH = 7, 8


def model_of(kind: type[nn.RNNBase], **settings) -> RecurrentModel:
    torch.manual_seed(0)
    layers = kind(WIDTH, WIDTH, **settings)
    out = settings.get("proj_size") or WIDTH
    return RecurrentModel(nn.Embedding(SYMBOLS, WIDTH), layers, nn.Linear(out, SYMBOLS)).double()


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_layers_of_torch_keep_the_contract(kind: type[nn.RNNBase], layers: int, batch_first: bool) -> None:
    model = model_of(kind, num_layers=layers, batch_first=batch_first)
    assert not [finding for finding in check_contract(model, SYMBOLS, length=9) if not finding.holds]


def test_its_logits_are_those_of_the_layers() -> None:
    model = model_of(nn.LSTM, num_layers=2, batch_first=True, proj_size=3)
    tokens = torch.randint(SYMBOLS, (4, 6))
    y, (hidden, cell) = model.layers(model.embedding(tokens))
    logits, state = model(tokens)
    assert torch.equal(logits, model.readout(y))
    assert torch.equal(state["layers.1.hidden"], hidden[1])
    assert torch.equal(state["layers.0.cell"], cell[0])
    assert not [finding for finding in check_contract(model, SYMBOLS, length=9) if not finding.holds]


def test_states_are_passed_row_by_row_and_fitted_layer_by_layer() -> None:
    model, rng = model_of(nn.LSTM, num_layers=2), torch.Generator().manual_seed(0)
    passing, fitted = StatePassingConfig(zero_probability=0).build(), FittedNoiseConfig().build()
    for intervention in (passing, fitted):
        final = model(torch.randint(SYMBOLS, (4, 6)), intervention.begin(model, 4, rng)).state
        intervention.observe(final)
        start = intervention.begin(model, 4, rng)
        assert list(start) == list(final)
        if intervention is passing:
            moved = [
                next(b for b in range(4) if torch.equal(row, final["layers.0.cell"][b]))
                for row in start["layers.0.cell"]
            ]
            assert sorted(moved) == list(range(4))
            assert all(torch.equal(start[name], final[name][moved]) for name in final)
    assert len(fitted.moments) == 4


def test_layers_that_read_backwards_too_are_refused() -> None:
    with pytest.raises(InputError, match="both directions"):
        model_of(nn.GRU, bidirectional=True)
