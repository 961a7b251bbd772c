"""Write an untrained Mamba-2 of transformers that forgets slowly, with a tokenizer whose tokens are bytes.

``python examples/small_mamba2.py FOLDER [SEED]``; then ``lengthwise post-train hf:FOLDER`` trains it (see
docs/pretrained.md). Only transformers is used here: FOLDER is a checkpoint like any other.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import Mamba2Config, Mamba2ForCausalLM, PreTrainedTokenizerFast

END = "<|endoftext|>"


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer of 257 tokens: token b is the byte b, and the last one ends a text."""
    # The alphabet of byte-level tokenizers: bytes that print stand for themselves, the others for 256, 257 and so on.
    printing = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = iter(range(256, 512))
    vocabulary = {chr(byte if byte in printing else next(others)): byte for byte in range(256)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=END, eos_token=END)


def slow_mamba2(seed: int) -> Mamba2ForCausalLM:
    """Return a model of 2 layers of width 64 whose heads hold what they read for 30 to 10,000 tokens."""
    torch.manual_seed(seed)
    config = Mamba2Config(
        vocab_size=257,
        hidden_size=64,
        num_hidden_layers=2,
        num_heads=4,
        head_dim=32,
        state_size=64,
        n_groups=1,
        chunk_size=64,
        initializer_range=0.02,
        bos_token_id=256,
        eos_token_id=256,
        pad_token_id=256,
    )
    model = Mamba2ForCausalLM(config)
    with torch.no_grad():
        for block in model.backbone.layers:
            steps = torch.empty(config.num_heads).uniform_(-2.3026, 0.0).exp()
            block.mixer.dt_bias.copy_(steps + torch.log(-torch.expm1(-steps)))
            block.mixer.A_log.copy_(torch.empty(config.num_heads).uniform_(0.001, 0.03).log())
    return model


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    slow_mamba2(int(sys.argv[2]) if len(sys.argv) > 2 else 0).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
