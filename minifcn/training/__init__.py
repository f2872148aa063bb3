"""Training: optimizers and schedules, metrics, runs that can be resumed, and their checkpoints."""
