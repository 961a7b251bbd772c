import pytest
import torch
from torch import Tensor, nn

from lengthwise.evaluation.contract import check_contract
from lengthwise.models.base import Output, SequenceModel
from lengthwise.state import Kind, State

VOCABULARY, WIDTH, CLASSES = 3, 6, 4

OUTPUTS = "cut anywhere: outputs"
FINAL_STATE = "cut anywhere: final state"
PARAMETER_GRADIENTS = "cut anywhere: gradients of the parameters"
STATE_GRADIENT = "cut anywhere: gradient of the initial state"
ONE_TOKEN = "one token at a time equals one call"
CAUSALITY = "causality: later tokens change nothing earlier"
ROWS = "rows are independent"
REJOINED = "a state can be split into rows and joined again"
CLAUSES = {OUTPUTS, FINAL_STATE, PARAMETER_GRADIENTS, STATE_GRADIENT, ONE_TOKEN, CAUSALITY, ROWS, REJOINED}


class Recurrent(SequenceModel):
    """A sound model: h becomes tanh(W h + e), and a position counts along."""

    every_prefix = False

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.transition = nn.Linear(WIDTH, WIDTH)
        self.readout = nn.Linear(WIDTH, CLASSES)

    def initial_state(self, batch_size: int) -> State:
        hidden = self.readout.weight.new_zeros(batch_size, WIDTH)
        return State(
            {"hidden": hidden, "position": torch.zeros(batch_size, dtype=torch.int64)}, {"position": Kind.POSITION}
        )

    def forward(self, tokens: Tensor, state: State | None = None) -> Output:
        state = self.initial_state(len(tokens)) if state is None else state
        hidden, hiddens = self.take(state["hidden"]), []
        for step in self.inputs(tokens, state):
            hidden = torch.tanh(self.transition(hidden) + self.embedding(step))
            hiddens.append(hidden)
        logits = self.logits(torch.stack(hiddens, 1))
        return Output(
            logits if self.every_prefix else logits[:, -1],
            State({"hidden": self.give(hidden), **self.extra(tokens, state)}, {"position": Kind.POSITION}),
        )

    def take(self, hidden: Tensor) -> Tensor:
        return hidden

    def give(self, hidden: Tensor) -> Tensor:
        return hidden

    def inputs(self, tokens: Tensor, state: State) -> list[Tensor]:
        return list(tokens.T)

    def logits(self, hidden_BTD: Tensor) -> Tensor:
        return self.readout(hidden_BTD)

    def extra(self, tokens: Tensor, state: State) -> dict[str, Tensor]:
        return {"position": state["position"] + tokens.shape[1]}


class EveryPrefix(Recurrent):
    every_prefix = True


class Forgetful(Recurrent):
    def take(self, hidden: Tensor) -> Tensor:
        return hidden * 0


class LastTokenOnly(Recurrent):
    def inputs(self, tokens: Tensor, state: State) -> list[Tensor]:
        return [tokens[:, -1]]


class Detached(Recurrent):
    def take(self, hidden: Tensor) -> Tensor:
        return hidden.detach()


class RowsMixed(Recurrent):
    def logits(self, hidden_BTD: Tensor) -> Tensor:
        logits = super().logits(hidden_BTD)
        return logits - logits.mean(0)


class RowsMisplaced(Recurrent):
    """Keeps each row's memory in the place of the row before."""

    def take(self, hidden: Tensor) -> Tensor:
        return hidden.roll(-1, 0)

    def give(self, hidden: Tensor) -> Tensor:
        return hidden.roll(1, 0)


class FirstStepSkipped(Recurrent):
    """Has another path for a first token that comes alone."""

    def inputs(self, tokens: Tensor, state: State) -> list[Tensor]:
        alone = tokens.shape[1] == 1 and int(state["position"][0]) == 0
        return [torch.zeros_like(tokens[:, 0])] if alone else super().inputs(tokens, state)


class ChunkInState(Recurrent):
    """Carries what the last call read, and never uses it."""

    def extra(self, tokens: Tensor, state: State) -> dict[str, Tensor]:
        return super().extra(tokens, state) | {"chunk": self.embedding(tokens).sum(1)}


class LooksAhead(Recurrent):
    """Reads a prefix out with the last token of the whole string."""

    def prefix_logits(self, tokens, lengths) -> Tensor:
        return super().prefix_logits(tokens, lengths) + self.embedding(tokens[:, -1])[:, None, :CLASSES]


class BothWays(Recurrent):
    """Gives each prefix of a call what stands behind it in the call."""

    every_prefix = True

    def logits(self, hidden_BTD: Tensor) -> Tensor:
        return super().logits(hidden_BTD.flip(1).cumsum(1).flip(1))


def broken_clauses(model: SequenceModel, dtype: torch.dtype = torch.float64) -> set[str]:
    findings = check_contract(model.to(dtype), VOCABULARY, length=19)
    assert {finding.clause for finding in findings} == CLAUSES
    return {finding.clause for finding in findings if not finding.holds}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", [Recurrent, EveryPrefix])
def test_a_sound_model_passes(kind: type[Recurrent], dtype: torch.dtype) -> None:
    assert not broken_clauses(kind(), dtype)


@pytest.mark.parametrize(
    ("kind", "broken"),
    [
        (Detached, {PARAMETER_GRADIENTS, STATE_GRADIENT}),
        (RowsMixed, {ROWS}),
        (RowsMisplaced, {REJOINED}),
        (FirstStepSkipped, {ONE_TOKEN}),
        (LooksAhead, {CAUSALITY}),
    ],
)
def test_a_model_that_breaks_one_clause_is_told_which(kind: type[Recurrent], broken: set[str]) -> None:
    assert broken_clauses(kind()) == broken


@pytest.mark.parametrize(
    ("kind", "broken", "sound"),
    [
        (Forgetful, {OUTPUTS, FINAL_STATE, ONE_TOKEN, REJOINED}, {CAUSALITY, ROWS}),
        (LastTokenOnly, {OUTPUTS, FINAL_STATE, ONE_TOKEN}, {CAUSALITY, ROWS}),
        (ChunkInState, {FINAL_STATE}, {OUTPUTS, ONE_TOKEN, CAUSALITY, ROWS, REJOINED}),
        (BothWays, {OUTPUTS, CAUSALITY}, {FINAL_STATE, ROWS}),
    ],
)
def test_a_model_that_breaks_several_clauses_is_told_at_least_those(
    kind: type[Recurrent], broken: set[str], sound: set[str]
) -> None:
    found = broken_clauses(kind())
    assert broken <= found
    assert not sound & found


def test_a_small_fault_is_seen_in_double_precision_only() -> None:
    class Inexact(Recurrent):
        def take(self, hidden: Tensor) -> Tensor:
            return hidden * (1 + 1e-7)

    assert OUTPUTS in broken_clauses(Inexact())
    assert not broken_clauses(Inexact(), torch.float32)


def test_the_check_leaves_the_parameters_alone() -> None:
    model = Recurrent().double()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    check_contract(model, VOCABULARY)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
