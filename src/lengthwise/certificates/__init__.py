"""Certificates: finite automata and algebras extracted from trained units, and proofs about them."""
