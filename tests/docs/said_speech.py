"""What the page on speech says: the settings in the files of the example, and the rows of its study."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
SETTINGS = {
    "study.py": (
        "STEPS = 200",
        '"batch_size": 32',
        '"learning_rate": 5e-4',
        "reset=0.03, length=192",
        "burn_in=8",
        "SECONDS = (0, 60, 300)",
        "GAINS = (0.25, 0.1)",
        "STREAMS, BEFORE, AFTER = 4, 4, 16",
    ),
    "speech.py": ("levels: tuple[float, ...] = (0.0005, 0.001, 0.002, 0.006, 0.012)", "frames: int = 64", "np.pi * 50"),
    "model.py": ("FRAME, CONTEXT, WIDTH = 512, 64, 128",),
}


def sentences() -> Iterator[str]:
    """Yield what rests on files and rows."""
    folder = ROOT / "examples/silero_vad"
    for name, settings in SETTINGS.items():
        text = (folder / name).read_text(encoding="utf-8")
        assert all(setting in text for setting in settings), name
    yield "says of every 32 ms whether they hold speech"
    yield "is an LSTM cell of 128,"
    yield f"({len((folder / 'model.py').read_text(encoding='utf-8').splitlines())} lines) reads the package's weights"
    yield "in noise alone, 6 s a step, and begins anew after 200 s on average. Windows are 2 s of noise"
    yield "but for the first 8 frames. 200 steps of 32 windows, AdamW with a peak rate of 5e-4"
    # The cell, the readout; before them the transform and four convolutions.
    trained = 2 * 512 * 128 + 2 * 512 + 128 + 1
    convolutions = ((129, 128), (128, 64), (64, 64), (64, 128))
    encoder = 258 * 256 + sum(3 * inner * outer + outer for inner, outer in convolutions)
    yield f"({trained:,} numbers of {trained + encoder:,})"
    said = [line for line in (folder / "voices.sh").read_text(encoding="utf-8").splitlines() if line.startswith("say ")]
    yield f"{len(said)} texts in {len({line.split()[1][:2] for line in said})} languages by espeak-ng"
    yield "hum (50 Hz and overtones)"
    yield "| level (rms) | 0.0005, 0.001, 0.002, 0.006, 0.012 | 0.003, 0.0015 |"
    yield "in a noise that was there for 0, 60 or 300 s"
    yield "are seeds 0, 1 and 2"
    rows = [json.loads(line) for line in (ROOT / "results/pretrained/silero_vad/runs.jsonl").read_text().splitlines()]
    at = {(r["model"], r["measure"], r["noise"], r["level"], r["gain"], r.get("seconds")): r for r in rows}
    begun = [place[1:5] for place in at if place[0] == "published" and place[5] == 0]
    seeds = sorted({r["model"] for r in rows} - {"published"})

    def values(model: str, seconds: int) -> np.ndarray:
        return np.array([at[model, *place, seconds]["value"] for place in begun])

    fresh = values("published", 0)
    lost, gained = values("published", 300) - fresh, np.array([values(seed, 300) - fresh for seed in seeds])
    assert len(begun) == 10
    assert np.allclose(values("published", 60) - fresh, lost, atol=0.01)
    yield f"300 s of noise cost it {-100 * lost.mean():.1f} points of recall, at worst {-100 * lost.min():.0f} (white"
    yield "tenth of the loudness); 60 s cost as much"
    yield "after 300 s the recall is within 2 points of the published model from a fresh state, *without resets*, in "
    yield f"{(gained >= -0.02).sum()} of {gained.size} (ten conditions, three seeds)"
    means = 100 * gained.mean(1)
    assert abs(means[2]) < 0.05
    yield f"on average over conditions {means[0]:.1f} points above, {means[1]:.1f} above and level with it"
    short = sorted(-100 * gained[gained < -0.02])
    yield f"in white noise by {short[0]:.1f} and {short[2]:.1f} points with two seeds"
    yield f"in the fan by {short[1]:.1f} with one"
    whole = [place[1:] for place in at if place[0] == "published" and place[5] is None]
    before = np.array([at["published", *place]["value"] for place in whole])
    changed = np.array([[at[seed, *place]["value"] for place in whole] for seed in seeds]) - before
    yield f"{-100 * changed.mean():.2f} points less on average"
    yield f"within half a point in {(changed >= -0.005).sum()} of {changed.size}"
    yield f"lose up to {-100 * changed.min():.1f} points"
    cells = {r["model"]: [] for r in rows}
    for row in rows:
        cells[row["model"]] += [row["cell"]] if row.get("seconds") == 300 else []
    repaired, published = [cell for seed in seeds for cell in cells[seed]], cells["published"]
    yield f"to {min(repaired):.0f} to {max(repaired):.0f} where it grew to {min(published):.0f} to {max(published):.0f}"
    (count,) = {r["frames"] for r in rows if r.get("seconds") is not None}
    yield f"beginnings of speech in four noises each ({count} frames a cell)"
