from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lengthwise.errors import InputError
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
BATCH_FIRST = "every entry of the state has the batch first"
CLAUSES = {BATCH_FIRST, OUTPUTS, FINAL_STATE, PARAMETER_GRADIENTS, STATE_GRADIENT, ONE_TOKEN, CAUSALITY, ROWS, REJOINED}


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", [Recurrent, EveryPrefix])
def test_a_sound_model_passes(kind: type[Recurrent], dtype: torch.dtype) -> None:
    assert not broken_clauses(kind(), dtype)


@pytest.mark.parametrize(
    ("kind", "broken"),
    [
        (Detached, {PARAMETER_GRADIENTS, STATE_GRADIENT}),
        (RowsMixed, {ROWS}),
        (RowsMisplaced, {ROWS, REJOINED}),
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
        (ChunkInState, {FINAL_STATE, ONE_TOKEN}, {OUTPUTS, CAUSALITY, ROWS}),
        (BothWays, {OUTPUTS, CAUSALITY}, {FINAL_STATE, ROWS}),
    ],
)
def test_a_model_that_breaks_several_clauses_is_told_at_least_those(
    kind: type[Recurrent], broken: set[str], sound: set[str]
) -> None:
    found = broken_clauses(kind())
    assert broken <= found
    assert not sound & found


class NotFinite(Recurrent):
    """Sound but for one kind of value, which is NaN or infinite."""

    kind = "nan"

    def spoilt(self, tensor: Tensor) -> Tensor:
        return tensor * float(self.kind)


class LogitsOfTwoTokens(NotFinite):
    def logits(self, hidden_BTD: Tensor) -> Tensor:
        logits = super().logits(hidden_BTD)
        return self.spoilt(logits) if logits.shape[1] == 2 else logits


class AnEntry(NotFinite):
    def extra(self, tokens: Tensor, state: State) -> dict[str, Tensor]:
        return super().extra(tokens, state) | {"extra": self.spoilt(torch.ones(len(tokens), 1))}


class OneRowOfAnEntry(NotFinite):
    def extra(self, tokens: Tensor, state: State) -> dict[str, Tensor]:
        marked = torch.ones(len(tokens), 2).index_fill(0, torch.tensor([len(tokens) - 1]), float(self.kind))
        return super().extra(tokens, state) | {"extra": marked}


class AGradient(Recurrent):
    """The square root has no gradient at zero."""

    def take(self, hidden: Tensor) -> Tensor:
        return hidden + (0 * hidden).sqrt()


@pytest.mark.parametrize("kind", ["nan", "inf"])
@pytest.mark.parametrize(
    ("model", "broken", "where"),
    [
        (LogitsOfTwoTokens, OUTPUTS, "the logits at ["),
        (LogitsOfTwoTokens, ONE_TOKEN, "the logits at [0, 0, 0] after 2 tokens"),
        (AnEntry, FINAL_STATE, "entry 'extra' at [0, 0]"),
        (AnEntry, ROWS, "entry 'extra' at [0, 0]"),
        (OneRowOfAnEntry, FINAL_STATE, "entry 'extra' at [2, 0]"),
        (OneRowOfAnEntry, REJOINED, "entry 'extra' at ["),
    ],
)
def test_what_is_not_finite_breaks_the_clause_by_name_and_place(
    monkeypatch: pytest.MonkeyPatch, model: type[NotFinite], broken: str, where: str, kind: str
) -> None:
    monkeypatch.setattr(model, "kind", kind)
    monkeypatch.setattr(model, "every_prefix", model is LogitsOfTwoTokens)
    (found,) = [finding for finding in check_contract(model().double(), VOCABULARY) if finding.clause == broken]
    assert not found.holds
    assert found.difference == float("inf")
    assert found.where.startswith(where)


def test_a_gradient_that_is_not_finite_breaks_its_clause() -> None:
    found = {finding.clause: finding for finding in check_contract(AGradient().double(), VOCABULARY)}
    assert found[FINAL_STATE].holds
    assert not found[PARAMETER_GRADIENTS].holds
    assert found[PARAMETER_GRADIENTS].where.startswith("the gradient of ")
    assert found[STATE_GRADIENT].where.startswith("the gradient of entry 'hidden'")


class LayersFirst(Recurrent):
    """Carries its state as torch's own layers do, [layers, B, width]."""

    layers = 1

    def initial_state(self, batch_size: int) -> State:
        return State({"h": self.readout.weight.new_zeros(self.layers, batch_size, WIDTH)})

    def forward(self, tokens: Tensor, state: State | None = None) -> Output:
        state = self.initial_state(len(tokens)) if state is None else state
        logits, after = super().forward(tokens, State({"hidden": state["h"][-1], "position": tokens[:, 0]}))
        return Output(logits, State({"h": torch.cat([state["h"][:-1], after["hidden"][None]])}))


@pytest.mark.parametrize("rows", [2, 3, 4])
@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_a_state_with_its_layers_first_is_refused_or_breaks_a_clause_by_its_own_name(
    monkeypatch: pytest.MonkeyPatch, layers: int, rows: int
) -> None:
    monkeypatch.setattr(LayersFirst, "layers", layers)
    if layers != rows:
        with pytest.raises(
            InputError, match=f"'h' of the state is .* for {rows} rows: entries must have the batch first"
        ):
            check_contract(LayersFirst(), VOCABULARY, batch_size=rows)
        return
    (found,) = check_contract(LayersFirst(), VOCABULARY, batch_size=rows)
    assert not found.holds
    assert "entries must have the batch first" in found.where


def test_a_final_state_in_another_layout_is_no_better_than_a_first() -> None:
    class Turned(Recurrent):
        def give(self, hidden: Tensor) -> Tensor:
            return hidden.T

        def take(self, hidden: Tensor) -> Tensor:
            return hidden if len(hidden) == 3 else hidden.T

    with pytest.raises(InputError, match="entries must have the batch first"):
        check_contract(Turned(), VOCABULARY)


def test_a_small_entry_does_not_hide_behind_a_large_one() -> None:
    class Scaled(Recurrent):
        def extra(self, tokens: Tensor, state: State) -> dict[str, Tensor]:
            large = {"large": torch.full((len(tokens), 1), 1e9, dtype=torch.float64)}
            return super().extra(tokens, state) | large | {"last call": 1e-6 * self.embedding(tokens).sum(1)}

    assert FINAL_STATE in broken_clauses(Scaled())


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(InputError, match="8 tokens and 2 rows"):
        check_contract(Recurrent(), VOCABULARY, batch_size=1)


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


def _tuple(output: Output, state: State) -> object:
    del state
    return tuple(output)


def _dict(output: Output, state: State) -> object:
    del state
    return Output(output.logits, dict(output.state))  # pyright: ignore[reportArgumentType]


def _renamed(output: Output, state: State) -> object:
    del state
    return Output(output.logits, State({"memory": output.state["hidden"], "position": output.state["position"]}))


def _wider(output: Output, state: State) -> object:
    del state
    return Output(output.logits, State({**output.state, "hidden": output.state["hidden"].double()}))


def _in_place(output: Output, state: State) -> object:
    with torch.no_grad():
        state["hidden"].copy_(output.state["hidden"])
    return output


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (_tuple, "gives a tuple where it has to give an Output"),
        (_dict, "gives a dict where it has to give an Output of logits and a State"),
        (_renamed, "has no entry 'hidden', which went in"),
        (_wider, r"'hidden' goes into a call as torch\.float32 and comes out as torch\.float64"),
        (_in_place, "changes entry 'hidden' of the state that it is given"),
    ],
)
def test_what_a_call_returns_is_told_where_it_is_no_output_and_state(
    returned: Callable[[Output, State], object], message: str
) -> None:
    class Returning(Recurrent):
        def forward(self, tokens: Tensor, state: State | None = None) -> Output:
            state = self.initial_state(len(tokens)) if state is None else state
            return returned(super().forward(tokens, state), state)  # pyright: ignore[reportReturnType]

    with pytest.raises(InputError, match=message):
        check_contract(Returning(), VOCABULARY)
