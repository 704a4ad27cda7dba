"""Renders the examples that travel with the exported files, and serves the one for browsers."""
