"""What every other floor stands on: errors, progress, signals, children, files that last."""
