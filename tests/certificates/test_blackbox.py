from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lengthwise.certificates.blackbox import certify_black_box
from lengthwise.certificates.limits import Limits
from lengthwise.models.backbone import BackboneConfig
from lengthwise.models.base import Output, SequenceModel
from lengthwise.models.mixers.recurrent import GRUConfig
from lengthwise.state import State
from lengthwise.tasks import get_language
from lengthwise.tasks.regular.automaton import Automaton

SMALL = Limits(queries=2_000, exhaustive=64, longest=50)


class Machine(SequenceModel):
    """A model that is an automaton."""

    def __init__(self, automaton: Automaton) -> None:
        super().__init__()
        self.automaton = automaton
        self.place = torch.nn.Parameter(torch.zeros(1))

    def initial_state(self, batch_size: int) -> State:
        return State({"at": torch.full((batch_size,), self.automaton.start)})

    def forward(self, tokens: Tensor, state: State | None = None) -> Output:
        before = self.initial_state(len(tokens)) if state is None else state
        after = self.automaton.run(tokens.numpy(), before["at"].numpy())
        labels = torch.from_numpy(self.automaton.outputs_S[after]).clamp(min=0)
        logits = torch.nn.functional.one_hot(labels, self.automaton.classes).float()
        return Output(logits, State({"at": torch.from_numpy(after)}))


@pytest.mark.parametrize("name", ["parity", "tomita_3", "tomita_7", "cycle_navigation", "dyck_2", "modular_arithmetic"])
def test_an_automaton_is_learned_exactly_and_yet_nothing_is_proved(name: str) -> None:
    task = get_language(name)
    found = certify_black_box(Machine(task.automaton), task, limits=SMALL)
    assert found.verdict == "not_proved"
    assert "not proved" in found.statement
    assert found.automaton is not None
    assert found.difference is None


@pytest.mark.parametrize(("said", "asked"), [("tomita_4", "tomita_7"), ("dyck_3", "dyck_2"), ("tomita_6", "parity")])
def test_a_wrong_automaton_yields_a_string_that_it_gets_wrong(said: str, asked: str) -> None:
    model, task = Machine(get_language(said).automaton), get_language(asked)
    found = certify_black_box(model, task, limits=SMALL)
    assert found.verdict == "wrong"
    assert found.counterexample is not None
    tokens = np.array([found.counterexample.symbols])
    assert int(model.automaton.label(tokens)[0]) == found.counterexample.answer
    assert int(task.label(tokens)[0]) == found.counterexample.truth != found.counterexample.answer


def test_a_recurrent_network_that_was_never_trained_is_wrong() -> None:
    torch.manual_seed(0)
    model = BackboneConfig(mixer=GRUConfig(hidden_size=4), width=4, layers=1).build(2, 2).eval()
    task = get_language("parity")
    found = certify_black_box(model, task, limits=SMALL)
    assert found.counterexample is not None
    answer = int(model.string_logits(torch.tensor([found.counterexample.symbols])).argmax())
    assert answer == found.counterexample.answer != found.counterexample.truth


def test_a_spent_budget_is_said() -> None:
    task = get_language("cycle_navigation")
    found = certify_black_box(Machine(task.automaton), task, limits=Limits(queries=10))
    assert found.verdict == "not_proved"
    assert "spent" in found.statement
