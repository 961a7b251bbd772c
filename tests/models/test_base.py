import pytest
import torch
from torch import Tensor, nn

from lengthwise.errors import InputError
from lengthwise.models import base
from lengthwise.models.base import Output, SequenceModel, StringModel, with_state
from lengthwise.state import State


class Decay(SequenceModel):
    """A weighted sum of what was read, the past at half its weight."""

    def __init__(self, every_prefix: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 3, dtype=torch.float64)
        self.every_prefix = every_prefix
        self.calls: list[int] = []

    def initial_state(self, batch_size: int) -> State:
        return State({"sum": self.embedding.weight.new_zeros(batch_size, 3)})

    def forward(self, tokens: Tensor, state: State | None = None) -> Output:
        self.calls.append(tokens.shape[1])
        total, sums = (state or self.initial_state(len(tokens)))["sum"], []
        for step in self.embedding(tokens).unbind(1):
            total = total / 2 + step
            sums.append(total)
        return Output(torch.stack(sums, 1) if self.every_prefix else total, State({"sum": total}))


def last(logits: Tensor) -> Tensor:
    return logits[:, -1] if logits.ndim == 3 else logits


@pytest.fixture(params=[False, True], ids=["string", "every prefix"])
def model(request: pytest.FixtureRequest) -> Decay:
    torch.manual_seed(0)
    return Decay(request.param)


@pytest.fixture
def tokens() -> Tensor:
    return torch.randint(5, (4, 23), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("chunk", [1, 7, 23, 100])
def test_a_string_read_in_chunks_has_the_logits_of_one_call(model: Decay, tokens: Tensor, chunk: int) -> None:
    expected = last(model(tokens).logits)
    model.calls.clear()
    torch.testing.assert_close(model.string_logits(tokens, chunk), expected, rtol=1e-14, atol=1e-14)
    assert sum(model.calls) == 23
    assert max(model.calls) <= chunk


def test_prefixes_have_the_logits_they_have_alone(model: Decay, tokens: Tensor) -> None:
    lengths = [1, 2, 5, 17, 23]
    expected = torch.stack([last(model(tokens[:, :length]).logits) for length in lengths], 1)
    model.calls.clear()
    torch.testing.assert_close(model.prefix_logits(tokens, lengths), expected, rtol=1e-14, atol=1e-14)
    assert sum(model.calls) == 23 + 1, "one symbol to see what the model gives, then each once"


@pytest.mark.parametrize("symbols", [4, 28, 16_384])
def test_padded_strings_have_the_logits_they_have_alone(
    model: Decay, tokens: Tensor, symbols: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "SYMBOLS", symbols)
    lengths = torch.tensor([17, 3, 23, 3])
    expected = torch.cat([last(model(row[None, :length]).logits) for row, length in zip(tokens, lengths, strict=True)])
    torch.testing.assert_close(model.asked_logits(tokens, at_ends(lengths)), expected, rtol=1e-14, atol=1e-14)
    shorter = at_ends(lengths.clamp(max=3))
    model.calls.clear()
    torch.testing.assert_close(
        model.asked_logits(tokens, shorter), last(model(tokens[:, :3]).logits), rtol=1e-14, atol=1e-14
    )
    model.calls.clear()
    model.asked_logits(tokens, shorter)
    assert sum(model.calls) == 1 + 3, "one symbol to see what the model gives, and nothing beyond the longest"


def at_ends(lengths: Tensor) -> Tensor:
    """Return [B, 23] where strings of some lengths end."""
    return torch.arange(23) == lengths[:, None] - 1


class Bag(StringModel):
    """Counts symbols, and cannot read on."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 3, dtype=torch.float64)

    def string_logits(self, tokens: Tensor) -> Tensor:
        return self.embedding(tokens).sum(1)


def test_a_model_of_whole_strings_reads_each_prefix_by_itself(tokens: Tensor) -> None:
    bag, lengths = Bag(), [2, 9, 23]
    sums = bag.embedding(tokens).cumsum(1)
    torch.testing.assert_close(bag.prefix_logits(tokens, lengths), sums[:, [1, 8, 22]])
    of_rows = torch.tensor([9, 2, 23, 9])
    torch.testing.assert_close(bag.asked_logits(tokens, at_ends(of_rows)), sums[torch.arange(4), of_rows - 1])
    assert not bag.gives_every_prefix()


def test_what_needs_a_state_refuses_a_model_without_one(model: Decay) -> None:
    assert with_state(model, "a check") is model
    with pytest.raises(InputError, match=r"a check needs a model that carries state .*; Bag reads whole strings only"):
        with_state(Bag(), "a check")


def test_an_empty_string_has_no_logits(model: Decay) -> None:
    with pytest.raises(InputError, match="an empty string has no logits"):
        model.string_logits(torch.zeros(2, 0, dtype=torch.int64))


def test_a_schedule_is_ignored_by_default(model: Decay, tokens: Tensor) -> None:
    before = model.string_logits(tokens)
    model.anneal(0.7)
    assert torch.equal(model.string_logits(tokens), before)
