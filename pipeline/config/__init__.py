"""What a run is told: a file for a section of the YAML, and what reads it."""
