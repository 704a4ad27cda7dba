"""Artifacts: published folders, the store that holds them, and who uses which."""
