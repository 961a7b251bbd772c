"""Objectives: which answers count in training, and how."""
