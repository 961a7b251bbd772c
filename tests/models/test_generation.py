import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from recurrent_models import Uniform
from torch import Tensor, nn

from lengthwise import BackboneConfig, LDRUConfig, RecurrentModel, State, generate
from lengthwise.errors import InputError, RunError
from lengthwise.models import MIXERS
from lengthwise.models.base import Output, SequenceModel
from lengthwise.models.rwkv import RWKVConfig

SYMBOLS = 6


def backbone(mixer: str) -> SequenceModel:
    return BackboneConfig(width=64, layers=1, mixer=MIXERS.load(mixer)()).build(SYMBOLS, SYMBOLS)


def lstm() -> SequenceModel:
    layers = nn.LSTM(8, 8, num_layers=2, batch_first=True)
    return RecurrentModel(nn.Embedding(SYMBOLS, 8), layers, nn.Linear(8, SYMBOLS))


def unit() -> SequenceModel:
    return LDRUConfig(width=8).build(SYMBOLS, SYMBOLS)


def rwkv() -> SequenceModel:
    return RWKVConfig(width=64, layers=1).build(SYMBOLS, SYMBOLS)


MODELS: dict[str, Callable[[], SequenceModel]] = {mixer: lambda mixer=mixer: backbone(mixer) for mixer in MIXERS}
MODELS |= {"nn.LSTM": lstm, "ldru": unit, "rwkv": rwkv}


def made(name: str) -> SequenceModel:
    torch.manual_seed(0)
    return MODELS[name]().eval()


def prompt(rows: int = 2, length: int = 5) -> Tensor:
    return torch.randint(SYMBOLS, (rows, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", MODELS)
def test_a_generation_that_was_kept_goes_on_bit_equal(name: str, tmp_path: Path) -> None:
    model = made(name)
    for temperature in (0.0, 1.5):
        draws = [torch.Generator().manual_seed(3) for _ in range(2)]
        whole = generate(model, prompt(), temperature=temperature, generator=draws[0]).take(17)
        first = generate(model, prompt(), temperature=temperature, generator=draws[1])
        begun = first.take(9)
        assert torch.equal(first.unread[:, 0], begun[:, -1])
        first.state.save(tmp_path / "state", model)
        kept = State.load(tmp_path / "state", model)
        rest = generate(model, first.unread, kept, temperature=temperature, generator=draws[1])
        assert torch.equal(torch.cat([begun, rest.take(8)], 1), whole)


def test_the_largest_logit_after_all_that_was_read_is_taken() -> None:
    model = made("gla")
    read = prompt()
    for token in itertools.islice(generate(model, read), 5):
        assert torch.equal(token, model(read).logits[:, -1].argmax(-1))
        read = torch.cat([read, token[:, None]], 1)


def test_a_long_prompt_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    model, long = made("mamba2"), prompt(2, 50)
    sizes: list[int] = []
    forward = model.forward

    def noted(tokens: Tensor, state: State | None = None) -> Output:
        sizes.append(tokens.numel())
        return forward(tokens, state)

    whole = generate(model, long).take(3)
    monkeypatch.setattr("lengthwise.models.generation.PROMPT", 20)
    monkeypatch.setattr(model, "forward", noted)
    assert torch.equal(generate(model, long).take(3), whole)
    assert sizes == [20] * 5 + [2] * 2


def test_requests_share_a_prefix_and_go_on_by_themselves() -> None:
    model = made("gated_deltanet")
    prefix = model(prompt(1)).state
    ends = prompt(3, 2)
    together = generate(model, ends, prefix.fork(3)).take(6)
    alone = [generate(model, end[None], prefix).take(6) for end in ends]
    assert torch.equal(together, torch.cat(alone))


class Fixed(Uniform):
    """Always answers with the same logits."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.tensor(logits))

    def forward(self, tokens: Tensor, state: State | None = None) -> Output:
        after = self.initial_state(len(tokens)) if state is None else state
        return Output(self.values.expand(len(tokens), -1), after)


def drawn(model: SequenceModel, **options: float | int | None) -> set[int]:
    rows = torch.zeros(400, 1, dtype=torch.int64)
    generator = torch.Generator().manual_seed(0)
    return set(generate(model.eval(), rows, generator=generator, **options).take(1).flatten().tolist())  # pyright: ignore[reportArgumentType]


def test_temperature_top_k_and_top_p_say_what_can_be_drawn() -> None:
    model = Fixed(*torch.tensor([0.1, 0.4, 0.3, 0.2]).log().tolist())
    assert drawn(model) == {1}
    assert drawn(model, temperature=1.0) == {0, 1, 2, 3}
    assert drawn(model, temperature=1.0, top_k=2) == {1, 2}
    assert drawn(model, temperature=1.0, top_k=9) == {0, 1, 2, 3}
    assert drawn(model, temperature=1.0, top_p=0.39) == {1}
    assert drawn(model, temperature=1.0, top_p=0.69) == {1, 2}
    assert drawn(model, temperature=1.0, top_p=0.71) == {1, 2, 3}
    assert drawn(model, temperature=1.0, top_k=2, top_p=0.5) == {1}
    assert drawn(model, temperature=0.01) == {1}
    assert drawn(model, temperature=1e-300) == {1}
    assert drawn(Fixed(0.0, -torch.inf, 0.0), temperature=1e9) == {0, 2}


def test_symbols_are_drawn_as_often_as_they_are_probable() -> None:
    model = Fixed(*torch.tensor([0.1, 0.4, 0.3, 0.2]).log().tolist()).eval()
    rows = torch.zeros(20_000, 1, dtype=torch.int64)
    generator = torch.Generator().manual_seed(0)
    found = generate(model, rows, temperature=2.0, generator=generator).take(1)
    expected = torch.tensor([0.1, 0.4, 0.3, 0.2]).sqrt()
    torch.testing.assert_close(found.flatten().bincount() / 20_000, expected / expected.sum(), rtol=0, atol=0.01)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_answers_that_are_not_numbers_end_it(temperature: float) -> None:
    with pytest.raises(RunError, match="logits that are not a number"):
        generate(Fixed(0.0, torch.nan).eval(), prompt(), temperature=temperature).take(1)


def test_an_infinite_answer_cannot_be_drawn_from() -> None:
    with pytest.raises(RunError, match="largest logit is infinite"):
        generate(Fixed(0.0, torch.inf).eval(), prompt(), temperature=1.0).take(1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1.0}, "temperature is at least 0"),
        ({"temperature": float("nan")}, "temperature is at least 0"),
        ({"temperature": float("inf")}, "temperature is at least 0"),
        ({"top_k": 0}, "top_k at least 1"),
        ({"top_p": 0.0}, "top_p above 0 and at most 1: not 0.0, None and 0.0"),
        ({"top_p": 1.1}, "top_p above 0"),
        ({"prompt": torch.zeros(2, 0, dtype=torch.int64)}, "at least 1 tokens are needed"),
        ({"prompt": torch.zeros(3, dtype=torch.int64)}, r"shape \[rows, tokens\]"),
        ({"prompt": torch.zeros(2, 3, 1)}, "a prompt is symbols, .* and not torch.float32"),
        ({"state": State({"layers.0.hidden": torch.zeros(3, 1)})}, "for 2 rows"),
    ],
)
def test_what_is_out_of_reach_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        generate(made("gru"), **{"prompt": prompt(), **options})  # pyright: ignore[reportArgumentType]


def test_a_model_that_is_being_trained_is_refused() -> None:
    with pytest.raises(InputError, match=r"call model.eval\(\)"):
        generate(made("gru").train(), prompt())


def test_a_symbol_that_is_none_is_told() -> None:
    with pytest.raises(InputError, match="the model reads no symbol 99"):
        generate(made("gru"), torch.tensor([[1, 99]])).take(1)
    torch.manual_seed(0)
    classes = BackboneConfig(width=16, layers=1).build(2, 50).eval()
    with pytest.raises(InputError, match="which the prompt holds or it answered with"):
        generate(classes, torch.tensor([[1, 0]]), temperature=100.0).take(20)


def test_the_state_before_is_kept_where_reading_fails() -> None:
    generation = generate(made("gru"), prompt())
    generation.take(3)
    state = generation.state
    generation.unread = torch.full_like(generation.unread, 99)
    with pytest.raises(InputError, match="no symbol 99"):
        next(generation)
    assert generation.state is state
