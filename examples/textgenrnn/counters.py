"""Measure why textgenrnn fails when its state is carried: its LSTMs count, and the attention reads the counters.

    LENGTHWISE_TEXTGENRNN=CACHE python examples/textgenrnn/counters.py results/pretrained/textgenrnn/counters.json

CACHE is the folder that study.py has filled. Shape letters: R articles, S symbols, N windows, P places.
"""

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import torch
from articles import PACKAGES, load_articles
from model import WINDOW, TextGenRNN, load_weights
from study import EDGES, articles_from_start, bits_read_anew
from torch import Tensor

from lengthwise.runs.environment import describe_environment

ARTICLES = 48
ENDS = (40, 160, 1020)


def pretrained(cache: Path, window: int) -> TextGenRNN:
    model = TextGenRNN(window=window)
    load_weights(model, cache / "textgenrnn_weights.hdf5")
    return model


@torch.no_grad()
def in_windows(model: TextGenRNN, tokens_RS: Tensor) -> dict[str, float]:
    """Return scores and weights of the last two places of windows that start anew, means over windows."""
    tokens_NP = tokens_RS.unfold(1, WINDOW, WINDOW // 2).flatten(0, 1)
    nothing = model.initial_state(len(tokens_NP)).map(torch.zeros_like)
    scores_NP = model.attention(model._features(tokens_NP, nothing)[0])[..., 0]
    weights_P = scores_NP.softmax(-1).mean(0)
    return {
        "score_of_the_last_above_the_one_before": float((scores_NP[:, -1] - scores_NP[:, -2]).mean()),
        "weight_of_the_last": float(weights_P[-1]),
        "weight_of_the_one_before": float(weights_P[-2]),
    }


@torch.no_grad()
def carried(model: TextGenRNN, tokens_RS: Tensor) -> list[dict[str, float]]:
    """Return the largest cell of the first LSTM, and the score of all places, means over articles."""
    state, rows, before = model.initial_state(len(tokens_RS)), list[dict[str, float]](), 0
    for end in ENDS:
        state = model(tokens_RS[:, before:end], state).state
        largest_R, scores = state["rnn_1.c"].abs().amax(1), model.attention(state["window"])
        rows.append({"characters": end, "largest_cell": float(largest_R.mean()), "score": float(scores.mean())})
        before = end
    return rows


def main() -> None:
    cache, out = Path(os.environ["LENGTHWISE_TEXTGENRNN"]), Path(sys.argv[1])
    corpora = [load_articles(cache, "validation"), load_articles(cache, "test")]
    texts = [corpora[0].train, *(corpus.validation for corpus in corpora)]
    tokens_RS = articles_from_start(corpora[0], ARTICLES)
    whole, single = pretrained(cache, WINDOW), pretrained(cache, 1)
    found: dict[str, Any] = {
        "articles": sum(len(text.starts_D) for text in texts),
        "training_characters": len(texts[0].tokens_N),
        "unknown_share": sum(int((text.tokens_N == 0).sum()) for text in texts) / sum(len(t.tokens_N) for t in texts),
        "measured_articles": ARTICLES,
        "in_windows": in_windows(whole, tokens_RS),
        "carried": carried(whole, tokens_RS),
        "bits_read_anew": {
            f"window {model.window}": bits_read_anew(model, tokens_RS)["table"][-1][2] for model in (whole, single)
        },
        "positions": EDGES[-2:],
    }
    environment = describe_environment(0)
    environment["packages"] |= PACKAGES
    environment["command"] = shlex.join(["python", *sys.orig_argv[1:]])
    out.write_text(json.dumps(found | {"environment": environment}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
