"""Training of one-step estimators: targets, objective, loop, checkpoints."""
