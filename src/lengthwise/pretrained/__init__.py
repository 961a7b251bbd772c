"""Other people's checkpoints as sequence models whose state can be set, carried and differentiated."""

from lengthwise.pretrained.checkpoint import Checkpoint, load_huggingface
from lengthwise.pretrained.config import HuggingFaceConfig

__all__ = ["Checkpoint", "HuggingFaceConfig", "load_huggingface"]
