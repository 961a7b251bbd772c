"""State passing in the Trainer of transformers: one more class, and an ordinary checkpoint in the end."""

import tempfile

import torch
from transformers import AutoModelForCausalLM, Mamba2Config, TrainingArguments

from lengthwise.pretrained.transformers_trainer import StatePassingTrainer

SYMBOLS, CONTEXT = 16, 32

torch.manual_seed(0)
sizes = {"hidden_size": 32, "num_heads": 4, "head_dim": 16, "state_size": 16, "n_groups": 1, "num_hidden_layers": 2}
model = AutoModelForCausalLM.from_config(Mamba2Config(vocab_size=SYMBOLS, **sizes))
steps = torch.randint(1, 4, (512, CONTEXT))
windows = [{"input_ids": row, "labels": row} for row in steps.cumsum(1) % SYMBOLS]

with tempfile.TemporaryDirectory() as folder:
    settings = TrainingArguments(
        output_dir=folder,
        max_steps=60,
        per_device_train_batch_size=16,
        learning_rate=0.01,
        logging_steps=20,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = StatePassingTrainer(model=model, args=settings, train_dataset=windows)
    trainer.train()
    trainer.save_model(folder)
    repaired = AutoModelForCausalLM.from_pretrained(folder)

losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
print("losses:", *(f"{float(loss):.2f}" for loss in losses))
with torch.no_grad():
    text = torch.randint(1, 4, (8, 16 * CONTEXT)).cumsum(1) % SYMBOLS
    print(f"reloaded by transformers alone, 16 times the context: {float(repaired(text, labels=text).loss):.2f}")
