"""What a model answers where it is asked: from one reading of padded rows, and of each prefix by itself."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lengthwise.models import MIXERS
from lengthwise.models.backbone import BackboneConfig
from lengthwise.models.base import ModelConfig, Output, SequenceModel, StringModel
from lengthwise.models.reading import answers_at_ends
from lengthwise.models.tree.ldru import LDRUConfig
from lengthwise.models.tree.nested import Given, NestedConfig
from lengthwise.models.tree.regular_gpt import RegularGPTConfig
from lengthwise.models.tree.stochastic import StochasticOperatorConfig
from lengthwise.spaces import Space, Tokens, Values
from lengthwise.state import State

ROWS, LENGTH = 5, 13


class AtTheEnd(SequenceModel):
    """Answers after the last of what it reads alone, from a sum that fades."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(3, 4)

    def initial_state(self, batch_size: int) -> State:
        return State({"sum": self.embedding.weight.new_zeros(batch_size, 4)})

    def forward(self, tokens: Tensor, state: State | None = None) -> Output:
        total = (state or self.initial_state(len(tokens)))["sum"]
        for step in self.embedding(tokens).unbind(1):
            total = total / 2 + step
        return Output(total.sin(), State({"sum": total}))


class Bag(StringModel):
    """Counts symbols, and cannot read on."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(3, 4)

    def string_logits(self, tokens: Tensor) -> Tensor:
        return self.embedding(tokens).sum(1).sin()


STOCHASTIC = LDRUConfig(width=16, level="plain", operator=StochasticOperatorConfig())
CONFIGS: dict[str, ModelConfig] = {
    "ldru": LDRUConfig(width=8),
    "ldru of prefixes": LDRUConfig(width=8, readout="prefixes"),
    "ldru padded": LDRUConfig(width=8, odd="pad"),
    "ldru without its tree": STOCHASTIC,
    "regular_gpt": RegularGPTConfig(width=8, heads=2),
    "nested": NestedConfig(width=8, brackets=Given(opening=(0,), closing=(2,))),
    **{name: BackboneConfig(width=32, layers=1, mixer=MIXERS.load(name)()) for name in ("gru", "mamba2", "attention")},
}
MAKERS: dict[str, Callable[[], StringModel]] = {
    "bag": Bag,
    "at the end": AtTheEnd,
    **{name: (lambda config=config: config.build(3, 4)) for name, config in CONFIGS.items()},
}


def made(name: str) -> StringModel:
    torch.manual_seed(0)
    model = MAKERS[name]().double().eval()
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return model


def drawn(inputs: Space, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    if isinstance(inputs, Values):
        return torch.randn(ROWS, LENGTH, inputs.size, generator=generator, dtype=torch.float64)
    return torch.randint(inputs.size, (ROWS, LENGTH), generator=generator)


def masks() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    some = torch.rand(ROWS, LENGTH, generator=generator) < 0.3
    some[2] = False
    ends = torch.arange(LENGTH) == torch.tensor([12, 3, 0, 3, 7])[:, None]
    last = torch.arange(LENGTH).expand(ROWS, -1) == LENGTH - 1
    return {"some": some, "ends": ends, "last": last, "all": torch.ones(ROWS, LENGTH, dtype=torch.bool)}


def each_alone(model: StringModel, inputs: Tensor, asked: Tensor) -> Tensor:
    """Return the answers [N, C], rows first: every prefix is read by itself."""
    return torch.cat([model.string_logits(inputs[row, : place + 1][None]) for row, place in asked.nonzero().tolist()])


@pytest.mark.parametrize("mask", list(masks()))
@pytest.mark.parametrize("name", list(MAKERS))
def test_answers_are_those_of_each_prefix_alone(name: str, mask: str) -> None:
    model, inputs, asked = made(name), drawn(Tokens(3)), masks()[mask]
    expected = each_alone(model, inputs, asked)
    torch.testing.assert_close(model.asked_logits(inputs, asked), expected, rtol=1e-10, atol=1e-11)
    if isinstance(model, SequenceModel):
        found = model.answers(inputs, asked).logits
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-11)
        one, other = (torch.autograd.grad(each.square().sum(), list(model.parameters())) for each in (found, expected))
        for mine, theirs in zip(one, other, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-10)


SEQUENTIAL = [name for name in MAKERS if name not in ("bag", "regular_gpt", "nested")]


@pytest.mark.parametrize("mask", list(masks()))
@pytest.mark.parametrize("name", SEQUENTIAL)
def test_answers_go_on_from_a_state(name: str, mask: str) -> None:
    model, inputs, asked = made(name), drawn(Tokens(3)), masks()[mask]
    assert isinstance(model, SequenceModel)
    before = drawn(Tokens(3), seed=5)[:, :4]
    start = model.start_from(model(before).state)
    found = model.answers(inputs, asked, start)
    expected = list[Tensor]()
    for row, place in asked.nonzero().tolist():
        logits = model(inputs[row, : place + 1][None], start.rows([row])).logits
        expected.append(logits[:, -1] if logits.ndim == 3 else logits)
    torch.testing.assert_close(found.logits, torch.cat(expected), rtol=1e-10, atol=1e-11)
    after = model(inputs, start).state
    for entry, value in after.items():
        torch.testing.assert_close(found.state[entry], value, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("given", [False, True], ids=["initial", "a state"])
@pytest.mark.parametrize("name", SEQUENTIAL)
def test_padded_rows_end_in_the_state_that_each_has_alone(name: str, given: bool) -> None:
    model, inputs = made(name), drawn(Tokens(3))
    assert isinstance(model, SequenceModel)
    lengths = np.array([13, 4, 1, 4, 8])
    asked = masks()["some"] & (torch.arange(LENGTH) < torch.from_numpy(lengths)[:, None])
    start = model.start_from(model(drawn(Tokens(3), seed=5)[:, :4]).state) if given else None
    found = answers_at_ends(model, inputs, asked, lengths, start)
    expected = list[Tensor]()
    for row, length in enumerate(lengths.tolist()):
        own = start.rows([row]) if start else None
        logits, after = model.answers(inputs[row, :length][None], asked[row, :length][None], own)
        expected.append(logits)
        for entry, value in model.start_from(after).items():
            if value.is_floating_point() and "conv" not in entry:
                torch.testing.assert_close(found.state[entry][row], value[0], rtol=1e-10, atol=1e-11)
    torch.testing.assert_close(found.logits, torch.cat(expected), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("name", [name for name in CONFIGS if name not in ("ldru without its tree", "nested")])
def test_values_are_read_and_answered_like_symbols(name: str) -> None:
    torch.manual_seed(0)
    inputs, outputs = Values(2), Values(3)
    model = CONFIGS[name].build(inputs, outputs).double().eval()
    values, asked = drawn(inputs), masks()["some"]
    expected = each_alone(model, values, asked)
    assert expected.shape == (int(asked.sum()), 3)
    torch.testing.assert_close(model.asked_logits(values, asked), expected, rtol=1e-10, atol=1e-11)
