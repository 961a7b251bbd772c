"""Post-train textgenrnn with each intervention and measure bits per character by position, stateful from the start.

    python examples/textgenrnn/study.py --cache CACHE --out results/pretrained/textgenrnn/runs.jsonl

Shape letters: R articles, S symbols of an article.
"""

import argparse
import itertools
import json
import math
import os
import shlex
import sys
from collections.abc import Iterator
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from articles import PACKAGES, HeldOut, fetch, load_articles
from model import WINDOW, TextGenRNN, load_weights, save_weights
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from lengthwise import AlignedWindows, Corpus, InterventionConfig, LanguageModelling, Trainer, TrainingConfig
from lengthwise.evaluation.perplexity import row_losses
from lengthwise.interventions import INTERVENTIONS
from lengthwise.runs.environment import describe_environment
from lengthwise.tasks.base import Stream

EDGES = (0, 40, 80, 160, 320, 1024)
"""Of the table: the first edge is one window of textgenrnn."""
CURVE = (0, 10, 20, 30, 40, 57, 80, 113, 160, 226, 320, 453, 640, 1024)
SETTINGS: dict[str, dict[str, Any]] = {
    "zero": {},
    "random_noise": {"sigma": 1.0},
    "fitted_noise": {"per_channel": True},
    "state_passing": {"zero_probability": 0.0, "zero_share": 0.25},
    "tbptt": {"zero_share": 0.25},
}
"""Chosen on validation articles; see the page on this study."""
OPTIMISER: dict[str, Any] = {
    "amsgrad": False,
    "betas": (0.9, 0.999),
    "warm_up": 0.05,
    "tail": "cosine",
    "centralise": False,
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = os.environ.get("LENGTHWISE_TEXTGENRNN")
    parser.add_argument("--cache", type=Path, default=cache, required=cache is None, help="where downloads are kept")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines; a run is added to them")
    parser.add_argument("--weights", type=Path, help="folder for the weights of each run, as textgenrnn reads them")
    parser.add_argument("--held-out", choices=("validation", "test"), default="test")
    parser.add_argument("--articles", type=int, default=100, help="articles that are measured, from their start")
    parser.add_argument("--training", nargs="*", default=list(SETTINGS), help="interventions, base, read_anew")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--set", type=json.loads, default={}, help="other settings of the intervention, as JSON")
    parser.add_argument("--window", type=int, default=1, help="places that attention averages over")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--context", type=int, default=WINDOW)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    return parser.parse_args()


class Articles(LanguageModelling):
    """The news articles as textgenrnn reads them; a row that walks through them begins anew with each article."""

    cache: Path
    side: HeldOut

    @cached_property
    def corpus(self) -> Corpus:
        return load_articles(self.cache, self.side)

    def stream(self, rows: int, *, aligned: bool = False, loose: int = 0) -> Stream:
        if aligned:
            return AlignedWindows(self.corpus, "train", self.context, rows, reset=True, loose=loose)
        return super().stream(rows)


def post_train(model: TextGenRNN, task: Articles, start: InterventionConfig, given: argparse.Namespace) -> Trainer:
    """Return the trainer that took all steps."""
    optimiser = OPTIMISER | {"learning_rate": given.learning_rate}
    settings = {"steps": given.steps, "batch_size": given.batch_size, "optimiser": optimiser}
    config = TrainingConfig.model_validate(settings)
    trainer = Trainer(model, task, config, given.seed, intervention=start.build())
    while not trainer.finished:
        trainer.train_step()
    return trainer


def articles_from_start(corpus: Corpus, articles: int) -> Tensor:
    """Return the beginnings [R, S] of the first articles that are long enough."""
    stretches = corpus.stretches("validation", EDGES[-1] + 1)
    return torch.from_numpy(corpus.read("validation", stretches.starts_D[:articles], stretches.size))


def bits_by_position(model: TextGenRNN, tokens_RS: Tensor) -> dict[str, list[list[float]]]:
    """Return rows of first position, last position, bits per character and its standard error over articles."""
    losses = row_losses(model, tokens_RS, sorted({*EDGES, *CURVE}), chunk=64, batch_size=100)
    bits = {"table": losses.by_position(EDGES), "curve": losses.by_position(CURVE)}
    return {
        name: [[b.start, b.end, b.mean / math.log(2), b.standard_error / math.log(2)] for b in bins]
        for name, bins in bits.items()
    }


@torch.no_grad()
def bits_read_anew(model: TextGenRNN, tokens_RS: Tensor, stride: int = 16) -> dict[str, list[list[float]]]:
    """Return the same for textgenrnn's own way: for each character the last 40 are read anew, without a state."""
    positions = np.r_[1 : WINDOW + 1, WINDOW + stride // 2 : tokens_RS.shape[1] : stride]
    windows_RSW = pad(tokens_RS, (WINDOW - 1, 0)).unfold(1, WINDOW, 1)
    nothing = model.initial_state(len(tokens_RS)).map(torch.zeros_like)
    logits = [model(windows_RSW[:, position - 1], nothing).logits[:, -1] for position in positions]
    losses = [cross_entropy(at, tokens_RS[:, p], reduction="none") for at, p in zip(logits, positions, strict=True)]
    bits_RP = torch.stack(losses, 1) / math.log(2)
    table: list[list[float]] = []
    for before, end in itertools.pairwise(EDGES):
        means_R = bits_RP[:, torch.from_numpy((positions > before) & (positions <= end))].mean(1)
        table.append([before + 1, end, float(means_R.mean()), float(means_R.std()) / math.sqrt(len(means_R))])
    return {"table": table}


def runs(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Train and measure what is asked for, a line each."""
    task = Articles(cache=given.cache, side=given.held_out, context=given.context)
    tokens_RS = articles_from_start(task.corpus, given.articles)
    for seed, name in itertools.product(given.seeds, given.training):
        given.seed = seed
        model = TextGenRNN(window=given.window)
        load_weights(model, given.cache / "textgenrnn_weights.hdf5")
        line: dict[str, Any] = {"training": name}
        if name == "read_anew":
            yield line | bits_read_anew(model, tokens_RS) | provenance(given)
            continue
        if name != "base":
            start = INTERVENTIONS.load(name).model_validate(SETTINGS[name] | given.set)
            trainer = post_train(model, task, start, given)
            line |= {"intervention": start.model_dump(mode="json"), "settings": trainer.config.model_dump()}
            line["settings"] |= {"context": given.context}
            line |= {"symbols": trainer.sequences * given.context, "seconds": round(trainer.seconds, 1)}
        if given.weights:
            given.weights.mkdir(parents=True, exist_ok=True)
            save_weights(model, given.weights / f"{name}-{given.seed}.hdf5")
        yield line | bits_by_position(model, tokens_RS) | provenance(given)


def provenance(given: argparse.Namespace) -> dict[str, Any]:
    environment = describe_environment(given.seed)
    environment["packages"] |= PACKAGES | {"h5py": version("h5py")}
    environment["command"] = shlex.join(["python", *sys.orig_argv[1:]])
    return {
        "seed": given.seed,
        "window": given.window,
        "held_out": given.held_out,
        "articles": given.articles,
        "environment": environment,
    }


def main() -> None:
    given = arguments()
    fetch(given.cache)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    for line in runs(given):
        with given.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        shown = "  ".join(f"{start}-{end} {bits:.3f}" for start, end, bits, _ in line["table"])
        print(f"{line['training']:14} seed {line['seed']}  {shown}", flush=True)


if __name__ == "__main__":
    main()
