"""Causal language models of transformers as sequence models whose state can be set, carried and differentiated."""

from lengthwise.models.huggingface.config import HuggingFaceConfig
from lengthwise.models.huggingface.loading import load_huggingface

__all__ = ["HuggingFaceConfig", "load_huggingface"]
