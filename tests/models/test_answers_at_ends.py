"""Rows padded on the right, each read to its own end: as if every row had been read by itself."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lengthwise.errors import InputError
from lengthwise.models import MIXERS, MODELS
from lengthwise.models.base import SequenceModel
from lengthwise.models.reading import answers_at_ends
from lengthwise.spaces import Space, Tokens, Values
from lengthwise.state import Kind, State

LENGTHS = np.array([7, 3, 9, 3, 1])
LONGEST = 9
READOUTS: dict[str, dict[str, Any]] = {
    "ldru-root": {"name": "ldru", "width": 8},
    "ldru-prefixes": {"name": "ldru", "width": 8, "readout": "prefixes"},
}
# Attention carries no recurrent state, and so nothing that could be passed.
CASES = [*READOUTS, *(name for name in MIXERS if name != "attention")]


def small(mixer: str) -> dict[str, Any]:
    fields = MIXERS.load(mixer).model_fields
    sizes = {"hidden_size": 8, "state_size": 4, "heads": 2, "head_size": 8, "blocks": 2, "chunk": 4}
    return {"name": mixer} | {name: size for name, size in sizes.items() if name in fields}


def build(case: str, inputs: Space) -> SequenceModel:
    torch.manual_seed(0)
    settings = READOUTS.get(case) or {"name": "backbone", "width": 8, "layers": 2, "mixer": small(case)}
    model = MODELS.load(settings["name"]).model_validate(settings).build(inputs, Tokens(3))
    return model.double().train(False)


def batch(inputs: Space, *, every: bool) -> tuple[Tensor, Tensor]:
    """Return rows with rubbish in their padding, and what is asked: every position, or few, none at some ends."""
    rng = torch.Generator().manual_seed(1)
    shape = len(LENGTHS), LONGEST
    if isinstance(inputs, Values):
        read = torch.randn(*shape, inputs.size, generator=rng, dtype=torch.float64)
    else:
        read = torch.randint(inputs.size, shape, generator=rng)
    within = torch.arange(LONGEST) < torch.from_numpy(LENGTHS)[:, None]
    few = torch.zeros(shape, dtype=torch.bool)
    few[0, 1] = few[1, 0] = few[2, 8] = few[3, 1] = few[4, 0] = True
    return read, within if every else few


def passed(model: SequenceModel, read: Tensor) -> State:
    """Return the states of rows that start from others' ends, but for one that starts from nothing."""
    with torch.no_grad():
        start = model.start_from(model(read.flip(0)[:, :4]).state)
        initial = model.start_from(model.initial_state(len(read)))
    fresh = torch.arange(len(read)) == 2
    mixed = {
        name: torch.where(fresh.view(-1, *[1] * (value.ndim - 1)), initial[name], value)
        for name, value in start.items()
    }
    return State(mixed, start.kinds).map(lambda value: value.detach())


def gradients(model: SequenceModel, answers: Tensor, final: State) -> dict[str, Tensor]:
    model.zero_grad()
    weights = torch.linspace(-1, 1, answers.numel(), dtype=torch.float64).view_as(answers)
    total = (answers * weights).sum()
    for name in sorted(final):
        if final[name].requires_grad:
            total = total + (final[name] * torch.linspace(0, 1, final[name].numel()).view_as(final[name])).sum()
    total.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.slow
@pytest.mark.parametrize("every", [True, False], ids=["every", "few"])
@pytest.mark.parametrize("inputs", [Tokens(4), Values(3)], ids=["tokens", "values"])
@pytest.mark.parametrize("case", CASES)
def test_rows_read_together_are_those_read_alone(case: str, inputs: Space, every: bool) -> None:
    model = build(case, inputs)
    read, asked = batch(inputs, every=every)
    start = passed(model, read)
    answers, final = answers_at_ends(model, read, asked, LENGTHS, start)
    alone, ends = list[Tensor](), list[State]()
    for row, length in enumerate(LENGTHS.tolist()):
        few = slice(row, row + 1)
        here, after = model.answers(read[few, :length], asked[few, :length], start.rows([row]))
        begun = model.start_from(after)
        kept = {name: after[name] for name in begun if begun.kinds[name] is Kind.CONV}
        alone.append(here)
        ends.append(State({**begun, **kept}, begun.kinds))
    expected, expected_final = torch.cat(alone), State.concat(ends)
    torch.testing.assert_close(answers, expected, rtol=1e-9, atol=1e-11)
    assert dict(final.kinds) == dict(expected_final.kinds)
    for name, value in expected_final.items():
        torch.testing.assert_close(final[name], value, rtol=1e-9, atol=1e-11, msg=name)
    found, wanted = gradients(model, answers, final), gradients(model, expected, expected_final)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-7, atol=1e-10, msg=name)


def test_without_a_state_rows_start_from_the_initial_one() -> None:
    model = build("gru", Tokens(4))
    read, asked = batch(Tokens(4), every=True)
    answers, _ = answers_at_ends(model, read, asked, LENGTHS)
    torch.testing.assert_close(answers, model(read).logits[asked])


def test_a_state_with_its_layers_first_is_refused() -> None:
    model, asked_BT = build("gru", Tokens(4)), torch.ones(5, LONGEST, dtype=torch.bool)
    turned = model.initial_state(5).map(lambda entry: entry[None])
    with pytest.raises(InputError, match="must have the batch first"):
        answers_at_ends(model, torch.zeros(5, LONGEST, dtype=torch.int64), asked_BT, LENGTHS, turned)
