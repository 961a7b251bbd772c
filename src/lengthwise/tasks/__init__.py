"""What is learned: pure samplers with a rule each."""

from lengthwise.registry import Registry

TASKS: Registry = Registry("task", {})
