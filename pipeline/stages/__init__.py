"""A module for each stage, whose `run(context)` makes its artifact."""
