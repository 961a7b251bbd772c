"""Mixers: the parts of a layer that mix along time and carry state, a file each."""
