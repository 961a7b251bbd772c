import pytest
import torch
from torch import Tensor, nn

from lengthwise.errors import InputError
from lengthwise.models.base import Output, SequenceModel
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
    assert sum(model.calls) == 23


def test_an_empty_string_has_no_logits(model: Decay) -> None:
    with pytest.raises(InputError, match="an empty string has no logits"):
        model.string_logits(torch.zeros(2, 0, dtype=torch.int64))


def test_a_schedule_is_ignored_by_default(model: Decay, tokens: Tensor) -> None:
    before = model.string_logits(tokens)
    model.anneal(0.7)
    assert torch.equal(model.string_logits(tokens), before)
