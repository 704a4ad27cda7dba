"""Training on several devices as on one."""
