"""Repair Silero VAD without labels, and measure it before and after.

python examples/silero_vad/study.py encode silero_vad.jit --speech train --held-out speech
python examples/silero_vad/study.py repair silero_vad.jit --seed 0 --out repaired-0.safetensors
python examples/silero_vad/study.py measure silero_vad.jit repaired-0.safetensors --out runs.jsonl
python examples/silero_vad/study.py table runs.jsonl --out table.md

Shape letters: B rows, T frames.
"""

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from model import FRAME, SileroVAD
from numpy.typing import NDArray
from speech import RATE, Features, NoisySpeech, Samples, clips, encoded, head, noise, with_head

from lengthwise import DistilConfig, RecurrentModel, State, Trainer, TrainingConfig
from lengthwise.interventions.filler import FillerPassingConfig
from lengthwise.runs.environment import source_commit

STEPS = 200
SECONDS = (0, 60, 300)
Sounds = Mapping[str, NDArray[Any]]
MINUTE = 60 * RATE // FRAME * FRAME
NONE = ("none", 0.0)
UNSEEN = (("white", 0.003), ("brown", 0.003), ("brown", 0.0015), ("fan", 0.003), ("hum", 0.003))
"""Kinds of noise that are not in the repair, and levels that are not."""
GAINS = (0.25, 0.1)
OPTIMISER = {"learning_rate": 5e-4, "warm_up": 0.1, "tail": "cosine", "amsgrad": False, "centralise": False}
STREAMS, BEFORE, AFTER = 4, 4, 16
THRESHOLD = 0.5
ONSETS, WHOLE = "recall of the first half second", "accuracy of whole clips"


def repair(model: SileroVAD, sounds: Sounds, seed: int, steps: int) -> SileroVAD:
    """Return the model trained on states that noise leaves behind, to say what it says from a fresh one."""
    began, task = time.process_time(), NoisySpeech().of(sounds)
    training = TrainingConfig.model_validate({"steps": steps, "batch_size": 32, "optimiser": OPTIMISER})
    start = FillerPassingConfig(zero_share=0.5, reset=0.03, length=192).build()
    trainer = Trainer(head(model), task, training, seed, DistilConfig(burn_in=8), start)
    while not trainer.finished:
        row = trainer.train_step()
        if trainer.step % 10 == 0:
            spread = float(start.memory["layers.0.cell"].std())
            print(f"{trainer.step} {row['loss']:.4f} cell {spread:.2f} {time.process_time() - began:.0f} s", flush=True)
    return with_head(model, trainer.model).eval()


def save_package(model: SileroVAD, published: Path, out: Path) -> None:
    """Write what the package runs by default, with other weights for 16 kHz."""
    package = torch.jit.load(published)
    package.load_state_dict({model.jit[name]: weight for name, weight in model.state_dict().items()}, strict=False)
    package.save(out)


@torch.no_grad()
def read(part: RecurrentModel, heard_BTC: Features, state: State | None = None) -> tuple[NDArray[np.bool_], State]:
    """Return which frames hold speech, [B, T], and the state after them."""
    logits, after = part(torch.from_numpy(heard_BTC), state)
    return (logits[..., 0].sigmoid() >= THRESHOLD).numpy(), after


def whole(clip: Samples) -> Samples:
    return clip[: len(clip) // FRAME * FRAME]


def onsets(model: SileroVAD, held_out: Path) -> list[tuple[Samples, NDArray[np.bool_]]]:
    """Return stretches in which speech begins after four frames without, and which of the next 16 hold speech.

    What is speech is what the published model says of the clip as it was recorded, loud and without noise.
    """
    found = []
    for clip in clips(held_out).values():
        speech_T = read(head(model), encoded(model, whole(clip)[None]))[0][0]
        for place in range(BEFORE, len(speech_T) - AFTER):
            label_T = speech_T[place : place + AFTER]
            if label_T[0] and not speech_T[place - BEFORE : place].any() and label_T.sum() >= AFTER // 2:
                found.append((clip[(place - BEFORE) * FRAME : (place + AFTER) * FRAME], label_T))
    return found


def encode(model: SileroVAD, speech: Path, held_out: Path) -> dict[str, Features]:
    """Return what the cell reads of all sounds: the encoder of all models is one."""
    arrays, begun = NoisySpeech().encode(model, speech, windows=60, filler=1000), onsets(model, held_out)
    arrays["labels"] = np.stack([label_T for _, label_T in begun for _ in range(STREAMS)])
    for kind, level in UNSEEN:
        minute = [noise(np.random.default_rng([7, r]), kind, level, MINUTE) for r in range(STREAMS)]
        arrays[f"minute {kind} {level}"] = encoded(model, np.stack(minute))
        for gain in GAINS:
            sound = [gain * clip for clip, _ in begun for _ in range(STREAMS)]
            rngs = [np.random.default_rng([8, n]) for n in range(len(sound))]
            heard = [one + noise(rng, kind, level, len(one)) for one, rng in zip(sound, rngs, strict=True)]
            arrays[f"begun {kind} {level} {gain}"] = encoded(model, np.stack(heard))
    for number, clip in enumerate(map(whole, clips(held_out).values())):
        arrays[f"label {number}"] = read(head(model), encoded(model, clip[None]))[0][0]
        for kind, level in (NONE, *UNSEEN):
            for gain in (1.0, *GAINS):
                under = noise(np.random.default_rng([9, number]), kind, level, len(clip)) if level else 0
                sound = np.asarray(gain * clip + under, np.float32)
                arrays[f"whole {kind} {level} {gain} {number}"] = encoded(model, sound[None])
    return arrays


def rows_of(part: RecurrentModel, sounds: Sounds) -> Iterator[dict[str, Any]]:
    """Yield what a model finds of the first half second of speech after noise, and of whole clips from a fresh state.

    Five minutes of noise are one that is read five times.
    """
    labels_NT = sounds["labels"]
    for kind, level in UNSEEN:
        minute, state, flagged, cell, read_s = sounds[f"minute {kind} {level}"], None, 0.0, 0.0, 0
        for seconds in SECONDS:
            while read_s < seconds:
                heard, state = read(part, minute, state)
                flagged, cell, read_s = float(heard.mean()), float(state["layers.0.cell"].std()), read_s + 60
            after = None if state is None else state.rows(list(range(STREAMS)) * (len(labels_NT) // STREAMS))
            for gain in GAINS:
                found_NT = read(part, sounds[f"begun {kind} {level} {gain}"], after)[0][:, BEFORE:]
                where = {"noise": kind, "level": level, "gain": gain, "seconds": seconds}
                value, asked = float(found_NT[labels_NT].mean()), int(labels_NT.sum())
                yield {"measure": ONSETS, **where, "value": value, "frames": asked, "flagged": flagged, "cell": cell}
    numbers = range(sum(name.startswith("label ") for name in sounds))
    for kind, level in (NONE, *UNSEEN):
        for gain in (1.0, *GAINS):
            clip_rows = [read(part, sounds[f"whole {kind} {level} {gain} {n}"])[0][0] for n in numbers]
            right = np.concatenate([found == sounds[f"label {n}"] for n, found in enumerate(clip_rows)])
            where = {"noise": kind, "level": level, "gain": gain}
            yield {"measure": WHOLE, **where, "value": float(right.mean()), "frames": len(right)}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the tables of what was measured: the published model, and the repaired ones with strokes between."""
    places = ("measure", "noise", "level", "gain", "seconds")
    found = {(row["model"], *(row.get(place) for place in places)): row for row in rows}
    published, *repaired = dict.fromkeys(row["model"] for row in rows)

    def said(names: Sequence[str], *place: Any, what: str = "value", form: str = ".1%") -> str:
        return " / ".join(format(found[name, *place][what], form).replace("%", "") for name in names)

    def line(*cells: object) -> str:
        return f"| {' | '.join(map(str, cells))} |"

    fresh, later = (
        f"{state} model, {when}" for state, when in (("published", "fresh"), ("published", "after 60, 300 s"))
    )
    lines = [
        line(
            "noise, level",
            "gain",
            fresh,
            later,
            "repaired model, fresh",
            "repaired model, after 300 s",
            "cell, published",
        ),
        line(*["---"] * 2, *["---:"] * 5),
    ]
    for (kind, level), gain in product(UNSEEN, GAINS):
        place = (ONSETS, kind, level, gain)
        known = [said([published], *place, seconds) for seconds in SECONDS]
        own = [said(repaired, *place, seconds) for seconds in (SECONDS[0], SECONDS[-1])]
        cell = said([published], *place, SECONDS[-1], what="cell", form=".1f")
        lines.append(line(f"{kind}, {level}", gain, known[0], f"{known[1]}, {known[2]}", *own, cell))
    lines += ["", line("noise, level", "gain", "published model", "repaired model"), line("---", "---", "---:", "---:")]
    for (kind, level), gain in product((NONE, *UNSEEN), (1.0, *GAINS)):
        place = (WHOLE, kind, level, gain, None)
        name = f"{kind}, {level}" if level else kind
        lines.append(line(name, gain, said([published], *place), said(repaired, *place)))
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["encode", "repair", "measure", "table"])
    parser.add_argument("weights", type=Path, nargs="+", help="published .jit or .safetensors, then repaired; or rows")
    parser.add_argument("--speech", type=Path, help="folder of clips to encode for the repair")
    parser.add_argument("--held-out", type=Path, help="folder of clips to encode for the measurement")
    parser.add_argument("--sounds", type=Path, default=Path("sounds.npz"), help="what was encoded")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.command == "table":
        rows = [json.loads(line) for line in given.weights[0].read_text("utf-8").splitlines()]
        given.out.write_text(table(rows), encoding="utf-8")
        return
    published = SileroVAD(given.weights[0])
    if given.command == "encode":
        np.savez(given.sounds, **encode(published, given.speech, given.held_out))
        return
    sounds = dict(np.load(given.sounds))
    if given.command == "repair":
        repaired = repair(published, sounds, given.seed, given.steps)
        repaired.save(given.out)
        if given.weights[0].suffix == ".jit":
            save_package(repaired, given.weights[0], given.out.with_suffix(".jit"))
        return
    models, commit = {path.stem: head(SileroVAD(path)) for path in given.weights}, source_commit()[0]
    rows = ({"model": name, "commit": commit} | row for name, part in models.items() for row in rows_of(part, sounds))
    lines = [json.dumps(row) for row in rows]
    given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
