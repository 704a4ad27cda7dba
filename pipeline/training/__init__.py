"""What training is made of: schedules, optimizers, precision, checkpoints."""
