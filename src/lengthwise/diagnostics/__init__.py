"""Diagnostics: what is wrong with a model, and why."""
