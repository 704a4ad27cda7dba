"""Exporters: a folder a family of formats, each as `export.formats.format.Exporter` says."""
