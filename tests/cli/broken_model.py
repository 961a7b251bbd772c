from typing import Literal

from torch import Tensor, nn

from lengthwise.models.base import ModelConfig, Output, SequenceModel
from lengthwise.spaces import Space, Tokens
from lengthwise.state import State


class ForgetfulConfig(ModelConfig):
    """A model that starts over at every call."""

    name: Literal["forgetful"] = "forgetful"

    def build(self, inputs: Space | int, outputs: Space | int) -> SequenceModel:
        # A model of another package need not take plain numbers.
        assert isinstance(inputs, Tokens)
        assert isinstance(outputs, Tokens)
        return Forgetful(inputs.size, outputs.size)


class Forgetful(SequenceModel):
    def __init__(self, vocabulary: int, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, classes)

    def initial_state(self, batch_size: int) -> State:
        return State({"sum": self.embedding.weight.new_zeros(batch_size, self.embedding.embedding_dim)})

    def forward(self, tokens: Tensor, state: State | None = None) -> Output:
        total = self.embedding(tokens).sum(1)
        kept = total + 0 * (state or self.initial_state(len(tokens)))["sum"]
        return Output(kept, State({"sum": kept}))
