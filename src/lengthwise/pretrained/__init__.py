"""Causal language models of transformers as sequence models whose state can be set, carried and differentiated."""

from lengthwise.pretrained.config import HuggingFaceConfig
from lengthwise.pretrained.loading import load_huggingface

__all__ = ["HuggingFaceConfig", "load_huggingface"]
