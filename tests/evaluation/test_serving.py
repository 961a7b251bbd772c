from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lengthwise import BackboneConfig, RecurrentModel, Values, check_serving
from lengthwise.errors import InputError
from lengthwise.evaluation.contract import Finding
from lengthwise.evaluation.serving import ALIGNMENTS, BFLOAT16, POSITIONS, PREFIX, SERVING, SHORT, SNAPSHOT
from lengthwise.models.base import Output, SequenceModel
from lengthwise.state import Kind, State

SYMBOLS, WIDTH, TAIL = 5, 6, 2


class Sound(SequenceModel):
    """A short convolution over the inputs and a recurrence after it, whose decay depends on the position."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(SYMBOLS, WIDTH)
        self.taps = nn.Parameter(torch.randn(TAIL + 1, WIDTH))
        self.readout = nn.Linear(WIDTH, SYMBOLS)

    def initial_state(self, batch_size: int) -> State:
        new = self.taps.new_zeros
        entries = {"hidden": new(batch_size, WIDTH), "tail": new(batch_size, TAIL, WIDTH)}
        position = torch.zeros(batch_size, dtype=torch.int64)
        return State({**entries, "position": position}, {"tail": Kind.CONV, "position": Kind.POSITION})

    def forward(self, tokens: Tensor, state: State | None = None) -> Output:
        before = self.initial_state(len(tokens)) if state is None else state
        inputs, hidden, hiddens = torch.cat([before["tail"], self.embedding(tokens)], 1), before["hidden"], []
        for step in range(tokens.shape[1]):
            mixed = (inputs[:, step : step + TAIL + 1] * self.taps).sum(1)
            decay = 1 / (2 + (self.where(before["position"]) + step) % 3)
            hidden = decay[:, None].to(hidden.dtype) * hidden + self.kept(mixed)
            hiddens.append(hidden)
        after = {"hidden": hidden, "tail": self.tail(inputs, tokens.shape[1])}
        return Output(
            self.readout(torch.stack(hiddens, 1)),
            self.returned(State({**after, "position": before["position"] + tokens.shape[1]}, before.kinds), before),
        )

    def where(self, position: Tensor) -> Tensor:
        return position

    def kept(self, mixed: Tensor) -> Tensor:
        return torch.tanh(mixed)

    def tail(self, inputs: Tensor, read: int) -> Tensor:
        del read
        return inputs[:, -TAIL:]

    def returned(self, after: State, before: State) -> State:
        del before
        return after


class MisalignedOnce(Sound):
    """Drops what it carries where a long call begins after five tokens."""

    def forward(self, tokens: Tensor, state: State | None = None) -> Output:
        if state is not None and tokens.shape[1] > 3 and bool((state["position"] == 5).any()):
            state = State({**state, "hidden": 0 * state["hidden"]}, state.kinds)
        return super().forward(tokens, state)


class TailOfTheCallAlone(Sound):
    """Keeps the last inputs of a call, and zeros where the call had too few."""

    def tail(self, inputs: Tensor, read: int) -> Tensor:
        own = inputs[:, max(TAIL, inputs.shape[1] - TAIL) :]
        return torch.cat([torch.zeros_like(inputs[:, : TAIL - own.shape[1]]), own], 1)


class InPlace(Sound):
    """Writes the new state into the old one."""

    def returned(self, after: State, before: State) -> State:
        for name in before:
            before[name].copy_(after[name])
        return before


class PositionOfTheFirstRow(Sound):
    def where(self, position: Tensor) -> Tensor:
        return position[:1].expand_as(position)


class MemoryOutsideTheState(Sound):
    """Keeps what it read last beside the state that it returns."""

    seen = torch.zeros(())

    def forward(self, tokens: Tensor, state: State | None = None) -> Output:
        logits, after = super().forward(tokens, state)
        if state is not None and not bool((state["position"] == 0).any()):
            logits = logits + self.seen
        type(self).seen = self.embedding(tokens)[:, -1, :SYMBOLS].mean(0)
        return Output(logits, after)


class NothingIsLeftOfIt(Sound):
    """Adds a number to which bfloat16 has no digits for the rest."""

    def kept(self, mixed: Tensor) -> Tensor:
        return torch.tanh(mixed) + 4096 - 4096


def found(step: Any, **options: Any) -> dict[str, Finding]:
    findings = {finding.clause: finding for finding in check_serving(step, SYMBOLS, length=17, **options)}
    assert list(findings) == [clause for clause in SERVING if clause in options.get("clauses", SERVING)]
    return findings


def broken(step: Any, **options: Any) -> set[str]:
    return {clause for clause, finding in found(step, **options).items() if finding.broken}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_sound_model_holds(dtype: torch.dtype) -> None:
    findings = found(Sound().to(dtype))
    assert all(finding.holds and not finding.broken for finding in findings.values()), findings


@pytest.mark.parametrize(
    ("kind", "clauses"),
    [
        (MisalignedOnce, {ALIGNMENTS}),
        # Whatever reads token by token reads short chunks.
        (TailOfTheCallAlone, {SHORT, POSITIONS, BFLOAT16}),
        (InPlace, {PREFIX}),
        (PositionOfTheFirstRow, {POSITIONS}),
        (NothingIsLeftOfIt, {BFLOAT16}),
    ],
)
def test_a_model_that_breaks_some_clauses_is_told_which(kind: type[Sound], clauses: set[str]) -> None:
    assert broken(kind().double()) == clauses


def test_a_memory_beside_the_state_is_seen_where_requests_take_turns() -> None:
    assert {PREFIX, SNAPSHOT} <= broken(MemoryOutsideTheState())


def test_a_finding_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(MisalignedOnce())[ALIGNMENTS].where.endswith(", cut after 5")
    assert found(TailOfTheCallAlone())[SHORT].where.endswith(", in chunks of 1")
    assert ", in turns" in found(InPlace())[PREFIX].where
    assert found(PositionOfTheFirstRow())[POSITIONS].where.endswith("after 2, 8, 13")
    monkeypatch.setattr(Sound, "kept", lambda self, mixed: mixed * torch.nan if len(mixed) > 1 else mixed)
    assert found(Sound())[POSITIONS].difference == float("inf")


def test_one_choice_that_comes_out_otherwise_in_bfloat16_is_no_fault() -> None:
    class Chooses(Sound):
        spoilt = 1

        def kept(self, mixed: Tensor) -> Tensor:
            return torch.tanh(mixed)

        def forward(self, tokens: Tensor, state: State | None = None) -> Output:
            logits, after = super().forward(tokens, state)
            there = (after["position"] - 1 == 12)[:, None, None] & (logits.dtype == torch.bfloat16)
            return Output(torch.where(there, self.spoilt * 100 + logits, logits), after)

    findings = found(Chooses())
    assert findings[BFLOAT16].holds
    Chooses.spoilt = torch.nan
    assert found(Chooses())[BFLOAT16].where == "logits that are not finite"


class Server:
    """A step of another kind, whose state is a list of tensors that it writes into, with all that can be asked."""

    def __init__(self, model: Sound | None = None) -> None:
        self.model = model or Sound()

    def initial_state(self, rows: int) -> list[Tensor]:
        return list(self.model.initial_state(rows).values())

    def __call__(self, tokens: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        start = self.model.initial_state(1)
        logits, after = self.model(tokens, State(dict(zip(start, state, strict=True)), start.kinds))
        for entry, new in zip(state, after.values(), strict=True):
            entry.copy_(new)
        return logits[:, -1], state

    def fork_state(self, state: list[Tensor]) -> list[Tensor]:
        return [entry.clone() for entry in state]

    def join_states(self, states: list[list[Tensor]]) -> list[Tensor]:
        return [torch.cat(entries) for entries in zip(*states, strict=True)]

    def save_state(self, state: list[Tensor], path: Path) -> None:
        save_file({str(number): entry for number, entry in enumerate(state)}, path)

    def load_state(self, path: Path) -> list[Tensor]:
        return [entry for _, entry in sorted(load_file(path).items())]

    def in_bfloat16(self) -> "Server":
        return Server(Sound().bfloat16())


def test_a_server_of_another_kind_is_asked_by_its_own_methods() -> None:
    assert all(finding.holds for finding in found(Server()).values())


class SharesTheMemoryOfForks(Server):
    def fork_state(self, state: list[Tensor]) -> list[Tensor]:
        return list(state)


class JoinsAllAsTheFirst(Server):
    def join_states(self, states: list[list[Tensor]]) -> list[Tensor]:
        return super().join_states([states[0]] * len(states))


class RoundsItsSnapshots(Server):
    def save_state(self, state: list[Tensor], path: Path) -> None:
        super().save_state([entry.half().to(entry.dtype) for entry in state], path)


class LosesItsTail(Server):
    def in_bfloat16(self) -> Server:
        return Server(TailOfTheCallAlone().bfloat16())


@pytest.mark.parametrize(
    ("kind", "clause"),
    [
        (SharesTheMemoryOfForks, PREFIX),
        (JoinsAllAsTheFirst, POSITIONS),
        (RoundsItsSnapshots, SNAPSHOT),
        (LosesItsTail, BFLOAT16),
    ],
)
def test_a_method_of_a_server_that_is_wrong_is_told(kind: type[Server], clause: str) -> None:
    assert broken(kind()) == {clause}


def test_a_bare_function_is_asked_what_can_be_asked_of_it() -> None:
    server = Server()

    def step(tokens: Tensor, state: list[Tensor] | None) -> tuple[Tensor, list[Tensor]]:
        return server(tokens, server.initial_state(len(tokens)) if state is None else server.fork_state(state))

    findings = found(step)
    assert {clause for clause, finding in findings.items() if finding.holds} == {ALIGNMENTS, SHORT, PREFIX}
    assert not [finding for finding in findings.values() if finding.broken]
    told = [findings[clause].not_asked for clause in (POSITIONS, SNAPSHOT, BFLOAT16)]
    wanted = ("a method join_states", "methods save_state and load_state", "a method in_bfloat16")
    assert all(method in why for method, why in zip(wanted, told, strict=True))


def test_what_grows_with_the_length_says_why_it_cannot_be_joined() -> None:
    model = BackboneConfig.model_validate({"width": 16, "layers": 1, "mixer": {"name": "attention"}}).build(5, 5)
    (finding,) = check_serving(model, SYMBOLS, clauses=[POSITIONS])
    assert not finding.broken
    assert "entry 'layers.0.keys' is [1, 2, 4, 4] and [1, 18, 4, 4] cannot be joined" in finding.not_asked


def test_a_model_that_has_no_bfloat16_says_so() -> None:
    class Single(Sound):
        def kept(self, mixed: Tensor) -> Tensor:
            if mixed.dtype == torch.bfloat16:
                raise NotImplementedError("no kernel")
            return mixed

    assert found(Single())[BFLOAT16].not_asked == (
        "it cannot be read in bfloat16: the step cannot read tokens [1, 17] in one call: NotImplementedError: no kernel"
    )


def test_what_a_step_raises_is_the_finding() -> None:
    class NoSingleTokens(Sound):
        def forward(self, tokens: Tensor, state: State | None = None) -> Output:
            if tokens.shape[1] == 1:
                raise RuntimeError("the kernel is wider than the input")
            return super().forward(tokens, state)

    findings = found(NoSingleTokens(), clauses=[SHORT, PREFIX])
    assert findings[SHORT].broken
    assert findings[SHORT].where == "RuntimeError: the kernel is wider than the input"
    assert findings[PREFIX].holds


def test_values_are_served_as_symbols_are() -> None:
    torch.manual_seed(0)
    model = RecurrentModel(nn.Linear(3, 8), nn.GRU(8, 8, batch_first=True), nn.Linear(8, 1))
    assert all(finding.holds for finding in check_serving(model, Values(3)))
    assert all(finding.holds for finding in check_serving(model, torch.randn(3, 20, 3)))


def test_a_clause_of_ones_own_choice_is_asked_alone() -> None:
    assert list(found(Sound(), clauses=[SNAPSHOT, ALIGNMENTS])) == [ALIGNMENTS, SNAPSHOT]
    with pytest.raises(InputError, match="'speed' is no clause of serving; these are: cut at every place"):
        check_serving(Sound(), SYMBOLS, clauses=["speed"])


def refuses(tokens: Tensor, state: object) -> tuple[Tensor, object]:
    del tokens, state
    raise RuntimeError("out of pages")


@pytest.mark.parametrize(
    ("step", "options", "message"),
    [
        (refuses, {}, r"the step cannot read tokens \[1, 17\] in one call: RuntimeError: out of pages"),
        (lambda tokens, state: (tokens, state, 1), {}, r"returns \(logits, state\), logits a tensor, and not a tuple"),
        (lambda tokens, state: tokens, {}, "and not a Tensor"),
        (Sound(), {"length": 12}, "at least 13 tokens and 3 of them, not 12 and 3"),
        (Sound(), {"inputs": torch.arange(26).reshape(2, 13) % 5}, "at least 13 tokens and 3 of them, not 13 and 2"),
    ],
)
def test_what_cannot_be_asked_at_all_is_refused(step: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_serving(step, **{"inputs": SYMBOLS, "length": 17, **options})
