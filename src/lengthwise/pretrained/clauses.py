"""Clauses of the state contract that a model of transformers is asked for; which of them, its use decides."""

FIRST, SECOND = 19, 13
"""Tokens of the two chunks: neither a power of two nor shorter than a convolution."""
PADDING = "left padding"
READING = (f"chunks of {FIRST} and {SECOND}", "token by token", "rows independent")
"""The clauses that a measurement of a model needs."""
TRAINING = (*READING[:2], "gradient through the cache", "gradient to the initial state", READING[2])
"""Those that training needs, which pads nothing."""
CLAUSES = (*TRAINING, PADDING)
"""What is measured, in this order: logits of two chunks and of single tokens against one call; parameter gradients of
two chunks against one call; gradient to the recurrent state before 13 tokens, in one call against two; logits of rows
together against each alone, both in two chunks; logits of rows padded on the left, with a mask, against each alone."""
