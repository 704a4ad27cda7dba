"""Exporters: one file a family of formats. Each has FORMATS, `write` and `load`."""
