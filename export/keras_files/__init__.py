"""Loads `.keras` files: the only place that does, since they may hold code."""
