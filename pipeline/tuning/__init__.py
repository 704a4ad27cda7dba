"""The search for good settings: KerasTuner's oracles over keys of the config."""
