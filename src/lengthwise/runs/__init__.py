"""Runs: recipes, the folders that they fill, and the rows that are measured of them."""
