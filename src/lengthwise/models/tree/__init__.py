"""Trees: models that reduce a sequence in a depth that grows with the logarithm of its length."""
