"""What every test file may use."""

from hypothesis import settings

# Machines that run several test processes at once are too uneven for a deadline an example.
settings.register_profile("evenkeel", deadline=None)
settings.load_profile("evenkeel")
