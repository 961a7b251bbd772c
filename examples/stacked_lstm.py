"""torch's own recurrent layers, several of them: checked, and trained from passed states."""

import torch
from torch import nn

from lengthwise import RecurrentModel, StatePassingConfig, check_contract

SYMBOLS, WIDTH, CONTEXT, ROWS, STEPS = 8, 32, 16, 16, 150


def text(rows: int, length: int, rng: torch.Generator) -> torch.Tensor:
    """Each symbol is the one before or the next, equally likely: 2 is the perplexity that there is to reach."""
    steps = torch.randint(2, (rows, length), generator=rng)
    return steps.cumsum(1) % SYMBOLS


torch.manual_seed(0)
rng = torch.Generator().manual_seed(0)
for layers in (nn.LSTM(WIDTH, WIDTH, 3, batch_first=True), nn.GRU(WIDTH, WIDTH, 2), nn.RNN(WIDTH, WIDTH, 2)):
    model = RecurrentModel(nn.Embedding(SYMBOLS, WIDTH), layers, nn.Linear(WIDTH, SYMBOLS))
    broken = [finding.clause for finding in check_contract(model, SYMBOLS) if not finding.holds]
    print(f"{type(layers).__name__}, {layers.num_layers} layers: {', '.join(broken) or 'the contract holds'}")
    passing = StatePassingConfig().build()
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.01)
    for window in (text(ROWS, CONTEXT + 1, rng) for _ in range(STEPS)):
        logits, state = model(window[:, :-1], passing.begin(model, ROWS, rng))
        passing.observe(state)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    print(f"carried in {', '.join(state)}: perplexity {loss.exp():.2f}")
