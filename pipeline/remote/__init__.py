"""Artifacts and runs that are copied to and from another place, behind any fsspec URL."""
