"""The commands, one file a group: they read what the user typed, call, and print; no logic."""
