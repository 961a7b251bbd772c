"""Repair a Mamba from the hub.

A checkpoint of transformers that fails beyond its training context is trained on from states that it ended in.
There is no network here, so the first cell makes a tiny one: `hf:FOLDER`, or `hf:NAME/ON-THE-HUB`, is what you
would give instead.
"""

# %%
import random
import shlex
import subprocess
import sys
from itertools import accumulate
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import Mamba2Config, Mamba2ForCausalLM, PreTrainedTokenizerFast

# %% A Mamba-2 that forgets slowly, and texts for it: each word is the one before, or the next.
torch.manual_seed(0)
words = Tokenizer(
    models.WordLevel({"<end>": 0, **{f"w{number}": number for number in range(1, 33)}}, unk_token="<end>")
)
words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>").save_pretrained("tiny")
sizes = {"hidden_size": 32, "num_heads": 4, "head_dim": 16, "state_size": 16, "n_groups": 1, "num_hidden_layers": 2}
model = Mamba2ForCausalLM(Mamba2Config(vocab_size=33, chunk_size=32, eos_token_id=0, **sizes))
for block in model.backbone.layers:
    block.mixer.A_log.data.fill_(-5)
model.save_pretrained("tiny")
Path("texts").mkdir(exist_ok=True)
for number in range(20):
    steps = accumulate(random.Random(number).choices([0, 1], k=3000))
    Path(f"texts/{number}.txt").write_text(" ".join(f"w{step % 32 + 1}" for step in steps), encoding="utf-8")


# %% The same commands as in a shell.
def shell(command: str) -> None:
    print("$", command, flush=True)
    subprocess.run([sys.executable, "-m", *shlex.split(command)], check=True)


text = "--data texts --context 32 --batch-size 32"
shell(f"lengthwise post-train hf:tiny {text} --intervention zero --steps 100 --out trained")
shell(f"lengthwise post-train hf:trained {text} --intervention state_passing --steps 100 --out repaired")
