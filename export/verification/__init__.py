"""Whether a file answers as the model that it is from: audit, gates, golden images."""
