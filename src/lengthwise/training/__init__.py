"""Training: fresh data, length curricula, objectives, optimisation, checkpoints."""
