"""Recipes, and the run folders that they fill."""
