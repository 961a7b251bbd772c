"""Evaluation: accuracy by length."""
